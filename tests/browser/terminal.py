"""The web terminal's page in the browser, by what it shows."""

from collections.abc import Callable

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement

from pages import eventually
from telnet_host import PASSWORD, PROMPT, USER

LINES = """
const buffer = window.terminal.buffer.active, lines = [];
for (let row = 0; row < window.terminal.rows; row += 1) {
  lines.push(buffer.getLine(buffer.viewportY + row).translateToString(true));
}
return lines;
"""

LAST_CELL_IS_INVERSE = """
const [row] = arguments, buffer = window.terminal.buffer.active;
const line = buffer.getLine(buffer.viewportY + row);
return Boolean(line?.getCell(window.terminal.cols - 1)?.isInverse());
"""


class Terminal:
    def __init__(self, browser: WebDriver) -> None:
        self.browser = browser

    def element(self, name: str) -> WebElement:
        return self.browser.find_element(By.ID, name)

    @property
    def status(self) -> str:
        return self.element("status").text

    @property
    def state(self) -> str:
        return self.browser.find_element(By.TAG_NAME, "body").get_attribute("data-state")

    @property
    def lines(self) -> list[str]:
        """What is on the screen, from xterm.js's own buffer."""
        return self.browser.execute_script(LINES)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        script = "return [window.terminal.rows, window.terminal.cols]"
        return tuple(self.browser.execute_script(script))

    def fills_the_width(self, row: int) -> bool:
        return self.browser.execute_script(LAST_CELL_IS_INVERSE, row)

    def wait_until(self, look: Callable[[], object], what: str) -> None:
        eventually(
            self.browser,
            look,
            lambda: f"{what}; it is {self.state}, says {self.status!r}, and shows:\n{self.text}",
        )

    def wait_for(self, text: str) -> None:
        self.wait_until(lambda: text in self.text, f"the screen shows {text!r}")

    def wait_for_line(self, line: str) -> None:
        self.wait_until(lambda: line in self.lines, f"a line of the screen is {line!r}")

    def wait_for_state(self, state: str) -> None:
        self.wait_until(lambda: self.state == state, f"the page is {state}")

    def type(self, *keys: str) -> None:
        self.browser.switch_to.active_element.send_keys(*keys)

    def log_in(self) -> None:
        self.wait_for("login:")
        self.type(USER, Keys.ENTER)
        self.wait_for("Password:")
        self.type(PASSWORD, Keys.ENTER)
        self.wait_for(PROMPT)

    def run(self, command: str) -> None:
        self.type(command, Keys.ENTER)

    def resize_window(self, width: int, height: int, *, mobile: bool = False) -> None:
        self.browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile},
        )

    def prefer(self, scheme: str) -> None:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
