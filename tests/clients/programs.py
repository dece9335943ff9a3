"""The clients that are programs of their own: `ws` in Node.js, and websocat.

Both get messages on stdin, each behind its length in four bytes, and write what the proxy sends to
stdout as one stream.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO

import pytest

from .exchange import EXCHANGE_SECONDS_MAX, Exchange
from .program import built
from .stream import MESSAGE_SIZES

LENGTH_BYTES = 4
HERE = Path(__file__).resolve().parent


def with_ws(exchange: Exchange) -> str | None:
    node = shutil.which("node")
    if node is None:
        pytest.fail("node is not there: install the Debian package nodejs", pytrace=False)
    if not (HERE / "node_modules" / "ws").is_dir():
        pytest.fail("npm's ws is not there: run npm ci --prefix tests/clients", pytrace=False)
    offer = [exchange.offer] if exchange.offer else []
    log = _run(
        [node, str(HERE / "ws.mjs"), exchange.url, *offer],
        {"NODE_EXTRA_CA_CERTS": str(exchange.authority)},
        exchange,
        exchange.messages(),
    )
    # Warnings of Node.js may come before it.
    report = json.loads(log.splitlines()[-1])
    assert report["code"] == 1000, report
    return report["protocol"] or None


def with_websocat(exchange: Exchange) -> str | None:
    offer = [f"--protocol={exchange.offer}"] if exchange.offer else []
    command = [
        str(built("WEBSOCAT", "target/tools/bin/websocat")),
        "-v",
        "--binary",
        f"--buffer-size={LENGTH_BYTES + max(MESSAGE_SIZES)}",
        "--lengthprefixed-skip-write-direction",
        # Under load websocat sometimes forgets to send the last of what it has buffered, until it
        # has a ping to send (a known fault of its version 1).
        "--ping-interval=1",
        *offer,
        "lengthprefixed:stdio:",
        exchange.url,
    ]
    # To websocat an empty message is the end of its input.
    messages = filter(len, exchange.messages())
    log = _run(command, {"SSL_CERT_FILE": str(exchange.authority)}, exchange, messages)
    assert "Received WebSocket close message" in log, log
    chosen = re.search(r"^, Sec-WebSocket-Protocol: (\S+)", log, re.MULTILINE)
    return chosen[1] if chosen else None


def _run(
    command: list[str],
    environment: Mapping[str, str],
    exchange: Exchange,
    messages: Iterable[memoryview],
) -> str:
    """Feeds the program and judges its output; returns what it wrote to stderr."""
    with tempfile.TemporaryFile("w+") as log:
        program = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        )
        assert program.stdin is not None
        assert program.stdout is not None
        # Killing the program ends its output, and so each wait below.
        guard = threading.Timer(EXCHANGE_SECONDS_MAX, program.kill)
        feeder = threading.Thread(target=_feed, args=(program.stdin, messages), daemon=True)
        guard.start()
        feeder.start()
        try:
            while not exchange.received.complete:
                chunk = os.read(program.stdout.fileno(), 65536)
                if not chunk:
                    break
                exchange.received.feed(chunk)
            feeder.join()
            program.stdin.close()
            exchange.received.feed(program.stdout.read())
            status = program.wait()
        finally:
            guard.cancel()
            program.kill()
            program.wait()
            feeder.join()
            program.stdout.close()
        log.seek(0)
        report = log.read()
        assert status == 0, (
            f"{command[0]} ended with status {status} after {exchange.received.length} bytes;"
            f" its log:\n{report[-4000:]}"
        )
        return report


def _feed(pipe: IO[bytes], messages: Iterable[memoryview]) -> None:
    try:
        for message in messages:
            pipe.write(len(message).to_bytes(LENGTH_BYTES, "big"))
            pipe.write(message)
        pipe.flush()
    except BrokenPipeError:
        # The program is gone; its status and the missing bytes tell the story.
        return
