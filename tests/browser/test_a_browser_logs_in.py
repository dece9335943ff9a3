"""A password, asked for by HTTP's Basic scheme, as a browser asks its user for it and keeps it."""

from collections.abc import Callable

from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement

from conftest import Proxy
from desktop import Desktop
from pages import assert_becomes, canvas_picture, keep_screenshot, sockets

USER = ("--auth-plugin=BasicHTTPAuth", "--auth-source=jane:s3c:ret")


def with_password(url: str, password: str) -> str:
    """What a user types who does not wait for the browser's dialog, which headless Chromium lacks."""
    return url.replace("://", f"://jane:{password}@")


def closed(browser: WebDriver, url: str) -> list:
    """How a script's WebSocket ends: whether it opened, and code and reason."""
    return browser.execute_async_script(
        """
        const [url, done] = arguments, socket = new WebSocket(url, ["binary"]);
        let opened = false;
        socket.onopen = () => { opened = true; };
        socket.onclose = ({ code, reason }) => done([opened, code, reason.split(" (session ")[0]]);
        """,
        url,
    )


def test_novnc_shows_the_desktop_to_who_has_logged_in(
    desktop: Desktop,
    start_proxy: Callable[..., Proxy],
    connect_novnc: Callable[[str], WebElement],
    browser: WebDriver,
):
    """Page, scripts and session, on one login: the browser sends the password with each of them."""
    wanted = desktop.picture()
    proxy = start_proxy(desktop.port, tls=False, more=(*USER, "--web-auth"))
    canvas = connect_novnc(with_password(proxy.url("http"), "s3c%3Aret"))
    assert_becomes(browser, lambda: canvas_picture(browser, canvas), wanted, "logged-in")
    keep_screenshot(browser, "novnc-logged-in")
    assert [socket["url"] for socket in sockets(browser)] == [proxy.url("ws") + "/websockify"]
    assert " user=jane" in proxy.program.stderr.wait_for(r"session opened[^\n]*")[0]


def test_without_the_password_there_is_no_page(
    silent_port: int, start_proxy: Callable[..., Proxy], browser: WebDriver
):
    proxy = start_proxy(silent_port, tls=False, more=(*USER, "--web-auth"))
    browser.get(proxy.url("http") + "/vnc.html")
    assert "noVNC" not in browser.page_source
    browser.get(with_password(proxy.url("http"), "wrong") + "/vnc.html")
    assert "noVNC" not in browser.page_source


def test_a_script_sends_the_password_when_it_is_asked_and_learns_that_it_is_wrong(
    desktop: Desktop, start_proxy: Callable[..., Proxy], browser: WebDriver
):
    """A 401 makes Chromium send what it has; only then a Close can tell more than 1006."""
    proxy = start_proxy(desktop.port, tls=False, more=USER)
    browser.get(proxy.url("http") + "/core/encodings.js")
    url = proxy.url("ws") + "/websockify"
    assert closed(browser, url)[:2] == [False, 1006], "it has none"
    wrong = closed(browser, with_password(url, "wrong"))
    assert wrong == [True, 1008, "The user or the password is wrong"]
    said = browser.execute_async_script(
        """
        const [url, done] = arguments, socket = new WebSocket(url, ["binary"]);
        socket.binaryType = "arraybuffer";
        socket.onmessage = ({ data }) => done(new TextDecoder().decode(data));
        socket.onclose = ({ code, reason }) => done(`${code} ${reason}`);
        """,
        with_password(url, "s3c%3Aret"),
    )
    assert said.startswith("RFB 003."), said
