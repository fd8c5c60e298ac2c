"""A gRPC client: grpc_client.py TARGET unary|letters|streams [--ca FILE] [--authority NAME] MESSAGE..

Prints what it got as one JSON object: code, details, messages, initial, trailers."""

import argparse
import json
import time

import grpc

parser = argparse.ArgumentParser()
parser.add_argument("target")
parser.add_argument("kind", choices=["unary", "letters", "streams"])
parser.add_argument("--ca")
parser.add_argument("--authority")
parser.add_argument("messages", nargs="+")
args = parser.parse_args()

options = []
if args.ca and args.authority:
    options.append(("grpc.ssl_target_name_override", args.authority))
elif args.authority:
    options.append(("grpc.default_authority", args.authority))

if args.ca:
    with open(args.ca, "rb") as file:
        channel = grpc.secure_channel(args.target, grpc.ssl_channel_credentials(file.read()), options)
else:
    channel = grpc.insecure_channel(args.target, options)


def one_after_another(got):
    """Sends the next message only when the last one has come back: fails where a proxy holds a stream."""
    for number, message in enumerate(args.messages):
        until = time.monotonic() + 30
        while len(got) < number and time.monotonic() < until:
            time.sleep(0.005)
        yield message.encode()


def plain(metadata):
    return {key: value.hex() if isinstance(value, bytes) else value for key, value in metadata or ()}


got = []
if args.kind == "unary":
    # The future has the metadata whether the call succeeds or not.
    call = channel.unary_unary("/echo.Echo/Unary").future(args.messages[0].encode(), timeout=30)
    if call.exception() is None:
        got.append(call.result().decode())
else:
    if args.kind == "letters":
        call = channel.unary_stream("/echo.Echo/Letters")(args.messages[0].encode(), timeout=30)
    else:
        call = channel.stream_stream("/echo.Echo/Streams")(one_after_another(got), timeout=30)
    try:
        for answer in call:
            got.append(answer.decode())
    except grpc.RpcError:
        pass

print(
    json.dumps(
        {
            "code": call.code().name,
            "details": call.details(),
            "messages": got,
            "initial": plain(call.initial_metadata()),
            "trailers": plain(call.trailing_metadata()),
        }
    )
)
