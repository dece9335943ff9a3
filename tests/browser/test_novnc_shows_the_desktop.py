"""noVNC in a browser shows the very picture that the X server has."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from PIL import Image, ImageOps
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement

from conftest import Proxy
from desktop import Desktop
from pages import (
    assert_becomes,
    canvas_picture,
    keep_screenshot,
    picture_on_screen,
    sockets,
)
from pictures import differing_share


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_novnc_shows_the_desktop_of_a_real_vnc_server(
    scheme: str,
    desktop: Desktop,
    start_proxy: Callable[..., Proxy],
    connect_novnc: Callable[[str], WebElement],
    browser: WebDriver,
):
    """The main job: canvas and painted window equal the desktop's own picture, over ws and wss."""
    wanted = desktop.picture()
    proxy = start_proxy(desktop.port, tls=scheme == "https")
    canvas = connect_novnc(proxy.url(scheme))

    assert_becomes(browser, lambda: canvas_picture(browser, canvas), wanted, f"canvas-{scheme}")
    assert_becomes(browser, lambda: picture_on_screen(browser, canvas), wanted, f"window-{scheme}")
    keep_screenshot(browser, f"novnc-{scheme}")
    assert [socket["url"] for socket in sockets(browser)] == [
        proxy.url(scheme.replace("http", "ws")) + "/websockify"
    ]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_novnc_follows_the_desktop_as_it_changes(
    scheme: str,
    desktop: Desktop,
    start_proxy: Callable[..., Proxy],
    connect_novnc: Callable[[str], WebElement],
    browser: WebDriver,
    tmp_path: Path,
):
    """A session that delivers the first picture only, and then stalls, is not a session."""
    proxy = start_proxy(desktop.port, tls=scheme == "https")
    canvas = connect_novnc(proxy.url(scheme))
    before = desktop.picture()
    assert_becomes(browser, lambda: canvas_picture(browser, canvas), before, f"before-{scheme}")

    desktop.draw(ImageOps.flip(ImageOps.mirror(before)), tmp_path / "turned.png")

    after = desktop.picture()
    assert differing_share(after, before) > 0.25, "the desktop itself did not change"
    assert_becomes(browser, lambda: canvas_picture(browser, canvas), after, f"after-{scheme}")


def test_one_port_shows_the_desktop_plain_and_encrypted(
    desktop: Desktop,
    start_proxy: Callable[..., Proxy],
    connect_novnc: Callable[[str], WebElement],
    browser: WebDriver,
):
    """With --cert and without --ssl-only, the first byte decides: http and https share the port."""
    wanted = desktop.picture()
    proxy = start_proxy(desktop.port, tls=True)
    for scheme in ("http", "https"):
        canvas = connect_novnc(proxy.url(scheme))
        assert_becomes(browser, partial(canvas_picture, browser, canvas), wanted, f"both-{scheme}")
