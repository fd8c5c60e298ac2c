"""The backend of the benchmarks: HTTP/1.1 with keep-alive on a free port of loopback, which it prints.

GET /N answers with N bytes (2 without N); a body, of known length or in chunks, is read and thrown away."""

import asyncio

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
