"""Every Python program that has this folder in PYTHONPATH finds each name below .test at loopback, as if it had an entry
in the DNS, and nothing else: a test does not talk to the world."""

import socket

_getaddrinfo = socket.getaddrinfo


def getaddrinfo(host, *args, **kwargs):
    name = host.decode() if isinstance(host, bytes) else host
    if name and name.lower().rstrip(".").endswith(".test"):
        host = "127.0.0.1"
    elif name not in (None, "", "localhost", "127.0.0.1", "0.0.0.0", "::1", "::"):
        raise socket.gaierror(socket.EAI_NONAME, f"tests know only names below .test and loopback, not {name}")
    return _getaddrinfo(host, *args, **kwargs)


socket.getaddrinfo = getaddrinfo
