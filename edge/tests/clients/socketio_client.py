"""A real Socket.IO client: socketio_client.py URL TRANSPORTS EXPECTED [COUNT]

TRANSPORTS is a list such as polling,websocket; EXPECTED is the transport that the server must see in the end. Prints the
names of the servers that answered."""

import asyncio
import sys

import socketio

url, transports, expected = sys.argv[1], sys.argv[2].split(","), sys.argv[3]
count = int(sys.argv[4]) if len(sys.argv) > 4 else 20


async def main():
    # A client that came back by itself would hide a connection that was lost.
    client, heard = socketio.AsyncClient(reconnection=False), asyncio.Queue()
    client.on("heard", heard.put)
    await client.connect(url, transports=transports, socketio_path="/ws/socket.io", wait_timeout=30)
    servers = set()
    for number in range(count):
        await client.emit("say", f"number {number}")
        answer = await asyncio.wait_for(heard.get(), 30)
        assert answer["text"] == f"number {number}", answer
        servers.add(answer["server"])
    how = await client.call("how", timeout=30)
    assert how == expected, how
    await client.disconnect()
    print(" ".join(sorted(servers)))


asyncio.run(main())
