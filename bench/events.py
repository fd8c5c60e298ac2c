"""How late events are: events.py PORT HOST BACKEND_PORT COUNT.

The backend writes the time into each event; one reader gets them through edge, one straight from the backend, at the same
time. Both clocks are the monotonic one of this machine."""

import asyncio
import ssl
import statistics
import sys
import time

port, host, backend_port, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
context.set_alpn_protocols(["http/1.1"])


async def late(**where):
    reader, writer = await asyncio.open_connection("127.0.0.1", **where)
    writer.write(f"GET /events/{count} HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    delays = []
    while len(delays) < count:
        line = await reader.readline()
        if line.startswith(b"data: "):
            delays.append((time.monotonic_ns() - int(line[6:])) / 1e6)
    writer.transport.abort()
    return sorted(delays)


async def main():
    through, straight = await asyncio.gather(
        late(port=port, ssl=context, server_hostname=host), late(port=backend_port)
    )
    pairs = [("median", lambda delays: statistics.median(delays)), ("p99", lambda delays: delays[int(count * 0.99)])]
    for name, of in pairs:
        print(f"{name}_straight {of(straight):.3f} -")
        print(f"{name}_through_edge {of(through):.3f} -")
        print(f"{name}_added_by_edge {of(through) - of(straight):.3f} 1")


asyncio.run(main())
