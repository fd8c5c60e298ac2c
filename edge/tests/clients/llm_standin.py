"""A stand-in for Ollama and vLLM: prints `port N`.

POST /v1/chat/completions (Server-Sent Events, as vLLM) and POST /api/generate (NDJSON, as Ollama) answer token by token.
The prompt names the stream. The first token is sent at once and each further one only after POST /ack?stream=NAME, so that
one that is held back anywhere is never followed by the next. `NAME:COUNT` ends after so many tokens. GET /left?stream=NAME
answers once the client of that stream has gone away, and not before."""

import asyncio
import collections
import json
import time

from aiohttp import web

acks = collections.defaultdict(lambda: asyncio.Semaphore(0))
left = collections.defaultdict(asyncio.Event)


async def tokens(request, prompt, content_type, token, end):
    name, _, count = prompt.partition(":")
    response = web.StreamResponse(headers={"content-type": content_type, "cache-control": "no-cache"})
    try:
        await response.prepare(request)
        for number in range(int(count or 1_000_000)):
            if number:
                await acks[name].acquire()
            await response.write(token(f"token {number}"))
        await response.write(end)
        await response.write_eof()
    except (ConnectionError, asyncio.CancelledError):
        left[name].set()
        raise
    return response


def line(data):
    return json.dumps(data).encode() + b"\n"


async def chat(request):
    body = await request.json()
    about = {"id": "chat-1", "object": "chat.completion.chunk", "created": int(time.time()), "model": body["model"]}

    def token(text):
        choice = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}
        return b"data: " + line({**about, "choices": [choice]}) + b"\n"

    return await tokens(request, body["messages"][0]["content"], "text/event-stream", token, b"data: [DONE]\n\n")


async def generate(request):
    body = await request.json()

    def part(text, done):
        return line({"model": body["model"], "created_at": "2026-01-01T00:00:00Z", "response": text, "done": done})

    return await tokens(request, body["prompt"], "application/x-ndjson", lambda text: part(text, False), part("", True))


async def well(_):
    return web.json_response({"version": "0.0.0"})


async def ack(request):
    acks[request.query["stream"]].release()
    return web.Response(status=204)


async def gone(request):
    await left[request.query["stream"]].wait()
    return web.Response(text="gone")


async def main():
    app = web.Application()
    app.add_routes([
        web.post("/v1/chat/completions", chat), web.post("/api/generate", generate), web.post("/ack", ack), web.get("/left", gone),
        web.get("/health", well), web.get("/api/version", well)])
    # Else nobody would be told that a client has left while there is nothing to send.
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print("port", runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
