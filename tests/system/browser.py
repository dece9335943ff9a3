"""A Chromium of this machine in the network of another one, steered by its own protocol."""

import json
import re
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from websockets.sync.client import ClientConnection

from .network import Network

START_SECONDS_MAX = 60
ANSWER_SECONDS_MAX = 60


@contextmanager
def program(network: Network, *command: str, says: str) -> Iterator[re.Match[str]]:
    """A program of this machine in that network, once its output matches `says`."""
    running = subprocess.Popen(
        # All of it, Chromium's many processes too, ends with the namespace that it is put into.
        [
            "nsenter",
            f"--net=/proc/{network.pid}/ns/net",
            "setpriv",
            "--pdeathsig=KILL",
            "unshare",
            "--pid",
            "--kill-child",
            *command,
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert running.stdout is not None
    output = []
    try:
        for line in running.stdout:
            output.append(line)
            if match := re.search(says, line):
                break
        else:
            raise AssertionError(f"{command[0]} ended: {''.join(output)}")
        # Reading goes on to the end: a full pipe would stop the program.
        reader = threading.Thread(target=running.stdout.read, daemon=True)
        reader.start()
        yield match
    finally:
        running.kill()
        running.wait()


class Page:
    """A page in a browser."""

    def __init__(self, session: ClientConnection) -> None:
        self._session = session
        self._calls = 0
        self._events: list[str] = []

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        self._calls += 1
        call = {"id": self._calls, "method": method, "params": parameters}
        self._session.send(json.dumps(call))
        while True:
            answer = self._receive()
            if answer.get("id") == self._calls:
                assert "error" not in answer, answer
                return answer["result"]

    def go(self, address: str) -> None:
        """Loads a page, to its end."""
        self.call("Page.enable")
        self._events.clear()
        self.call("Page.navigate", url=address)
        while "Page.loadEventFired" not in self._events:
            self._receive()

    def _receive(self) -> dict[str, Any]:
        message = json.loads(self._session.recv(timeout=ANSWER_SECONDS_MAX))
        if "method" in message:
            self._events.append(message["method"])
        return message

    def evaluate(self, script: str) -> object:
        """The value of an expression, or of its promise when that is kept."""
        answer = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")


@contextmanager
def opened(network: Network, address: str) -> Iterator[Page]:
    """A page that is loaded."""
    with ExitStack() as stack:
        profile = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        match = stack.enter_context(
            program(
                network,
                *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
                *(f"--user-data-dir={profile}", "--remote-debugging-port=0", "about:blank"),
                says=r"DevTools listening on ws://127\.0\.0\.1:(\d+)/",
            )
        )
        port = int(match[1])
        devtools = HTTPConnection("127.0.0.1", port)
        devtools.sock = stack.enter_context(network.connect("127.0.0.1", port))
        devtools.request("PUT", "/json/new?about:blank")
        tab = json.loads(devtools.getresponse().read())
        path = urlsplit(tab["webSocketDebuggerUrl"]).path
        session = stack.enter_context(network.websocket(port, path=path, max_size=None))
        page = Page(session)
        page.go(address)
        yield page
