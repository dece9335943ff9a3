"""`websockify demo` shows a newcomer a working proxy, with nothing else installed."""

import signal
import uuid
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver

from pages import canvas_picture, eventually, keep_screenshot, sockets
from programs import Program
from readings import bytes_in, seconds_in


class Demo:
    """The demo's page in the browser, by what it shows."""

    def __init__(self, browser: WebDriver, program: Program, url: str) -> None:
        self.browser = browser
        self.program = program
        self.url = url

    def text(self, element: str) -> str:
        """What the element shows; nothing while it is hidden."""
        return self.browser.find_element(By.ID, element).text

    def type(self, line: str) -> None:
        self.browser.find_element(By.ID, "input").send_keys(line, Keys.ENTER)

    def reading(
        self, element: str, parse: Callable[[str], float | None], other_than: float = 0
    ) -> float:
        """Wait until the element shows a number above 0 that is not the one given."""

        def number() -> float | None:
            value = parse(self.text(element))
            return value if value and value != other_than else None

        return eventually(
            self.browser,
            number,
            lambda: f"{element} moves on from {other_than}; it shows {self.text(element)!r}",
        )

    def graph(self, element: str) -> bytes:
        """The pixels of a graph once something is drawn on it."""
        canvas = self.browser.find_element(By.ID, element)
        assert canvas.is_displayed(), f"{element} is hidden"

        def drawn() -> bytes | None:
            picture = canvas_picture(self.browser, canvas, "RGBA")
            return picture.tobytes() if len(picture.getcolors(2**24)) > 1 else None

        return eventually(self.browser, drawn, f"something is drawn on {element}")

    def wait_until_graph_moves(self, element: str) -> None:
        before = self.graph(element)
        eventually(
            self.browser,
            lambda: self.graph(element) != before,
            f"the pixels of {element} change",
        )


@pytest.fixture
def demo(run: Callable[..., Program], websockify: str, browser: WebDriver) -> Demo:
    """Start the demo on a free port, open the address it prints, and wait for its connection."""
    program = run(websockify, "demo", "127.0.0.1:0")
    url = program.stdout.wait_for(r"http://127\.0\.0\.1:\d+/")[0]
    browser.get(url)
    demo = Demo(browser, program, url)
    eventually(
        browser,
        lambda: demo.text("status") == "connected",
        lambda: f"the page is connected; it says {demo.text('status')!r}",
    )
    return demo


def test_the_built_in_target_talks_first(demo: Demo):
    """Lines of the target show up before the user did anything."""
    eventually(demo.browser, lambda: demo.text("log").strip(), "the log shows what the target said")


def test_what_is_typed_comes_back_from_the_target(demo: Demo):
    """The echo crosses the proxy: while demo and target stand still, the log stays without it."""
    first, second = (f"echo-{uuid.uuid4().hex}" for _ in range(2))
    demo.type(first)
    eventually(demo.browser, lambda: first in demo.text("log"), f"the log shows {first}")

    demo.program.signal(signal.SIGSTOP)
    try:
        demo.type(second)
        # A page that echoes by itself has done so once it has painted twice.
        demo.browser.execute_async_script(
            "const [done] = arguments; requestAnimationFrame(() => requestAnimationFrame(done))"
        )
        assert second not in demo.text("log"), "the page shows what the target never said"
    finally:
        demo.program.signal(signal.SIGCONT)
    eventually(demo.browser, lambda: second in demo.text("log"), f"the log shows {second}")


def test_throughput_round_trip_and_total_move(demo: Demo):
    """The numbers are measured, not painted: they change, and they are possible on this machine."""
    rtt_s = demo.reading("rtt", seconds_in)
    for seen_s in (rtt_s, demo.reading("rtt", seconds_in, other_than=rtt_s)):
        assert 1e-6 < seen_s < 5, "a round trip through two sockets and a page"

    rate = demo.reading("throughput", bytes_in)
    for seen in (rate, demo.reading("throughput", bytes_in, other_than=rate)):
        assert 1 < seen < 100e9, "bytes a second through a page"

    total = demo.reading("received", bytes_in)
    assert demo.reading("received", bytes_in, other_than=total) > total, "a total only grows"


def test_the_graphs_move(demo: Demo):
    """Both graphs are drawn, and are drawn anew as new measurements come."""
    demo.wait_until_graph_moves("rtt-graph")
    demo.wait_until_graph_moves("throughput-graph")
    keep_screenshot(demo.browser, "demo")


def test_the_page_stays_at_home_and_logs_no_error(demo: Demo):
    """It works without the internet: all it loads and all it opens is the demo's own address."""
    demo.type("hello")
    eventually(demo.browser, lambda: "hello" in demo.text("log"), "the log shows hello")
    demo.reading("throughput", bytes_in)

    loaded = demo.browser.execute_script(
        "return performance.getEntries().map(({ name }) => name)"
        ".filter((name) => /^[a-z]+:\\/\\//.test(name))"
    )
    opened = [socket["url"] for socket in sockets(demo.browser)]
    assert demo.url in loaded, "the page itself must be among what was loaded"
    assert opened, "the page must have opened a WebSocket"
    home = urlsplit(demo.url).netloc
    strangers = [url for url in loaded + opened if urlsplit(url).netloc != home]
    assert strangers == []

    # A request that fails, to any other host for one, is an error in the console as well.
    console = demo.browser.get_log("browser")
    assert [entry["message"] for entry in console if entry["level"] == "SEVERE"] == []


def test_the_page_says_when_the_demo_has_ended(demo: Demo):
    """ "connected" is the truth, not a label: it goes when the demo goes."""
    assert demo.program.stop() == 0
    eventually(
        demo.browser,
        lambda: demo.text("status") != "connected",
        "the status is no longer connected",
    )
