"""The real S3 clients of Python against a server behind the edge: s3.py PART HTTPS-PORT [BUCKET]

Names: s3.test and *.s3.test reach the server by path and by bucket, other.test reaches it under a name that nobody signs,
and rewritten.test is a route that does what must not be done: it replaces the name.
Each part is one test; it fails by an exception."""

import datetime
import hashlib
import hmac
import http.client
import io
import os
import random
import socket
import ssl
import sys
import urllib.parse

import boto3
import botocore.exceptions
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

part, port = sys.argv[1], int(sys.argv[2])
KEY, SECRET, REGION, BUCKET = "test-access-key", "test-secret-key", "us-east-1", "box"
MIB = 1 << 20


def client(style="path", secret=SECRET, **more):
    config = Config(s3={"addressing_style": style}, signature_version="s3v4", retries={"total_max_attempts": 1}, **more)
    return boto3.client("s3", endpoint_url=f"https://s3.test:{port}", region_name=REGION,
                        aws_access_key_id=KEY, aws_secret_access_key=secret, config=config)


def noise(count):
    return random.Random(count).randbytes(count)


def error_of(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except botocore.exceptions.ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]
    raise AssertionError("it was not refused")


def equal(left, right):
    assert left == right, f"{left!r} is not {right!r}"


# --- Requests without a library: what goes over the wire is what stands here. ---

def connect(host):
    context = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
    return context.wrap_socket(socket.create_connection((host, port)), server_hostname=host)


def sign(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


class Signed:
    """A PUT of `path`, signed by hand for `host`."""

    def __init__(self, host, path, payload_hash, headers=(), secret=SECRET):
        self.time = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        self.scope = f"{self.time[:8]}/{REGION}/s3/aws4_request"
        headers = {"host": f"{host}:{port}", "x-amz-content-sha256": payload_hash, "x-amz-date": self.time, **dict(headers)}
        names = ";".join(sorted(headers))
        fields = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
        request = f"PUT\n{path}\n\n{fields}\n{names}\n{payload_hash}"
        self.key = ("AWS4" + secret).encode()
        for word in self.scope.split("/"):
            self.key = sign(self.key, word)
        digest = hashlib.sha256(request.encode()).hexdigest()
        self.signature = sign(self.key, f"AWS4-HMAC-SHA256\n{self.time}\n{self.scope}\n{digest}").hex()
        self.headers = headers
        self.headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={KEY}/{self.scope}, SignedHeaders={names}, Signature={self.signature}")

    def chunk(self, data):
        """A chunk of a body whose every chunk is signed on the ground of the last one."""
        nothing = hashlib.sha256(b"").hexdigest()
        digest = hashlib.sha256(data).hexdigest()
        text = f"AWS4-HMAC-SHA256-PAYLOAD\n{self.time}\n{self.scope}\n{self.signature}\n{nothing}\n{digest}"
        self.signature = sign(self.key, text).hex()
        return f"{len(data):x};chunk-signature={self.signature}\r\n".encode() + data + b"\r\n"

    def head(self, path):
        return f"PUT {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in self.headers.items()) + "\r\n"


def answer(wire, method="PUT"):
    response = http.client.HTTPResponse(wire, method=method)
    response.begin()
    return response.status, response.read()


# --- The parts ---

def objects():
    for style in ("path", "virtual"):
        s3 = client(style)
        body = noise(100_000)
        put = s3.put_object(Bucket=BUCKET, Key="a/object", Body=body, ContentType="text/x-test", Metadata={"who": "me"})
        got = s3.get_object(Bucket=BUCKET, Key="a/object")
        equal(got["Body"].read(), body)
        equal((got["ContentType"], got["Metadata"], got["ETag"]), ("text/x-test", {"who": "me"}, put["ETag"]))
        equal(s3.head_object(Bucket=BUCKET, Key="a/object")["ContentLength"], 100_000)
        equal(error_of(s3.get_object, Bucket=BUCKET, Key="a/object", IfNoneMatch=put["ETag"])[0], 304)
        equal(error_of(s3.get_object, Bucket=BUCKET, Key="nothing"), (404, "NoSuchKey"))
        for number in range(30):
            s3.put_object(Bucket=BUCKET, Key=f"many/{number:02}", Body=b"")
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="many/", PaginationConfig={"PageSize": 7})
        keys = [entry["Key"] for page in pages for entry in page["Contents"]]
        equal(keys, [f"many/{number:02}" for number in range(30)])
        gone = s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": key} for key in keys]})
        equal(len(gone["Deleted"]), 30)


def keys():
    s3 = client()
    names = ["per%2Fcent", "per%cent%", "a b+c", "plus+ and space", "ä/ö/日本", "q?x=1&y=2#z", "a=b;c:d@e,f$g", "..a/.b/c..", "~t!*'()"]
    for name in names:
        s3.put_object(Bucket=BUCKET, Key=name, Body=name.encode())
    for name in names:
        equal(s3.get_object(Bucket=BUCKET, Key=name)["Body"].read().decode(), name)
    equal(sorted(entry["Key"] for entry in s3.list_objects_v2(Bucket=BUCKET)["Contents"]), sorted(names))
    # The server takes no empty parts of a name. That it says so, and not that the signature is wrong, shows that it saw
    # the path that was signed.
    equal(error_of(s3.put_object, Bucket=BUCKET, Key="a//b", Body=b""), (400, "XMinioInvalidObjectName"))
    signed = Signed("s3.test", f"/{BUCKET}/x/y", "UNSIGNED-PAYLOAD", {"content-length": "1"})
    wire = connect("s3.test")
    wire.sendall(signed.head(f"/{BUCKET}/x%2Fy").encode() + b"1")
    equal(answer(wire)[0], 200)
    equal(s3.get_object(Bucket=BUCKET, Key="x/y")["Body"].read(), b"1")


def refused():
    equal(error_of(client(secret="wrong-secret-key").list_buckets), (403, "SignatureDoesNotMatch"))
    wire = connect("s3.test")
    wire.sendall(f"GET /{BUCKET} HTTP/1.1\r\nhost: s3.test:{port}\r\n\r\n".encode())
    status, said = answer(wire, "GET")
    assert status == 403 and b"AccessDenied" in said, said
    # Signed for one name and sent to another: the server sees the name that the client used, so it refuses.
    for signed_for, sent_to in (("s3.test", "other.test"), ("rewritten.test", "rewritten.test")):
        signed = Signed(signed_for, f"/{BUCKET}/x", "UNSIGNED-PAYLOAD", {"content-length": "1"})
        signed.headers["host"] = f"{sent_to}:{port}"
        wire = connect(sent_to)
        wire.sendall(signed.head(f"/{BUCKET}/x").encode() + b"1")
        status, said = answer(wire)
        assert status == 403 and b"SignatureDoesNotMatch" in said, said


def presigned():
    for style, host in (("path", "s3.test"), ("virtual", f"{BUCKET}.s3.test")):
        s3 = client(style)
        s3.put_object(Bucket=BUCKET, Key="for a friend+", Body=b"0123456789")
        url = urllib.parse.urlsplit(s3.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "for a friend+"}))
        equal(url.netloc, f"{host}:{port}")
        fetch = lambda name, more="": get(name, f"{url.path}?{url.query}", more)
        equal(fetch(host), (200, b"0123456789"))
        equal(fetch(host, "range: bytes=3-5\r\n"), (206, b"345"))
        status, said = fetch("other.test" if style == "path" else "box2.s3.test")
        assert status == 403 and b"SignatureDoesNotMatch" in said, said
        # The order of a query is signed as it is; a longer life is not.
        status, said = get(host, f"{url.path}?{url.query.replace('X-Amz-Expires=3600', 'X-Amz-Expires=3601')}")
        assert status == 403 and b"SignatureDoesNotMatch" in said, said
        put = urllib.parse.urlsplit(s3.generate_presigned_url("put_object", Params={"Bucket": BUCKET, "Key": "from a friend"}))
        wire = connect(host)
        wire.sendall(f"PUT {put.path}?{put.query} HTTP/1.1\r\nhost: {host}:{port}\r\ncontent-length: 2\r\n\r\nhi".encode())
        equal(answer(wire)[0], 200)


def get(host, target, more=""):
    wire = connect(host)
    wire.sendall(f"GET {target} HTTP/1.1\r\nhost: {host}:{port}\r\n{more}\r\n".encode())
    return answer(wire, "GET")


def chunk_signed():
    body, size = noise(3 * MIB + 123), 64 * 1024
    pieces = [body[at:at + size] for at in range(0, len(body), size)] + [b""]
    length = sum(len(f"{len(piece):x};chunk-signature=\r\n\r\n") + 64 + len(piece) for piece in pieces)
    headers = {"content-encoding": "aws-chunked", "x-amz-decoded-content-length": str(len(body)), "content-length": str(length)}
    signed = Signed("s3.test", f"/{BUCKET}/chunks", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", headers)
    wire = connect("s3.test")
    wire.sendall(signed.head(f"/{BUCKET}/chunks").encode())
    for piece in pieces:
        wire.sendall(signed.chunk(piece))
    status, said = answer(wire)
    assert status == 200, said
    got = client().get_object(Bucket=BUCKET, Key="chunks")
    equal(got["Body"].read(), body)
    assert "aws-chunked" not in got.get("ContentEncoding", ""), got
    # One flipped bit is found by the server: the signatures are looked at.
    signed = Signed("s3.test", f"/{BUCKET}/chunks", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", headers)
    wire = connect("s3.test")
    wire.sendall(signed.head(f"/{BUCKET}/chunks").encode())
    for number, piece in enumerate(pieces):
        chunk = bytearray(signed.chunk(piece))
        chunk[-3] ^= number == 40
        wire.sendall(chunk)
    status, said = answer(wire)
    assert status == 403 and b"SignatureDoesNotMatch" in said, said
    # The sum stands behind the body, in a trailer inside of the chunks: the library's own way.
    put = client().put_object(Bucket=BUCKET, Key="trailer", Body=io.BytesIO(body), ChecksumAlgorithm="CRC32")
    equal(put["ResponseMetadata"]["HTTPStatusCode"], 200)
    got = client().get_object(Bucket=BUCKET, Key="trailer", ChecksumMode="ENABLED")
    equal((got["Body"].read(), got["ChecksumCRC32"]), (body, put["ChecksumCRC32"]))


def multipart():
    for style in ("path", "virtual"):
        s3, body = client(style), noise(24 * MIB)
        config = TransferConfig(multipart_threshold=8 * MIB, multipart_chunksize=8 * MIB, max_concurrency=3)
        s3.upload_fileobj(io.BytesIO(body), BUCKET, "big", Config=config)
        assert s3.head_object(Bucket=BUCKET, Key="big")["ETag"].endswith('-3"')
        back = io.BytesIO()
        s3.download_fileobj(BUCKET, "big", back, Config=config)
        equal(hashlib.sha256(back.getvalue()).digest(), hashlib.sha256(body).digest())
        middle = s3.get_object(Bucket=BUCKET, Key="big", Range=f"bytes={9 * MIB}-{9 * MIB + 9}")
        equal(middle["ResponseMetadata"]["HTTPStatusCode"], 206)
        equal(middle["ContentRange"], f"bytes {9 * MIB}-{9 * MIB + 9}/{24 * MIB}")
        equal(middle["Body"].read(), body[9 * MIB:9 * MIB + 10])
        equal(error_of(s3.get_object, Bucket=BUCKET, Key="big", Range=f"bytes={25 * MIB}-"), (416, "InvalidRange"))


def expect():
    path = f"/{BUCKET}/expected"
    wire = connect("s3.test")
    signed = Signed("s3.test", path, "UNSIGNED-PAYLOAD", {"content-length": "5", "expect": "100-continue"})
    wire.sendall(signed.head(path).encode())
    # Nothing of the body is on its way, so this can only be the server's word to go on.
    equal(wire.recv(1000), b"HTTP/1.1 100 Continue\r\n\r\n")
    wire.sendall(b"12345")
    equal(answer(wire)[0], 200)
    equal(client().get_object(Bucket=BUCKET, Key="expected")["Body"].read(), b"12345")
    wire = connect("s3.test")
    signed = Signed("s3.test", path, "UNSIGNED-PAYLOAD", {"content-length": "5", "expect": "100-continue"}, "wrong")
    wire.sendall(signed.head(path).encode())
    first = wire.recv(1000)
    assert first.startswith(b"HTTP/1.1 403 "), f"it is refused before a body is asked for: {first}"


def bucket():
    client().create_bucket(Bucket=sys.argv[3])


if part != "bucket":
    client().create_bucket(Bucket=BUCKET)
globals()[part]()
