"""Start programs, wait for what they say, and end them again."""

import os
import re
import shutil
import signal
import subprocess
import threading
import time
from typing import IO

import pytest

# Each package of debian.txt that brings a program, by the program's name.
PACKAGES = {
    "bash": "bash",
    "Xtigervnc": "tigervnc-standalone-server",
    "chromedriver": "chromium-driver",
    "chromium": "chromium",
    "display": "imagemagick",
    "import": "imagemagick",
    "openssl": "openssl",
    "sh": "dash",
    "socat": "socat",
    "unshare": "util-linux",
    "vncserver": "tigervnc-standalone-server",
    "xev": "x11-utils",
}


def installed(name: str) -> str:
    """The path of a program from Debian. A test that cannot run fails: it is not skipped."""
    path = shutil.which(name)
    if path is None:
        pytest.fail(f"{name} is missing: apt install {PACKAGES[name]}")
    return path


class Stream:
    """What a program wrote to one of its outputs so far."""

    def __init__(self, name: str, source: IO[str]) -> None:
        self.name = name
        self._text = ""
        self._ended = False
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, args=(source,), daemon=True)
        self._reader.start()

    def _read(self, source: IO[str]) -> None:
        for line in source:
            with self._news:
                self._text += line
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def text(self) -> str:
        with self._news:
            return self._text

    def wait_for(self, pattern: str, within_s: float = 20) -> re.Match[str]:
        """Block until the pattern (multi-line, `.` spans lines) shows up, and return the match."""
        wanted = re.compile(pattern, re.MULTILINE | re.DOTALL)
        deadline = time.monotonic() + within_s
        with self._news:
            while not (match := wanted.search(self._text)):
                left_s = deadline - time.monotonic()
                if self._ended or left_s <= 0:
                    why = "ended" if self._ended else f"ran for {within_s} s"
                    pytest.fail(f"{self.name} {why} without {pattern!r}; it said:\n{self._text}")
                self._news.wait(left_s)
            return match

    def drain(self) -> None:
        self._reader.join(timeout=5)


class Program:
    """A running program. Its outputs are read all the time, so it never blocks on a full pipe."""

    def __init__(self, *command: str, display: str | None = None) -> None:
        environment = os.environ | ({"DISPLAY": display} if display else {})
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=environment,
        )
        name = os.path.basename(command[0])
        self.stdout = Stream(f"{name}: stdout", self._process.stdout)
        self.stderr = Stream(f"{name}: stderr", self._process.stderr)

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def stop(self) -> int:
        """End the program as its supervisor would, and return its exit status."""
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.stdout.drain()
        self.stderr.drain()
        return self._process.returncode
