"""A WebSocket client: ws_client.py URL [--connect HOST:PORT] [--ca FILE] [--header 'K: V'] [--stay] MESSAGE..

Sends each message when the answer to the last one is there; prints the answers, a line each. With --stay it
then waits until the server ends the connection."""

import argparse
import asyncio
import ssl
import urllib.parse

import websockets

parser = argparse.ArgumentParser()
parser.add_argument("url")
parser.add_argument("--connect")
parser.add_argument("--ca")
parser.add_argument("--header", action="append", default=[])
parser.add_argument("--stay", action="store_true")
parser.add_argument("messages", nargs="+")
args = parser.parse_args()


async def main():
    options = {"open_timeout": 30, "extra_headers": [header.split(": ", 1) for header in args.header]}
    if args.connect:
        host, port = args.connect.rsplit(":", 1)
        options |= {"host": host, "port": int(port)}
    if args.url.startswith("wss:"):
        options["ssl"] = ssl.create_default_context(cafile=args.ca)
        # Else the handshake would name the address of --connect.
        options["server_hostname"] = urllib.parse.urlsplit(args.url).hostname
    async with websockets.connect(args.url, **options) as socket:
        for message in args.messages:
            await socket.send(message)
            print(await asyncio.wait_for(socket.recv(), 30), flush=True)
        if args.stay:
            await socket.wait_closed()


asyncio.run(main())
