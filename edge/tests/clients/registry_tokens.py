"""Who gives tokens for a container registry, as Gitea, Harbor and Nexus do: registry_tokens.py CERTIFICATE

Makes a key and writes its certificate to that file, which the registry trusts; prints `port N`; answers GET /v2/token to
the account team/secret with a token for what was asked for, to anybody else with 401."""

import base64
import datetime
import http.server
import json
import sys
import time
import urllib.parse
import uuid

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

ISSUER = "tests"
key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, ISSUER)])
now = datetime.datetime.now(datetime.timezone.utc)
day = datetime.timedelta(days=1)
certificate = (
    x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    .serial_number(x509.random_serial_number()).not_valid_before(now - day).not_valid_after(now + day)
    .sign(key, hashes.SHA256()))
with open(sys.argv[1], "wb") as file:
    file.write(certificate.public_bytes(serialization.Encoding.PEM))
X5C = base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()
ACCOUNT = "Basic " + base64.b64encode(b"team:secret").decode()


def part(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def token(service, scopes):
    access = []
    for scope in scopes:
        kind, name, actions = scope.split(":", 2)
        access.append({"type": kind, "name": name, "actions": actions.split(",")})
    now = int(time.time())
    claims = {"iss": ISSUER, "sub": "team", "aud": service, "exp": now + 300, "nbf": now - 10, "iat": now,
              "jti": str(uuid.uuid4()), "access": access}
    head = {"typ": "JWT", "alg": "RS256", "x5c": [X5C]}
    text = part(json.dumps(head).encode()) + b"." + part(json.dumps(claims).encode())
    return (text + b"." + part(key.sign(text, padding.PKCS1v15(), hashes.SHA256()))).decode()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(url.query)
        print(self.path, flush=True)
        if url.path != "/v2/token":
            self.answer(404, {})
        elif self.headers.get("authorization") != ACCOUNT:
            self.answer(401, {"errors": [{"code": "UNAUTHORIZED"}]})
        else:
            scopes = [scope for value in query.get("scope", []) for scope in value.split(" ")]
            self.answer(200, {"token": token(query["service"][0], scopes), "expires_in": 300})

    def answer(self, status, body):
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print("port", server.server_address[1], flush=True)
server.serve_forever()
