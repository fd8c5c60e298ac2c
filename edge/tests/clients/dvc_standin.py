"""A stand-in for an HTTP store of DVC: dvc_standin.py FOLDER. Prints `port N`, and `no length` for each body that has
none."""

import asyncio
import os
import sys

from aiohttp import web

root = sys.argv[1]


async def put(request):
    path = os.path.join(root, request.match_info["path"])
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if request.content_length is None:
        print("no length", flush=True)
    with open(path, "wb") as file:
        async for piece in request.content.iter_any():
            file.write(piece)
    return web.Response(status=201)


async def main():
    app = web.Application(client_max_size=0)
    app.add_routes([web.put("/{path:.+}", put), web.post("/{path:.+}", put)])
    app.router.add_static("/", root)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print("port", runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
