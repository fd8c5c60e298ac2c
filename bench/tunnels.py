"""The ends of a raw tunnel: `serve` prints its port, then gives each client what it asks for or keeps it;
`take PORT BYTES` reads that much; `hold PORT COUNT` says `ready` with that many open, and ends with its input."""

import asyncio
import socket
import sys

PIECE = bytes(1 << 20)


async def give(reader, writer):
    """Eight bytes say how much is wanted; nothing at all is wanted by those that only stay."""
    try:
        left = int.from_bytes(await reader.readexactly(8), "big")
        while left > 0:
            piece = PIECE[: min(left, len(PIECE))]
            writer.write(piece)
            await writer.drain()
            left -= len(piece)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    writer.close()


async def serve():
    server = await asyncio.start_server(give, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def take(port, count):
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(count.to_bytes(8, "big"))
        room = bytearray(1 << 20)
        while count > 0:
            read = client.recv_into(room)
            if read == 0:
                sys.exit(f"{count} bytes are missing")
            count -= read


def hold(port, count):
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    print("ready", flush=True)
    sys.stdin.read()
    del clients


match sys.argv[1:]:
    case ["serve"]:
        asyncio.run(serve())
    case ["take", port, count]:
        take(int(port), int(count))
    case ["hold", port, count]:
        hold(int(port), int(count))
    case _:
        sys.exit(__doc__)
