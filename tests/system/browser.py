"""A Chromium of this machine in the network of another one, steered by its own protocol."""

import json
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from websockets.sync.client import ClientConnection

from .network import Network

START_SECONDS_MAX = 60
ANSWER_SECONDS_MAX = 60


@contextmanager
def program(network: Network, *command: str, says: str) -> Iterator[re.Match[str]]:
    """A program of this machine in that network, once its output matches `says`."""
    if shutil.which(command[0]) is None:
        pytest.fail(f"{command[0]} is not there: run tests/setup system", pytrace=False)
    running = subprocess.Popen(
        # All of it, Chromium's many processes too, ends with the namespace that it is put into.
        ["nsenter", f"--net=/proc/{network.pid}/ns/net", "unshare", "--pid", "--kill-child", *command],
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

    def call(self, method: str, **parameters: object) -> dict[str, object]:
        self._calls += 1
        call = {"id": self._calls, "method": method, "params": parameters}
        self._session.send(json.dumps(call))
        while True:
            answer = json.loads(self._session.recv(timeout=ANSWER_SECONDS_MAX))
            if answer.get("id") == self._calls:
                assert "error" not in answer, answer
                return answer["result"]

    def evaluate(self, script: str) -> object:
        """The value of an expression, or of its promise when that is kept."""
        answer = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        result = answer["result"]
        assert isinstance(result, dict)
        return result.get("value")


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
        with network.connect("127.0.0.1", port) as stream:
            stream.sendall(f"PUT /json/new?{address} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n".encode())
            with stream.makefile("rb") as answer:
                body = answer.read().partition(b"\r\n\r\n")[2]
        path = json.loads(body)["webSocketDebuggerUrl"].partition(str(port))[2]
        session = stack.enter_context(network.websocket(port, path=path, max_size=None))
        page = Page(session)
        page.evaluate("document.readyState == 'complete' || new Promise(r => onload = r) && true")
        yield page
