"""An ssh server on any port of loopback, which it prints: anybody may fetch from any repository that git finds."""

import asyncio
import shlex
from asyncio.subprocess import PIPE

import asyncssh


class Anybody(asyncssh.SSHServer):
    def begin_auth(self, username):
        return False


async def pump(source, sink):
    """To the end of `source`: what is still in the pipe when its program ends is not lost."""
    while piece := await source.read(1 << 16):
        sink.write(piece)
        await sink.drain()


async def fetch(process):
    program, *args = shlex.split(process.command or "")
    if program != "git-upload-pack":
        process.exit(1)
        return
    child = await asyncio.create_subprocess_exec(program, *args, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    wishes = asyncio.create_task(pump(process.stdin, child.stdin))
    await asyncio.gather(pump(child.stdout, process.stdout), pump(child.stderr, process.stderr))
    code = await child.wait()
    wishes.cancel()
    process.exit(code)


async def main():
    key = asyncssh.generate_private_key("ssh-ed25519")
    options = {"server_host_keys": [key], "process_factory": fetch, "encoding": None}
    server = await asyncssh.create_server(Anybody, "127.0.0.1", 0, **options)
    print("port", server.get_port(), flush=True)
    await server.wait_closed()


asyncio.run(main())
