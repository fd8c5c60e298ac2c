"""The clients of vLLM (openai) and Ollama against a stand-in: llm_client.py PART HTTP-VERSION PORT STAND-IN

Every token is asked for, on another connection that does not go through the edge, only after the last one has arrived."""

import sys
import urllib.request

import ollama
import openai

part, version, port, stand_in = sys.argv[1:]
http2 = version == "2"
COUNT = 8


def ack(stream):
    urllib.request.urlopen(urllib.request.Request(f"{stand_in}/ack?stream={stream}", method="POST"), timeout=30)


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
    close()
    answer = urllib.request.urlopen(f"{stand_in}/left?stream={stream}", timeout=30)
    assert answer.read() == b"gone"


for start in (vllm, ollama_):
    globals()[part](start, f"{start.__name__}-{part}-{version}")
