"""An ended session looks ended: noVNC says so, and the close code tells why."""

import signal
from collections.abc import Callable

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement

from conftest import Proxy, novnc_status
from desktop import Desktop
from pages import eventually, keep_screenshot, sockets

# The original's words. The session's id may follow, to be looked up in the log.
REFUSED = "Failed to connect to downstream server"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_stopped_vnc_server_shows_as_disconnected(
    scheme: str,
    desktop: Desktop,
    start_proxy: Callable[..., Proxy],
    connect_novnc: Callable[[str], WebElement],
    browser: WebDriver,
):
    """The target's end reaches the page as a normal close: no frozen picture, no abnormal 1006."""
    proxy = start_proxy(desktop.port, tls=scheme == "https")
    connect_novnc(proxy.url(scheme))

    desktop.server.signal(signal.SIGTERM)

    eventually(
        browser,
        lambda: novnc_status(browser) == "Disconnected",
        lambda: f"noVNC says it is disconnected; it says {novnc_status(browser)!r}",
    )
    # The way back to the start: the panel with the Connect button is open again.
    eventually(
        browser,
        lambda: browser.find_element(By.ID, "noVNC_connect_button").is_displayed(),
        "noVNC offers to connect again",
    )
    keep_screenshot(browser, f"novnc-{scheme}-disconnected")
    assert [socket["code"] for socket in sockets(browser)] == [1000]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_novnc_learns_that_the_target_does_not_listen(
    scheme: str,
    silent_port: int,
    start_proxy: Callable[..., Proxy],
    open_novnc: Callable[[str], None],
    browser: WebDriver,
):
    """A browser would hide a refused handshake behind 1006; a close code and a reason arrive."""
    proxy = start_proxy(silent_port, tls=scheme == "https")
    open_novnc(proxy.url(scheme))

    eventually(
        browser,
        lambda: novnc_status(browser) == "Failed to connect to server",
        lambda: f"noVNC says that it failed; it says {novnc_status(browser)!r}",
    )
    [socket] = sockets(browser)
    assert socket["code"] == 1011
    assert socket["reason"].startswith(REFUSED)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_script_reads_code_and_reason_of_a_failed_connect(
    scheme: str,
    silent_port: int,
    start_proxy: Callable[..., Proxy],
    browser: WebDriver,
):
    """Any page can tell its user what is wrong: the handshake succeeds, then code and reason come.

    The script stands in a page without noVNC, so that nothing but the browser is between.
    """
    proxy = start_proxy(silent_port, tls=scheme == "https")
    browser.get(proxy.url(scheme) + "/core/encodings.js")
    events = browser.execute_async_script(
        """
        const [url, done] = arguments, seen = [];
        const socket = new WebSocket(url, ["binary"]);
        socket.onopen = () => seen.push("open " + socket.protocol);
        socket.onmessage = () => seen.push("message");
        socket.onclose = ({ wasClean, code, reason }) => done([...seen, wasClean, code, reason]);
        """,
        proxy.url(scheme.replace("http", "ws")) + "/websockify",
    )
    *before, was_clean, code, reason = events
    assert before == ["open binary"]
    assert code == 1011
    assert reason.startswith(REFUSED)
    # The proxy waits for the browser's own Close: hanging up at once could lose code and reason.
    assert was_clean
