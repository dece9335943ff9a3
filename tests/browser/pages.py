"""What the tests read from a page, as its user sees it."""

import base64
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import TypeVar

from PIL import Image
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from pictures import differing_share

SCREENSHOTS = Path(__file__).resolve().parents[2] / "target/screenshots"

T = TypeVar("T")


def eventually(
    browser: WebDriver, look: Callable[[], T], what: str | Callable[[], str], within_s: float = 20
) -> T:
    """Look at the page until it is as wanted, and return what was seen; fail with `what` if late.

    WebDriver tells no events of a page, so this is the one place that looks again and again.
    """
    try:
        return WebDriverWait(browser, within_s, poll_frequency=0.1).until(lambda _: look())
    except TimeoutException:
        reason = what() if callable(what) else what
        raise AssertionError(f"not within {within_s} s: {reason}") from None


def canvas_picture(browser: WebDriver, canvas: WebElement, mode: str = "RGB") -> Image.Image:
    """The pixels a canvas holds: PNG loses none, and neither scaling nor overlays touch them."""
    url = browser.execute_script("return arguments[0].toDataURL('image/png')", canvas)
    return Image.open(BytesIO(base64.b64decode(url.partition(",")[2]))).convert(mode)


def picture_on_screen(browser: WebDriver, element: WebElement) -> Image.Image:
    """The part of the window that the element takes, as Chromium paints it."""
    window = Image.open(BytesIO(browser.get_screenshot_as_png())).convert("RGB")
    box = browser.execute_script(
        "const b = arguments[0].getBoundingClientRect();return [b.left, b.top, b.right, b.bottom]",
        element,
    )
    return window.crop(tuple(round(edge) for edge in box))


def keep_screenshot(browser: WebDriver, name: str) -> Path:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    file = SCREENSHOTS / f"{name}.png"
    file.write_bytes(browser.get_screenshot_as_png())
    return file


def sockets(browser: WebDriver) -> list[dict]:
    """Each WebSocket the page opened: its url, and code and reason once it is closed."""
    return browser.execute_script("return window.recordedSockets")


def assert_becomes(
    browser: WebDriver, take: Callable[[], Image.Image], wanted: Image.Image, name: str
) -> None:
    """Wait until every pixel of the picture taken is the one wanted.

    The first frames are rougher than the tolerance: a session that stops half-way is found out.
    """
    shown = None

    def equal() -> bool:
        nonlocal shown
        shown = take()
        return differing_share(shown, wanted) == 0

    def what() -> str:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        shown.save(SCREENSHOTS / f"{name}-shown.png")
        wanted.save(SCREENSHOTS / f"{name}-wanted.png")
        share = differing_share(shown, wanted)
        return f"{share:.1%} of {shown.size} differ; see {SCREENSHOTS}/{name}-{{shown,wanted}}.png"

    eventually(browser, equal, what)
