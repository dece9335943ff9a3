"""What the user does in the browser happens on the desktop."""

import re
from collections.abc import Callable

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement

from conftest import Proxy
from desktop import SIZE, Desktop
from programs import Program, installed


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_key_and_a_click_reach_the_program_on_the_desktop(
    scheme: str,
    desktop: Desktop,
    run: Callable[..., Program],
    start_proxy: Callable[..., Proxy],
    connect_novnc: Callable[[str], WebElement],
    browser: WebDriver,
):
    """xev reports the click where it was made, with the left button, then the key that was hit."""
    xev = run(installed("xev"), "-geometry", "300x200+200+150", display=desktop.display)
    xev.stdout.wait_for(r"^Expose event")
    proxy = start_proxy(desktop.port, tls=scheme == "https")
    canvas = connect_novnc(proxy.url(scheme))

    x, y = 417, 283
    # Selenium counts from the middle of the element.
    from_middle = (x - SIZE[0] // 2, y - SIZE[1] // 2)
    ActionChains(browser).move_to_element_with_offset(canvas, *from_middle).click().perform()
    for event in ("ButtonPress", "ButtonRelease"):
        clicked = xev.stdout.wait_for(rf"^{event} event.*?root:\((\d+),(\d+)\).*?button (\d+)")
        assert clicked.groups() == (str(x), str(y), "1")

    # Without a window manager the keys go to the window under the pointer.
    ActionChains(browser).send_keys("w").perform()
    a_key = r"^(KeyPress|KeyRelease) event.*?\(keysym 0x[0-9a-f]+, (\w+)\)"
    xev.stdout.wait_for(a_key.replace("KeyPress|", ""))
    keys = re.findall(a_key, xev.stdout.text(), re.MULTILINE | re.DOTALL)
    assert keys == [("KeyPress", "w"), ("KeyRelease", "w")]
