"""A gRPC server on a free port of loopback: it sends back what it gets, with trailers. Prints its port first."""

import sys
import time
from concurrent import futures

import grpc

TRAILERS = (("x-trailer", "after the body"), ("x-binary-bin", b"\x00\x01\xff"))


def unary(request, context):
    context.send_initial_metadata((("x-initial", "before the body"),))
    context.set_trailing_metadata(TRAILERS)
    if request == b"refuse":
        context.set_code(grpc.StatusCode.FAILED_PRECONDITION)
        context.set_details("refused: 100% as asked")
        return b""
    return request


def streams(requests, context):
    context.set_trailing_metadata(TRAILERS)
    for request in requests:
        yield request


def letters(request, context):
    context.set_trailing_metadata(TRAILERS)
    for letter in request.decode():
        yield letter.encode()


class Echo(grpc.GenericRpcHandler):
    def service(self, call):
        if call.method == "/echo.Echo/Unary":
            return grpc.unary_unary_rpc_method_handler(unary)
        if call.method == "/echo.Echo/Streams":
            return grpc.stream_stream_rpc_method_handler(streams)
        if call.method == "/echo.Echo/Letters":
            return grpc.unary_stream_rpc_method_handler(letters)
        return None


def main():
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    server.add_generic_rpc_handlers((Echo(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"port {port}", flush=True)
    while True:
        time.sleep(3600)


sys.exit(main())
