"""The web terminal is a terminal: people log in to Debian's telnetd and work there."""

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver

from conftest import Certificate, Proxy
from pages import keep_screenshot, picture_on_screen, sockets
from programs import Program
from telnet_host import PASSWORD, PROMPT, TelnetHost
from terminal import Terminal

COLOURS = (
    r"clear; for i in 0 1 2 3 4 5 6 7; do "
    r"printf '\033[3%dm colour %d \033[1;9%dm bright\033[m\n' $i $i $i; done; "
    r"printf '\033[7m%s\033[m\n' reversed"
)
COLOUR_OF = """
const span = [...document.querySelectorAll(".xterm-rows span")]
  .find(({ textContent }) => textContent === arguments[0]);
return span && getComputedStyle(span).color;
"""
GREETING = "Grüße, 日本語, €"


@pytest.fixture
def telnet_host(tmp_path: Path) -> Iterator[TelnetHost]:
    host = TelnetHost(tmp_path)
    yield host
    host.stop()


@pytest.fixture
def serve(
    run: Callable[..., Program], websockify: str, certificate: Certificate
) -> Callable[..., Proxy]:
    """Start `websockify --web builtin:telnet PORT localhost:TARGET`."""

    def start(target_port: int, *, tls: bool = False, port: int = 0) -> Proxy:
        options = ["--web", "builtin:telnet"]
        if tls:
            options += ["--cert", str(certificate.file), "--key", str(certificate.key)]
        program = run(websockify, *options, f"127.0.0.1:{port}", f"127.0.0.1:{target_port}")
        bound = int(program.stderr.wait_for(r"listening on \S+:(\d+)\b")[1])
        return Proxy(bound, program)

    return start


@pytest.fixture
def terminal(browser: WebDriver) -> Iterator[Terminal]:
    yield Terminal(browser)
    # for all tabs, and so for the tests after this one
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})


@pytest.fixture
def logged_in(telnet_host: TelnetHost, serve: Callable[..., Proxy], terminal: Terminal) -> Terminal:
    proxy = serve(telnet_host.port)
    terminal.browser.get(proxy.url("http") + "/")
    terminal.log_in()
    return terminal


def test_a_user_logs_in_and_the_host_knows_the_terminal(logged_in: Terminal):
    """The page is at /, as people type it. What is typed comes from the host, or not at all."""
    assert logged_in.browser.current_url.endswith("/telnet/")
    assert logged_in.status == "connected"
    assert PASSWORD not in logged_in.text

    logged_in.run("echo $TERM $((6 * 7))")
    logged_in.wait_for_line("xterm-256color 42")
    logged_in.run("stty size")
    logged_in.wait_for_line("{} {}".format(*logged_in.size))


def test_a_full_screen_program_follows_the_window(logged_in: Terminal):
    """top draws its heading as wide as the terminal, and as many lines as there are."""
    logged_in.resize_window(1000, 500)
    before = logged_in.size
    logged_in.run("top -d 600")  # it draws by itself once, and then only for a new size

    def drawn() -> bool:
        lines = logged_in.lines
        heading = next((row for row, line in enumerate(lines) if " PID USER" in line), None)
        full = all(line.strip() for line in lines[heading:]) if heading else False
        return full and logged_in.fills_the_width(heading)

    logged_in.wait_until(drawn, "top fills the screen")
    keep_screenshot(logged_in.browser, "terminal-top-light")
    for width, height in [(1280, 700), (900, 400)]:
        logged_in.resize_window(width, height)
        logged_in.wait_until(lambda: logged_in.size != before, "the terminal has another size")
        before = logged_in.size
        logged_in.wait_until(drawn, f"top fills the screen of {before}")
    logged_in.prefer("dark")
    keep_screenshot(logged_in.browser, "terminal-top-dark")
    logged_in.type("q")
    logged_in.run("clear; stty size")
    logged_in.wait_for_line("{} {}".format(*logged_in.size))


def test_text_that_is_not_ascii_goes_both_ways(logged_in: Terminal):
    """Through vi and back, byte for byte."""
    logged_in.run("vi greeting")
    logged_in.wait_for("~")
    logged_in.type("i", GREETING)
    logged_in.wait_for(GREETING)
    keep_screenshot(logged_in.browser, "terminal-vi")
    logged_in.type(Keys.ESCAPE, ":wq", Keys.ENTER)
    logged_in.wait_until(lambda: logged_in.text.count(PROMPT) == 2, "the shell is back")

    logged_in.run("clear; od -An -tx1 -w64 greeting; cat greeting")
    logged_in.wait_for_line(" " + f"{GREETING}\n".encode().hex(" "))
    logged_in.wait_for_line(GREETING)


def test_keys_that_are_not_letters_reach_the_host(logged_in: Terminal):
    """Backspace and arrows edit the line; Ctrl-C ends what would never end."""
    logged_in.type("echo pxng", Keys.ARROW_LEFT, Keys.ARROW_LEFT, Keys.BACKSPACE, "o", Keys.ENTER)
    logged_in.wait_for_line("pong")
    logged_in.run("clear; sleep infinity; echo never")
    logged_in.wait_until(lambda: logged_in.lines[0] == "", "the screen is clear")
    logged_in.type(Keys.CONTROL + "c")
    logged_in.wait_for("^C")
    logged_in.wait_for(PROMPT)
    assert "never" not in logged_in.lines


def test_what_is_pasted_is_typed(logged_in: Terminal):
    """By the browser's own command, and by the page's button; lines are not run unasked."""
    browser = logged_in.browser
    browser.execute_cdp_cmd(
        "Browser.grantPermissions",
        {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]},
    )

    def clip(text: str) -> None:
        script = "const [text, done] = arguments; navigator.clipboard.writeText(text).then(done)"
        browser.execute_async_script(script, text)

    clip(f"echo '{GREETING}'")
    event = {"key": "v", "code": "KeyV", "modifiers": 2, "commands": ["paste"]}
    browser.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": "rawKeyDown", **event})
    browser.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": "keyUp", **event})
    logged_in.wait_for(f"{PROMPT} echo '{GREETING}'")
    logged_in.type(Keys.ENTER)
    logged_in.wait_for_line(GREETING)

    clip("echo one\necho $((1 + 1))")
    logged_in.element("paste").click()
    logged_in.wait_for("echo $((1 + 1))")
    assert "one" not in logged_in.lines
    logged_in.type(Keys.ENTER)
    logged_in.wait_for_line("one")
    logged_in.wait_for_line("2")


def test_the_host_names_the_window(logged_in: Terminal):
    assert logged_in.browser.title.startswith("localhost:")
    logged_in.run(r"printf '\033]2;%s\007' 'the lab'")
    logged_in.wait_until(
        lambda: logged_in.browser.title.startswith("the lab – localhost:"), "the title is the host's"
    )


def test_the_end_of_a_session_is_told_and_a_click_begins_the_next(logged_in: Terminal):
    """A host that is done with its user is not called again unasked; what it said stays."""
    logged_in.run("echo goodbye; exit")
    logged_in.wait_for_state("closed")
    assert logged_in.status == "The host ended the session: Target closed (1000)"
    logged_in.wait_for_line("goodbye")
    keep_screenshot(logged_in.browser, "terminal-closed")

    logged_in.element("connect").click()
    logged_in.wait_for_state("connected")
    logged_in.wait_until(lambda: logged_in.text.count("login:") == 2, "a second login")
    assert len(sockets(logged_in.browser)) == 2


def test_a_lost_connection_comes_back_by_itself(
    telnet_host: TelnetHost, serve: Callable[..., Proxy], terminal: Terminal
):
    """The proxy stops and starts again: why is told, and how long until the next try."""
    proxy = serve(telnet_host.port)
    terminal.browser.get(proxy.url("http") + "/telnet/")
    terminal.log_in()
    assert proxy.program.stop() == 0
    terminal.wait_for_state("waiting")
    assert "(1001)" in terminal.status or "1006" in terminal.status
    assert terminal.element("countdown").text.startswith("Next try in ")
    keep_screenshot(terminal.browser, "terminal-waiting")

    serve(telnet_host.port, port=proxy.port)
    terminal.wait_for_state("connected")
    terminal.wait_until(lambda: terminal.text.count("login:") == 2, "a second login")


def test_a_user_who_hangs_up_is_not_called_back(logged_in: Terminal):
    logged_in.element("disconnect").click()
    logged_in.wait_for_state("closed")
    assert logged_in.status == "You closed the connection"
    [socket] = sockets(logged_in.browser)
    assert socket["code"] == 1000


def test_a_host_that_cannot_be_reached_is_told_with_its_reason(
    silent_port: int, serve: Callable[..., Proxy], terminal: Terminal
):
    terminal.browser.get(serve(silent_port).url("http") + "/telnet/")
    terminal.wait_for_state("waiting")
    assert "Failed to connect to downstream server" in terminal.status
    assert "(1011)" in terminal.status
    terminal.element("disconnect").click()
    terminal.wait_for_state("closed")


def test_by_tls_the_page_connects_by_tls(
    telnet_host: TelnetHost, serve: Callable[..., Proxy], terminal: Terminal
):
    proxy = serve(telnet_host.port, tls=True)
    terminal.browser.get(proxy.url("https") + "/telnet/?token=a%20b")
    terminal.log_in()
    assert terminal.status == "connected, encrypted"
    [socket] = sockets(terminal.browser)
    assert socket["url"] == f"{proxy.url('wss')}/websockify?token=a+b"


def test_the_originals_parameters_say_where_to_connect(
    telnet_host: TelnetHost, silent_port: int, serve: Callable[..., Proxy], terminal: Terminal
):
    """A link may lead to any host, so its user sees where it leads before anything is sent."""
    pages, proxy = serve(silent_port), serve(telnet_host.port)
    query = urlencode({"host": "127.0.0.1", "port": proxy.port, "path": "lab/7"})
    terminal.browser.get(f"{pages.url('http')}/telnet/?{query}")
    url = f"ws://127.0.0.1:{proxy.port}/lab/7"
    terminal.wait_until(lambda: terminal.status == f"Connect to {url}?", f"it asks for {url}")
    assert sockets(terminal.browser) == []

    terminal.browser.switch_to.active_element.send_keys(Keys.ENTER)
    terminal.log_in()
    assert [socket["url"] for socket in sockets(terminal.browser)] == [url]
    assert terminal.element("host").text == f"127.0.0.1:{proxy.port}"


def test_a_parameter_that_makes_no_sense_is_named(
    silent_port: int, serve: Callable[..., Proxy], terminal: Terminal
):
    terminal.browser.get(serve(silent_port).url("http") + "/telnet/?port=telnet")
    terminal.wait_until(lambda: "“telnet” is not a port" in terminal.status, "the port is refused")
    assert not terminal.element("connect").is_displayed()


def test_it_is_light_or_dark_as_its_user_likes(logged_in: Terminal):
    """And it follows when that changes. The screen's colour is what Chromium paints."""
    screen = logged_in.browser.find_element(By.CSS_SELECTOR, ".xterm-screen")
    white, black = (255, 255, 255), (20, 21, 19)
    for scheme, colour in [("light", white), ("dark", black), ("light", white)]:
        logged_in.prefer(scheme)

        def painted() -> bool:
            picture = picture_on_screen(logged_in.browser, screen)
            return picture.getpixel((picture.width - 20, picture.height // 2)) == colour

        logged_in.wait_until(painted, f"the screen is {scheme}")
        logged_in.run(COLOURS)
        logged_in.wait_for_line("reversed")
        wanted = "rgb({}, {}, {})".format(*colour)
        logged_in.wait_until(
            lambda: logged_in.browser.execute_script(COLOUR_OF, "reversed") == wanted,
            "reversed text has the screen's colour",
        )
        keep_screenshot(logged_in.browser, f"terminal-colours-{scheme}")


def test_on_a_phone_there_are_the_keys_that_its_keyboard_lacks(
    telnet_host: TelnetHost, serve: Callable[..., Proxy], terminal: Terminal
):
    browser = terminal.browser
    proxy = serve(telnet_host.port)
    browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    terminal.resize_window(390, 760, mobile=True)
    browser.get(proxy.url("http") + "/telnet/")
    terminal.log_in()
    script = "return [document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
    assert browser.execute_script(script) == [390, 760], "nothing is cut off"

    def press(name: str) -> None:
        browser.find_element(By.XPATH, f"//div[@id='keys']/button[text()='{name}']").click()

    terminal.run("echo first")
    terminal.wait_for_line("first")
    press("↑")
    terminal.wait_until(lambda: terminal.text.count("echo first") == 2, "the last command is back")
    keep_screenshot(browser, "terminal-phone-light")
    press("Ctrl")
    terminal.type("c")
    terminal.wait_for("^C")
    terminal.type("c")
    terminal.wait_for(f"{PROMPT} c")  # Ctrl was for one key
    terminal.type(Keys.BACKSPACE)
    terminal.prefer("dark")
    terminal.resize_window(390, 420, mobile=True)  # as with a keyboard on the screen
    terminal.run("clear; stty size")
    terminal.wait_for_line("{} {}".format(*terminal.size))
    keep_screenshot(browser, "terminal-phone-dark")


def test_a_screen_reader_is_told_what_comes(logged_in: Terminal):
    """Every control has a name; output goes to a live region once that is asked for."""
    browser = logged_in.browser
    for control in browser.find_elements(By.CSS_SELECTOR, "button, textarea"):
        if control.is_displayed() or control.tag_name == "textarea":
            assert control.accessible_name, control.get_attribute("outerHTML")

    region = ".xterm-accessibility [aria-live], .live-region"
    assert not browser.find_elements(By.CSS_SELECTOR, region)
    logged_in.element("screen-reader").click()
    assert logged_in.element("screen-reader").get_attribute("aria-pressed") == "true"
    logged_in.run("echo spoken words")
    logged_in.wait_until(
        lambda: "spoken words" in browser.find_element(
            By.CSS_SELECTOR, ".xterm-accessibility"
        ).get_property("textContent"),
        "the accessibility tree has the line",
    )

    browser.refresh()
    logged_in.wait_for("login:")
    assert logged_in.element("screen-reader").get_attribute("aria-pressed") == "true"


def test_the_page_needs_nothing_from_elsewhere_and_breaks_no_rule(logged_in: Terminal):
    """The policy forbids foreign and inline scripts; a breach would be an error in the console."""
    browser = logged_in.browser
    logged_in.run(r"printf '\033[38;2;1;2;200mtrue colour\033[m\n'")
    logged_in.wait_for_line("true colour")
    logged_in.element("screen-reader").click()
    loaded = browser.execute_script(
        "return performance.getEntriesByType('resource').map(({ name }) => name)"
    )
    home = browser.current_url
    assert [url for url in loaded if not url.startswith(home)] == []
    assert any(url.endswith("/xterm.mjs") for url in loaded)

    console = browser.get_log("browser")
    assert [entry["message"] for entry in console if entry["level"] == "SEVERE"] == []
    browser.execute_script(
        "const script = document.createElement('script');"
        "try { script.text = 'window.inlineRan = true'; document.head.append(script); } catch {}"
    )
    assert browser.execute_script("return window.inlineRan") is None
