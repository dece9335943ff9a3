"""noVNC is loaded over https and connects over wss, by a client certificate that Chromium has in its store."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement

from conftest import NOVNC, Certificate, Proxy, running_chromium
from desktop import Desktop
from pages import assert_becomes, canvas_picture, eventually, keep_screenshot, sockets
from programs import Program, installed

# Which certificate it shows, Chromium asks its user, or this: no flag and no profile can say it.
POLICIES = Path("/etc/chromium/policies/managed")
AUTHORITY = "websockify test authority"


@dataclass(frozen=True)
class House:
    authority: Path
    home: Path
    """Where Chromium has a certificate for jane@example.com."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    folder = tmp_path_factory.mktemp("house")

    def run(program: str, *arguments: str) -> None:
        done = subprocess.run(
            [installed(program), *arguments], cwd=folder, capture_output=True, timeout=60
        )
        assert done.returncode == 0, (program, arguments, done.stderr.decode())

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    run(
        *("openssl", "req", "-x509", *curve, "-keyout", "root.key", "-out", "root.pem"),
        *("-subj", f"/CN={AUTHORITY}", "-addext", "keyUsage=critical,keyCertSign"),
    )
    run(
        *("openssl", "req", "-x509", *curve, "-keyout", "jane.key", "-out", "jane.pem"),
        *("-CA", "root.pem", "-CAkey", "root.key", "-subj", "/CN=jane@example.com"),
        *("-addext", "basicConstraints=critical,CA:FALSE"),
        *("-addext", "extendedKeyUsage=clientAuth"),
    )
    bundle = ("-inkey", "jane.key", "-in", "jane.pem", "-out", "jane.p12", "-passout", "pass:x")
    run("openssl", "pkcs12", "-export", "-name", "jane", *bundle)
    store = folder / "home/.pki/nssdb"
    store.mkdir(parents=True)
    run("certutil", "-N", "-d", f"sql:{store}", "--empty-password")
    run("pk12util", "-i", "jane.p12", "-d", f"sql:{store}", "-W", "x")
    return House(folder / "root.pem", folder / "home")


@pytest.fixture(scope="module")
def policy() -> Iterator[None]:
    """Chromium shows certificates of our authority to localhost, and nothing else changes."""
    file = POLICIES / f"websockify-test-{os.getpid()}.json"
    rule = {"pattern": "https://localhost", "filter": {"ISSUER": {"CN": AUTHORITY}}}
    made = [place for place in (POLICIES, *POLICIES.parents) if not place.exists()]
    try:
        POLICIES.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"AutoSelectCertificateForUrls": [json.dumps(rule)]}))
    except PermissionError:
        pytest.fail(f"{POLICIES} cannot be written to: this test runs as root", pytrace=False)
    yield
    file.unlink()
    for place in made:
        place.rmdir()


@pytest.fixture(scope="module")
def chromium(
    tmp_path_factory: pytest.TempPathFactory, certificate: Certificate, house: House, policy: None
) -> Iterator[WebDriver]:
    """In place of the one of the whole run: with a home of its own, where its certificate is."""
    environment = {**os.environ, "HOME": str(house.home)}
    folder = tmp_path_factory.mktemp("chromium-with-certificate")
    with running_chromium(folder, certificate, environment) as chromium:
        yield chromium


@pytest.fixture
def start_proxy(
    run: Callable[..., Program], websockify: str, certificate: Certificate, house: House
) -> Callable[..., Proxy]:
    def start(target_port: int, names: str) -> Proxy:
        program = run(
            *(websockify, "--web", str(NOVNC), "0", f"localhost:{target_port}", "--ssl-only"),
            *("--cert", str(certificate.file), "--key", str(certificate.key)),
            *("--verify-client", "--cafile", str(house.authority)),
            *("--auth-plugin=ClientCertCNAuth", f"--auth-source={names}"),
        )
        return Proxy(int(program.stderr.wait_for(r"listening on \S+:(\d+)\b")[1]), program)

    return start


def test_whose_certificate_is_named_sees_the_desktop(
    desktop: Desktop,
    start_proxy: Callable[..., Proxy],
    connect_novnc: Callable[[str], WebElement],
    browser: WebDriver,
):
    wanted = desktop.picture()
    proxy = start_proxy(desktop.port, "jane@example.com Joe User9824510")
    canvas = connect_novnc(proxy.url("https"))
    assert_becomes(browser, lambda: canvas_picture(browser, canvas), wanted, "client-certificate")
    keep_screenshot(browser, "novnc-client-certificate")
    url = proxy.url("wss") + "/websockify"
    assert [socket["url"] for socket in sockets(browser)] == [url]
    proxy.program.stderr.wait_for(r"session opened.* user=jane@example\.com ")


def test_whose_certificate_is_not_named_gets_the_page_and_a_reason(
    silent_port: int,
    start_proxy: Callable[..., Proxy],
    open_novnc: Callable[[str], None],
    browser: WebDriver,
):
    proxy = start_proxy(silent_port, "joe@example.com")
    open_novnc(proxy.url("https"))
    closed = eventually(
        browser,
        lambda: next((one for one in sockets(browser) if one.get("code") is not None), None),
        "the page's WebSocket closes",
    )
    assert closed["code"] == 1008
    assert closed["reason"].startswith("Your certificate is not allowed here (session ")
    proxy.program.stderr.wait_for(r"cn 'jane@example\.com' is not among tls\.client\.allow")
