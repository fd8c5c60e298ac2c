"""The backend of the benchmarks: HTTP/1.1 with keep-alive on a free port of loopback, which it prints.

GET /N answers with N bytes (2 without N); a body, of known length or in chunks, is read and thrown away. GET /events/N
sends N events, 2 ms apart, each with the time at which it was written; an upgrade to WebSocket is taken and stays silent."""

import asyncio
import base64
import hashlib
import time

BLOCK = b"x" * (256 * 1024)


async def body_length(head, reader):
    fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line)
    if b"chunked" in fields.get(b"transfer-encoding", b""):
        total = 0
        while size := int((await reader.readline()).split(b";")[0], 16):
            await skip(reader, size + 2)
            total += size
        await reader.readline()
        return total
    length = int(fields.get(b"content-length", b"0"))
    await skip(reader, length)
    return length


async def skip(reader, count):
    while count:
        data = await reader.read(min(count, len(BLOCK)))
        if not data:
            raise asyncio.IncompleteReadError(b"", count)
        count -= len(data)


async def events(writer, count):
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    for _ in range(count):
        await asyncio.sleep(0.002)
        event = b"data: %d\n\n" % time.monotonic_ns()
        writer.write(b"%x\r\n%s\r\n" % (len(event), event))
        await writer.drain()
    writer.write(b"0\r\n\r\n")


def upgrade(head, writer):
    fields = dict(line.lower().split(b":", 1)[:2] for line in head.split(b"\r\n")[1:] if b":" in line)
    if fields.get(b"upgrade", b"").strip() != b"websocket":
        return False
    key = next(line.split(b":", 1)[1].strip() for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:"))
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: %s\r\n\r\n" % accept
    )
    return True


async def converse(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if b"100-continue" in head.lower():
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            await body_length(head, reader)
            line = head.lstrip().split(b" ", 2)
            if len(line) < 3:
                continue  # the rest of a chunked body
            name = line[1].lstrip(b"/")
            if upgrade(head, writer):
                await reader.read()
                return
            if name.startswith(b"events/"):
                await events(writer, int(name[7:]))
                continue
            left = int(name) if name.isdigit() else 2
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % left)
            while left:
                writer.write(BLOCK[: min(left, len(BLOCK))])
                left -= min(left, len(BLOCK))
                await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(converse, "127.0.0.1", 0, limit=1 << 20, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
