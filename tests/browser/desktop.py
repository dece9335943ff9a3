"""A real desktop: Xtigervnc, what is drawn on it, and what X itself says it looks like."""

import os
import socket
import subprocess
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from pictures import differing_share
from programs import Program, installed

SIZE = (800, 600)


class Desktop:
    """An X server that is its own VNC server, without a password, on loopback only."""

    def __init__(self, run: Callable[..., Program]) -> None:
        self.server = run(
            installed("Xtigervnc"),
            # Takes a free display, and writes its number to stdout when it is ready.
            *("-displayfd", "1"),
            *("-SecurityTypes", "None", "-localhost"),
            *("-geometry", "{}x{}".format(*SIZE), "-depth", "24"),
            # Else the drawing is gone with the program that drew it.
            "-noreset",
        )
        self.environment = {"DISPLAY": ":" + self.server.stdout.wait_for(r"^(\d+)$")[1]}
        # Said only by the server itself: it follows from the display.
        self.port = int(self.server.stderr.wait_for(r"Listening for VNC .*? port (\d+)$")[1])

    @property
    def display(self) -> str:
        return self.environment["DISPLAY"]

    def draw(self, picture: Image.Image, file: Path) -> None:
        """Make the picture the background of the whole desktop, by way of the file."""
        picture.save(file)
        said = self._ask_x("display", "-window", "root", str(file)).stderr
        # Its exit status is 1 even when all went well, so X is asked instead.
        assert differing_share(self.picture(), picture) == 0, f"X does not show it: {said.decode()}"

    def picture(self) -> Image.Image:
        """The desktop as the X server has it, without the pointer."""
        done = self._ask_x("import", "-silent", "-window", "root", "png:-")
        assert done.returncode == 0, done.stderr.decode()
        return Image.open(BytesIO(done.stdout)).convert("RGB")

    def _ask_x(self, name: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [installed(name), *arguments],
            env=os.environ | self.environment,
            capture_output=True,
            timeout=10,
        )


class WrappedDesktop(Desktop):
    """The same, of a `vncserver` that somebody else starts, in a home of the test's own."""

    def __init__(self, number: int, home: Path) -> None:
        self.environment = {"DISPLAY": f":{number}", "XAUTHORITY": str(home / ".Xauthority")}

    @property
    def is_there(self) -> bool:
        return socket_of(self.display).exists()


def free_number() -> int:
    """A display that nobody has, whose VNC port, 5900 and the number, nobody has either."""
    for number in range(20, 100):
        with socket.socket() as trial:
            try:
                trial.bind(("127.0.0.1", 5900 + number))
            except OSError:
                continue
            if not socket_of(f":{number}").exists():
                return number
    pytest.fail("no display is free")


def socket_of(display: str) -> Path:
    return Path("/tmp/.X11-unix/X" + display.removeprefix(":"))
