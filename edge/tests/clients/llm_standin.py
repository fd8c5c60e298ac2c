"""A stand-in for Ollama and vLLM: prints `port N`.

POST /v1/chat/completions (Server-Sent Events, as vLLM) and POST /api/generate (NDJSON, as Ollama) answer token by token.
The prompt names the stream. The first token is sent at once and each further one only after POST /ack?stream=NAME, so that
one that is held back anywhere is never followed by the next. `NAME:COUNT` ends after so many tokens, `NAME:silent` answers
nothing at all. GET /asked?stream=NAME answers once that stream was asked for. POST /leaving?stream=NAME says that its client
goes away now; GET /left?stream=NAME answers once that is known here, with the number of 50 ms that went by in between."""

import asyncio
import collections
import json
import time

from aiohttp import web

acks = collections.defaultdict(lambda: asyncio.Semaphore(0))
asked = collections.defaultdict(asyncio.Event)
left = collections.defaultdict(asyncio.Event)
clocks = {}


async def tokens(request, prompt, content_type, token, end):
    name, _, count = prompt.partition(":")
    asked[name].set()
    response = web.StreamResponse(headers={"content-type": content_type, "cache-control": "no-cache"})
    try:
        if count == "silent":
            await asyncio.Event().wait()
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


async def started(request):
    await asked[request.query["stream"]].wait()
    return web.Response(text="asked")


# It is this process that counts: a machine that is too busy for the edge is too busy for the clock.
async def clock(stream):
    ticks = 0
    while not left[stream].is_set():
        await asyncio.sleep(0.05)
        ticks += 1
    return ticks


async def leaving(request):
    stream = request.query["stream"]
    clocks[stream] = asyncio.create_task(clock(stream))
    return web.Response(status=204)


async def gone(request):
    return web.Response(text=str(await clocks[request.query["stream"]]))


async def main():
    app = web.Application()
    app.add_routes([
        web.post("/v1/chat/completions", chat), web.post("/api/generate", generate), web.post("/ack", ack),
        web.get("/asked", started), web.post("/leaving", leaving), web.get("/left", gone),
        web.get("/health", well), web.get("/api/version", well)])
    # Else nobody would be told that a client has left while there is nothing to send.
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print("port", runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
