"""A program of this project, as a test sees it: started, listening somewhere, ended by SIGTERM."""

import os
import queue
import re
import signal
import subprocess
import threading
from pathlib import Path
from typing import Self

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

LISTENING = re.compile(r"listening on (?P<host>\S+):(?P<port>\d+)")
START_SECONDS_MAX = 10
STOP_SECONDS_MAX = 10


def built(variable: str, default: str) -> Path:
    """The path of a built program; the environment may name another one."""
    path = Path(os.environ.get(variable, REPOSITORY / default))
    if not os.access(path, os.X_OK):
        pytest.fail(f"{path} is not there: build it first, or set {variable}", pytrace=False)
    return path


class Program:
    """A running program that says on stderr where it listens.

    SIGTERM has to end it with status 0, unless it does without a handler and dies by the signal.
    """

    def __init__(self, *command: str | Path, handles_sigterm: bool = True) -> None:
        self._command = " ".join(map(str, command))
        self._end_status = 0 if handles_sigterm else -signal.SIGTERM
        self.log: list[str] = []
        self._addresses: queue.SimpleQueue[re.Match[str] | None] = queue.SimpleQueue()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
        )
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        self.port = self._wait_until_listening()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self._kill()
            raise AssertionError(self._story("did not end after SIGTERM")) from None
        self._reader.join()
        assert status == self._end_status, self._story(f"ended with status {status} after SIGTERM")

    @property
    def pid(self) -> int:
        return self._process.pid

    def _read_log(self) -> None:
        # Reading goes on to the end: a full pipe would stop the program.
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.log.append(line)
            if address := LISTENING.search(line):
                self._addresses.put(address)
        self._addresses.put(None)

    def _wait_until_listening(self) -> int:
        try:
            address = self._addresses.get(timeout=START_SECONDS_MAX)
        except queue.Empty:
            address = None
        if address is None:
            self._kill()
            raise AssertionError(self._story("did not say `listening on ADDRESS:PORT`"))
        return int(address["port"])

    def _kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()

    def _story(self, what: str) -> str:
        return f"{self._command} {what}; its log:\n{''.join(self.log[-50:])}"
