"""Chromium without a window, told what to do: browser.py STEP..

A step is `go=URL`, `until=EXPRESSION` (JavaScript, asked again until it is true), `do=STATEMENT`, `type=SELECTOR|TEXT`, or
`print=EXPRESSION`.
Names below .test are at loopback; certificates are not checked, since the machine's browser has no root of a test."""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request

import websocket

PATIENCE = 60
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--ignore-certificate-errors",
    "--remote-debugging-port=0", "--host-resolver-rules=MAP *.test 127.0.0.1",
]


class Page:
    def __init__(self, folder, browser):
        file = os.path.join(folder, "DevToolsActivePort")
        self.wait("Chromium listens", lambda: browser.poll() is not None or os.path.exists(file) and open(file).read().count("\n"))
        assert browser.poll() is None, "Chromium ended"
        port = open(file).read().split("\n")[0]
        request = urllib.request.Request(f"http://127.0.0.1:{port}/json/new?about:blank", method="PUT")
        target = json.load(urllib.request.urlopen(request))
        self.socket = websocket.create_connection(target["webSocketDebuggerUrl"], suppress_origin=True, timeout=PATIENCE)
        self.last = 0

    def wait(self, what, condition):
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, f"never came true: {what}; the page says:\n{self.text()}"
            time.sleep(0.1)

    def call(self, method, **params):
        self.last += 1
        self.socket.send(json.dumps({"id": self.last, "method": method, "params": params}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("id") == self.last:
                return message

    def value(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        # A page that is being left or has not begun has nothing to say: an error, or an exception in it.
        return answer.get("result", {}).get("result", {}).get("value")

    def text(self):
        return self.value("location.href + '\\n' + document.body?.innerText") if hasattr(self, "socket") else ""

    def step(self, step):
        kind, what = step.split("=", 1)
        if kind == "go":
            answer = self.call("Page.navigate", url=what)
            assert "error" not in answer and "errorText" not in answer["result"], answer
        elif kind == "until":
            self.wait(what, lambda: self.value(what))
        elif kind == "do":
            self.value(what)
        elif kind == "type":
            selector, text = what.split("|", 1)
            self.wait(selector, lambda: self.value(f"!!document.querySelector({json.dumps(selector)})"))
            self.value(f"document.querySelector({json.dumps(selector)}).focus()")
            self.call("Input.insertText", text=text)
        elif kind == "print":
            print(self.value(what))
        else:
            raise ValueError(step)


with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
    browser = subprocess.Popen([os.environ["CHROMIUM"], *FLAGS, f"--user-data-dir={folder}", "about:blank"],
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        page = Page(folder, browser)
        for step in sys.argv[1:]:
            page.step(step)
    finally:
        browser.terminate()
        browser.wait()
