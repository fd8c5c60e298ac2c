"""How late events are: events.py PORT HOST BACKEND_PORT COUNT.

The backend writes the time into each event; curl gets them through edge over HTTP/1.1, over HTTP/2 and straight from the
backend, all at the same time. Both clocks are the monotonic one of this machine."""

import asyncio
import statistics
import sys
import time

port, host, backend_port, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
THROUGH = ["--insecure", "--resolve", f"{host}:{port}:127.0.0.1", f"https://{host}:{port}/events/{count}"]
STRAIGHT = [f"http://127.0.0.1:{backend_port}/events/{count}"]


async def late(*args):
    curl = await asyncio.create_subprocess_exec(
        "curl", "-qsS", "--fail", "--no-buffer", "--noproxy", "*", "--header", "accept: text/event-stream", *args,
        stdout=asyncio.subprocess.PIPE)
    delays = []
    while len(delays) < count:
        line = await curl.stdout.readline()
        assert line, "the stream ended early"
        if line.startswith(b"data: "):
            delays.append((time.monotonic_ns() - int(line[6:])) / 1e6)
    curl.terminate()
    await curl.wait()
    return sorted(delays)


async def main():
    straight, *through = await asyncio.gather(
        late("--http1.1", *STRAIGHT), late("--http1.1", *THROUGH), late("--http2", *THROUGH))
    pairs = [("median", lambda delays: statistics.median(delays)), ("p99", lambda delays: delays[int(count * 0.99)])]
    for name, of in pairs:
        print(f"{name}_straight {of(straight):.3f} -")
        for version, delays in zip(("1.1", "2"), through):
            print(f"{name}_over_HTTP/{version} {of(delays):.3f} -")
            print(f"{name}_added_by_edge_over_HTTP/{version} {of(delays) - of(straight):.3f} 1")


asyncio.run(main())
