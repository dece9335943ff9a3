"""The parts of a browser session: proxy, desktop, certificate and headless Chromium, all real.

Each test gets fresh ones, and what they said is shown when it fails. Only Chromium itself serves
the whole run, because it starts slowly: there a test gets a tab of its own. As each proxy has a
port of its own, no test sees what another stored.
"""

import base64
import hashlib
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement

from desktop import SIZE, Desktop
from pages import eventually, keep_screenshot
from pictures import colour_card
from programs import Program, installed

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
NOVNC = Path("/usr/share/novnc")


@contextmanager
def running_programs() -> Iterator[Callable[..., Program]]:
    """Start programs that end with the block."""
    programs: list[Program] = []

    def start(*command: str, display: str | None = None) -> Program:
        programs.append(Program(*command, display=display))
        return programs[-1]

    start.programs = programs
    yield start
    for program in reversed(programs):
        program.stop()


@pytest.fixture
def run() -> Iterator[Callable[..., Program]]:
    """Start a program that ends with the test."""
    with running_programs() as start:
        yield start


@pytest.fixture(scope="session")
def websockify() -> str:
    """The binary under test."""
    path = Path(os.environ.get("WEBSOCKIFY", REPOSITORY / "target/release/websockify"))
    if not os.access(path, os.X_OK):
        pytest.fail(f"{path} is missing: cargo build --release, or set WEBSOCKIFY to the binary")
    return str(path)


@dataclass(frozen=True)
class Certificate:
    file: Path
    key: Path
    # SHA-256 of the public key in base64, the form in which Chromium can be told to trust it.
    spki_hash: str


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate for localhost, made now and trusted by nobody else."""
    folder = tmp_path_factory.mktemp("certificate")
    file, key = folder / "localhost.pem", folder / "localhost.key"

    def openssl(*arguments: str, given: bytes = b"") -> bytes:
        done = subprocess.run(
            [installed("openssl"), *arguments], input=given, capture_output=True, timeout=30
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
        *("-keyout", str(key), "-out", str(file)),
    )
    public = openssl("x509", "-in", str(file), "-noout", "-pubkey")
    spki = openssl("pkey", "-pubin", "-outform", "der", given=public)
    return Certificate(file, key, base64.b64encode(hashlib.sha256(spki).digest()).decode())


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A loopback port on which connections are refused: taken, so that nobody else listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture
def desktop(run: Callable[..., Program], tmp_path: Path) -> Desktop:
    """A real X desktop with a VNC server, and the colour card drawn all over it."""
    desktop = Desktop(run)
    desktop.draw(colour_card(SIZE), tmp_path / "card.png")
    return desktop


@dataclass(frozen=True)
class Proxy:
    port: int
    program: Program

    def url(self, scheme: str) -> str:
        # By name, as people type it: Chromium tries all addresses of localhost.
        return f"{scheme}://localhost:{self.port}"


@pytest.fixture
def start_proxy(
    run: Callable[..., Program], websockify: str, certificate: Certificate
) -> Callable[..., Proxy]:
    """Start `websockify --web /usr/share/novnc 0 localhost:PORT`, with TLS or more if asked for."""

    def start(target_port: int, *, tls: bool, more: tuple[str, ...] = ()) -> Proxy:
        if not (NOVNC / "vnc.html").is_file():
            pytest.fail(f"{NOVNC} is missing: apt install novnc")
        options = ["--web", str(NOVNC), *more]
        if tls:
            options += ["--cert", str(certificate.file), "--key", str(certificate.key)]
        program = run(websockify, *options, "0", f"localhost:{target_port}")
        return Proxy(int(program.stderr.wait_for(r"listening on \S+:(\d+)\b")[1]), program)

    return start


@pytest.fixture(scope="session")
def chromium(
    tmp_path_factory: pytest.TempPathFactory, certificate: Certificate
) -> Iterator[WebDriver]:
    """The one of the whole run."""
    with running_chromium(tmp_path_factory.mktemp("chromium"), certificate) as chromium:
        yield chromium


@contextmanager
def running_chromium(
    folder: Path, certificate: Certificate, environment: dict[str, str] | None = None
) -> Iterator[WebDriver]:
    """Debian's Chromium without a window, with an empty profile, that can reach only loopback."""
    options = webdriver.ChromeOptions()
    options.binary_location = installed("chromium")
    for flag in [
        "--headless=new",
        "--no-sandbox",  # the tests may run as root, for whom there is none
        "--disable-gpu",
        "--disable-dev-shm-usage",  # /dev/shm is tiny in containers
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        f"--user-data-dir={folder / 'profile'}",
        # A request to any other host fails at once, and shows in the page's console.
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
        # Trust this one key and still check everything else, for pages and WebSockets alike.
        f"--ignore-certificate-errors-spki-list={certificate.spki_hash}",
        # One pixel of a page is one pixel of the screenshot, in the same colour.
        "--force-device-scale-factor=1",
        "--force-color-profile=srgb",
    ]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    log = folder / "chromedriver.log"
    service = Service(installed("chromedriver"), log_output=str(log), env=environment)
    chromium = webdriver.Chrome(options=options, service=service)
    chromium.set_page_load_timeout(20)
    chromium.set_script_timeout(10)
    yield chromium
    chromium.quit()


@contextmanager
def new_tab(chromium: WebDriver) -> Iterator[WebDriver]:
    """A tab of its own, that records the page's WebSockets."""
    idle_tab = chromium.current_window_handle
    chromium.switch_to.new_window("tab")
    chromium.get_log("browser")  # forget what the tests before left
    # An even size puts a centred canvas on whole pixels.
    chromium.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": False},
    )
    script = (HERE / "record_sockets.js").read_text()
    chromium.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": script})
    yield chromium
    chromium.close()
    chromium.switch_to.window(idle_tab)


@pytest.fixture
def browser(chromium: WebDriver) -> Iterator[WebDriver]:
    """A tab for this test alone."""
    with new_tab(chromium) as tab:
        yield tab


@pytest.fixture
def open_novnc(browser: WebDriver) -> Callable[[str], None]:
    """Load noVNC's page from the proxy and let it connect, with noVNC's own defaults."""

    def load(url: str) -> None:
        browser.get(f"{url}/vnc.html?autoconnect=true&resize=off")

    return load


@pytest.fixture
def connect_novnc(
    browser: WebDriver, open_novnc: Callable[[str], None]
) -> Callable[[str], WebElement]:
    """Open noVNC, wait until it is connected, and return the canvas it shows the desktop on."""

    def connect(url: str) -> WebElement:
        open_novnc(url)
        eventually(
            browser,
            lambda: browser.find_elements(By.CSS_SELECTOR, "html.noVNC_connected"),
            lambda: f"noVNC connected; it says {novnc_status(browser)!r}",
        )
        return browser.find_element(By.CSS_SELECTOR, "#noVNC_container canvas")

    return connect


def novnc_status(browser: WebDriver) -> str:
    """noVNC's last message to its user, also after it faded."""
    return browser.find_element(By.ID, "noVNC_status").get_property("textContent")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    """Show with a failure what the programs and the page's console said, and keep a screenshot."""
    report = yield
    if report.failed and report.when != "teardown":
        fixtures = item.funcargs
        for program in getattr(fixtures.get("run"), "programs", []):
            for stream in (program.stdout, program.stderr):
                report.sections.append((stream.name, stream.text()))
        if browser := fixtures.get("browser"):
            console = "\n".join(entry["message"] for entry in browser.get_log("browser"))
            report.sections.append(("browser: console", console))
            screenshot = keep_screenshot(browser, f"failed-{item.name}")
            report.sections.append(("browser: screenshot", str(screenshot)))
    return report
