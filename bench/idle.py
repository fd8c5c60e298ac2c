"""Holds idle TLS connections: idle.py PORT HOST COUNT [websocket].

Each sends one request, or opens a WebSocket, and reads its answer; then it says "ready" and waits until its input ends."""

import asyncio
import ssl
import sys

UPGRADE = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
more, wanted = (UPGRADE, b"HTTP/1.1 101") if sys.argv[4:] == ["websocket"] else ("", b"HTTP/1.1 200")
port, host, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
context.set_alpn_protocols(["http/1.1"])


async def hold(gate):
    async with gate:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=host)
        writer.write(f"GET /p0/ HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(wanted), head
        return reader, writer


async def main():
    gate = asyncio.Semaphore(50)
    held = await asyncio.gather(*(hold(gate) for _ in range(count)))
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for _, writer in held:
        writer.transport.abort()


asyncio.run(main())
