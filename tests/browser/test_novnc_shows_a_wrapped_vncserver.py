"""`websockify 5901 --wrap-mode=ignore -- vncserver -geometry 1024x768 :1`, as people type it.

vncserver goes to the background at once, and its X server binds the very port that the proxy listens
on: that is moved, and followed.
"""

from collections.abc import Callable
from pathlib import Path

from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement

from conftest import NOVNC
from desktop import WrappedDesktop, free_number
from pages import assert_becomes, canvas_picture, keep_screenshot
from pictures import colour_card
from programs import Program, installed


def test_novnc_shows_the_desktop_of_a_vncserver_that_is_wrapped(
    run: Callable[..., Program],
    websockify: str,
    connect_novnc: Callable[[str], WebElement],
    browser: WebDriver,
    tmp_path: Path,
):
    """On the port of display :N the page and the desktop are found, and both end with the proxy."""
    number = free_number()
    session = tmp_path / "session"
    session.write_text("#!/bin/sh\nexec tail -f /dev/null\n")
    session.chmod(0o755)
    proxy = run(
        *("/usr/bin/env", f"HOME={tmp_path}"),
        *(websockify, "--web", str(NOVNC), str(5900 + number), "--wrap-mode=ignore", "--"),
        *(installed("vncserver"), "-geometry", "1024x768"),
        # Else it asks for a password to be set first, and starts a desktop environment.
        *("-SecurityTypes", "None", "-xstartup", str(session)),
        f":{number}",
    )
    proxy.stderr.wait_for("the program has ended: exit status: 0")
    canvas = connect_novnc(f"http://localhost:{5900 + number}")

    desktop = WrappedDesktop(number, tmp_path)
    desktop.draw(colour_card((1024, 768)), tmp_path / "card.png")
    wanted = desktop.picture()
    assert wanted.size == (1024, 768)
    assert_becomes(browser, lambda: canvas_picture(browser, canvas), wanted, "wrapped")
    keep_screenshot(browser, "wrapped-vncserver")

    assert desktop.is_there
    assert proxy.stop() == 0
    assert not desktop.is_there
