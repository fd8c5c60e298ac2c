"""An ssh server on any port of loopback, which it prints: anybody may fetch from any repository that git finds."""

import asyncio
import shlex
from asyncio.subprocess import PIPE

import asyncssh


class Anybody(asyncssh.SSHServer):
    def begin_auth(self, username):
        return False


async def fetch(process):
    program, *args = shlex.split(process.command or "")
    if program != "git-upload-pack":
        process.exit(1)
        return
    child = await asyncio.create_subprocess_exec(program, *args, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    await process.redirect(stdin=child.stdin, stdout=child.stdout, stderr=child.stderr)
    code = await child.wait()
    await process.stdout.drain()
    process.exit(code)


async def main():
    key = asyncssh.generate_private_key("ssh-ed25519")
    options = {"server_host_keys": [key], "process_factory": fetch, "encoding": None}
    server = await asyncssh.create_server(Anybody, "127.0.0.1", 0, **options)
    print("port", server.get_port(), flush=True)
    await server.wait_closed()


asyncio.run(main())
