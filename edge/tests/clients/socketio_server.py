"""A stand-in for what speaks Socket.IO, such as Open WebUI and pgAdmin's query tool: socketio_server.py NAME [TRANSPORT..]

Prints `port N`. Echoes `say` as `heard`, with its name; tells by `how` which transport a client is on."""

import asyncio
import sys

import socketio
import uvicorn

name, transports = sys.argv[1], sys.argv[2:] or ["polling", "websocket"]
server = socketio.AsyncServer(async_mode="asgi", transports=transports, cors_allowed_origins="*")


@server.event
async def say(sid, text):
    await server.emit("heard", {"server": name, "text": text}, to=sid)


@server.event
async def how(sid):
    return server.transport(sid)


async def well(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


async def main():
    app = socketio.ASGIApp(server, well, socketio_path="/ws/socket.io")
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", lifespan="off")
    web = uvicorn.Server(config)
    serving = asyncio.create_task(web.serve())
    while not web.started:
        await asyncio.sleep(0.01)
    print("port", web.servers[0].sockets[0].getsockname()[1], flush=True)
    await serving


asyncio.run(main())
