"""A real desktop: Xtigervnc, what is drawn on it, and what X itself says it looks like."""

import os
import subprocess
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

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
        self.display = ":" + self.server.stdout.wait_for(r"^(\d+)$")[1]
        # Said only by the server itself: it follows from the display.
        self.port = int(self.server.stderr.wait_for(r"Listening for VNC .*? port (\d+)$")[1])

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
            env=os.environ | {"DISPLAY": self.display},
            capture_output=True,
            timeout=10,
        )
