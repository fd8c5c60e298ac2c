"""The clients of vLLM (openai) and Ollama against a stand-in: llm_client.py PART HTTP-VERSION PORT STAND-IN

Every token is asked for, on another connection that does not go through the edge, only after the last one has arrived."""

import asyncio
import os
import sys
import urllib.request

import httpx
import ollama
import openai

part, version, port, stand_in = sys.argv[1:]
http2 = version == "2"
COUNT = 8


# How many 50 ms may pass until the server knows that its client has left: a second.
SOON = 20


def tell(what, stream):
    urllib.request.urlopen(urllib.request.Request(f"{stand_in}/{what}?stream={stream}", method="POST"), timeout=30)


def ask(what, stream):
    return urllib.request.urlopen(f"{stand_in}/{what}?stream={stream}", timeout=30).read()


def ack(stream):
    tell("ack", stream)


def is_told_soon(stream):
    ticks = int(ask("left", stream))
    assert ticks <= SOON, f"{stream}: {ticks} times 50 ms"


def vllm(stream):
    client = openai.OpenAI(base_url=f"https://vllm.test:{port}/v1", api_key="any", http_client=openai.DefaultHttpxClient(http2=http2), max_retries=0)
    answer = client.chat.completions.create(model="m", stream=True, messages=[{"role": "user", "content": stream}])
    return lambda: (answer.close(), client.close()), (chunk.choices[0].delta.content for chunk in answer)


def ollama_(stream):
    client = ollama.Client(host=f"https://ollama.test:{port}", http2=http2, timeout=60)
    answer = client.generate(model="m", prompt=stream, stream=True)
    # Its library leaves a stream of HTTP/2 open when an answer is closed, and ends it with the connection only.
    return lambda: (answer.close(), client._client.close()), (piece.response for piece in answer if not piece.done)


def all_arrive(start, stream):
    _, tokens = start(f"{stream}:{COUNT}")
    got = []
    for token in tokens:
        got.append(token)
        ack(stream)
    assert got == [f"token {number}" for number in range(COUNT)], got


def leaving_is_told(start, stream):
    close, tokens = start(stream)
    assert next(tokens) == "token 0"
    ack(stream)
    assert next(tokens) == "token 1"
    # The server has nothing to send now, so it cannot learn it from a failing write.
    tell("leaving", stream)
    close()
    is_told_soon(stream)


def leaving_before_the_first_token_is_told(start, stream):
    """Both libraries wait for the head of the answer in a call that cannot be left, so this is the client below them."""
    url, body = {
        vllm: (f"https://vllm.test:{port}/v1/chat/completions", {"model": "m", "stream": True, "messages": [{"role": "user", "content": f"{stream}:silent"}]}),
        ollama_: (f"https://ollama.test:{port}/api/generate", {"model": "m", "prompt": f"{stream}:silent", "stream": True}),
    }[start]

    async def leave():
        async with httpx.AsyncClient(http2=http2, verify=os.environ["SSL_CERT_FILE"], timeout=60) as client:
            request = asyncio.create_task(client.post(url, json=body))
            await asyncio.to_thread(ask, "asked", stream)
            assert not request.done(), request
            await asyncio.to_thread(tell, "leaving", stream)
            request.cancel()
            await asyncio.gather(request, return_exceptions=True)

    asyncio.run(leave())
    is_told_soon(stream)


for start in (vllm, ollama_):
    globals()[part](start, f"{start.__name__}-{part}-{version}")
