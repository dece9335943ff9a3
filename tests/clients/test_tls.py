"""What foreign programs see of the TLS side: curl and Python's ssl with client certificates, and openssl and sslscan, which look
for what should not be spoken."""

import base64
import os
import re
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .echo import EchoTarget
from .program import Program, built

PATIENCE_SECONDS = 20


def run(*command: str | Path, sent: str = "", directory: Path | None = None) -> str:
    """What a command prints, on both outputs."""
    try:
        done = subprocess.run(
            command, input=sent, cwd=directory, capture_output=True, text=True, timeout=60, check=False
        )
    except FileNotFoundError:
        pytest.fail(f"{command[0]} is not there: tests/setup clients", pytrace=False)
    return done.stdout + done.stderr


@dataclass(frozen=True)
class Door:
    """A proxy that asks for certificates, and one that does not."""

    directory: Path
    asks: int
    open: int

    def path(self, name: str) -> Path:
        return self.directory / name


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    directory = tmp_path_factory.mktemp("house")
    make_house(directory)
    (directory / "www").mkdir()
    (directory / "www" / "index.html").write_text("the page")
    binary = built("WEBSOCKIFY", "target/release/websockify")
    with EchoTarget() as target:
        common = (f"--cert={directory / 'server.pem'}", f"--key={directory / 'server.key'}")
        where = ("127.0.0.1:0", f"127.0.0.1:{target.port}", f"--web={directory / 'www'}")
        names = ("--auth-plugin=ClientCertCNAuth", "--auth-source=jane@example.com Joe User9824510")
        verify = ("--ssl-only", "--verify-client", f"--cafile={directory / 'root.pem'}", *names)
        with Program(binary, *common, *verify, *where) as asks, Program(binary, *common, *where) as other:
            yield Door(directory, asks.port, other.port)


def make_house(directory: Path) -> None:
    """A root, a server, a client whose name is listed, one whose name is not, and one that somebody else has made."""

    def make(name: str, *options: str, kind: str = "ec") -> None:
        curve = ("-pkeyopt", "ec_paramgen_curve:P-256") if kind == "ec" else ()
        command = ("openssl", "req", "-x509", "-noenc", "-days", "2", "-newkey", kind, *curve)
        run(*command, "-keyout", f"{name}.key", "-out", f"{name}.pem", *options, directory=directory)
        assert (directory / f"{name}.pem").exists(), name

    for authority in ("root", "stranger"):
        make(authority, "-subj", f"/CN={authority}", "-addext", "keyUsage=critical,keyCertSign")
    leaf = ("-addext", "basicConstraints=critical,CA:FALSE", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost")
    for name, subject, signer, kind in (
        ("server", "/CN=server", "root", "rsa:2048"),
        ("jane", "/CN=jane@example.com", "root", "rsa:2048"),
        ("joe", "/CN=Joe", "root", "ec"),
        ("user", "/CN=User9824510", "root", "ed25519"),
        ("eve", "/CN=eve", "root", "ec"),
        ("forged", "/CN=Joe", "stranger", "ec"),
    ):
        signed = ("-CA", f"{signer}.pem", "-CAkey", f"{signer}.key", "-subj", subject)
        make(name, *signed, *leaf, kind=kind)


def upgrade_status(connection: socket.socket) -> int:
    """The status of a WebSocket handshake, after which an echo must work."""
    key = base64.b64encode(os.urandom(16)).decode()
    connection.sendall(
        f"GET /websockify HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    answer = connection.makefile("rb")
    status = int(answer.readline().split()[1])
    if status == 101:
        while answer.readline().strip():
            pass
        connection.sendall(b"\x82\x85\0\0\0\0hello")
        assert answer.read(7) == b"\x82\x05hello"
    return status


def python_status(door: Door, port: int, name: str | None) -> int:
    """By Python's ssl, with this certificate."""
    context = ssl.create_default_context(cafile=door.path("root.pem"))
    if name is not None:
        context.load_cert_chain(door.path(f"{name}.pem"), door.path(f"{name}.key"))
    with (
        socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        return upgrade_status(connection)


@pytest.mark.parametrize("name", ["jane", "joe", "user"])
def test_pythons_ssl_gets_a_session_with_a_certificate_that_is_named(door: Door, name: str) -> None:
    assert python_status(door, door.asks, name) == 101


def test_pythons_ssl_gets_none_with_another_name_another_authority_or_without_a_certificate(door: Door) -> None:
    assert python_status(door, door.asks, "eve") == 403
    for name in ("forged", None):
        with pytest.raises(ssl.SSLError, match="alert"):
            python_status(door, door.asks, name)


def curl(door: Door, port: int, *options: str | Path) -> str:
    url = f"https://localhost:{port}/"
    return run("curl", "-sS", "--max-time", "20", "--cacert", door.path("root.pem"), *options, url)


def test_curl_gets_a_page_by_https(door: Door) -> None:
    assert curl(door, door.open) == "the page"
    assert curl(door, door.open, "--tlsv1.2", "--tls-max", "1.2") == "the page"
    # It offers h2, and gets what there is.
    assert re.search(r"ALPN[:,] server accepted (to use )?http/1\.1", curl(door, door.open, "-v", "--http2"))
    plain = run("curl", "-sS", "--max-time", "20", f"http://localhost:{door.asks}/")
    assert plain == "This port speaks TLS only: use https:// or wss://\n"


def test_curl_gets_a_page_and_a_session_with_a_client_certificate(door: Door) -> None:
    shown = ("--cert", door.path("joe.pem"), "--key", door.path("joe.key"))
    assert curl(door, door.asks, *shown) == "the page"
    upgrade = ("-H", "Connection: Upgrade", "-H", "Upgrade: websocket", "-H", "Sec-WebSocket-Version: 13")
    upgrade += ("-H", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    status = ("-o", "/dev/null", "-w", "%{http_code}", "--http1.1", "--max-time", "2", *upgrade)
    assert curl(door, door.asks, *shown, *status).startswith("101")
    others = ("--cert", door.path("eve.pem"), "--key", door.path("eve.key"))
    assert curl(door, door.asks, *others, *status).startswith("403")
    assert "alert" in curl(door, door.asks).lower()


def test_sslscan_finds_nothing_old_and_nothing_weak(door: Door) -> None:
    report = run("sslscan", "--no-colour", "--no-check-certificate", f"127.0.0.1:{door.open}")
    for version in ("SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1"):
        assert re.search(rf"^{re.escape(version)}\s+disabled$", report, re.MULTILINE), report
    for version in ("TLSv1.2", "TLSv1.3"):
        assert re.search(rf"^{re.escape(version)}\s+enabled$", report, re.MULTILINE), report
    assert "renegotiation not supported" in report.lower(), report
    assert report.count("not vulnerable to heartbleed") == 2, report
    suites = re.findall(r"^(?:Preferred|Accepted)\s+TLSv1\.\d\s+(\d+) bits\s+(\S+)", report, re.MULTILINE)
    assert len(suites) >= 6, report
    for bits, name in suites:
        assert int(bits) >= 128, name
        assert re.fullmatch(r"TLS_(AES|CHACHA20).*|ECDHE-RSA-(AES\d+-GCM-SHA\d+|CHACHA20-POLY1305)", name), name


def s_client(door: Door, port: int, *options: str | Path, sent: str = "Q\n") -> str:
    where = ("-connect", f"127.0.0.1:{port}", "-CAfile", door.path("root.pem"))
    return run("openssl", "s_client", *where, *options, sent=sent)


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_openssl_is_not_served_what_is_older_than_tls_1_2(door: Door, version: str) -> None:
    said = s_client(door, door.open, version, "-cipher", "DEFAULT@SECLEVEL=0")
    assert re.search(r"alert (protocol version|handshake failure)", said), said
    assert "no peer certificate available" in said, said


def test_openssl_may_not_renegotiate(door: Door) -> None:
    said = s_client(door, door.open, "-tls1_2", sent="R\n")
    assert "RENEGOTIATING" in said, said
    assert re.search(r"no renegotiation|error", said), said


def test_openssl_resumes_a_session_unless_certificates_are_asked_for(door: Door) -> None:
    ticket = door.path("ticket")
    request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    shown = ("-cert", door.path("joe.pem"), "-key", door.path("joe.key"))
    for port, options, second in ((door.open, (), "Reused"), (door.asks, shown, "New")):
        for version in ("-tls1_2", "-tls1_3"):
            quiet = (version, "-ign_eof", *options)
            first = s_client(door, port, *quiet, "-sess_out", ticket, sent=request)
            assert first.count("the page") == 1, first
            assert re.search(r"^New, TLSv1", first, re.MULTILINE), first
            again = s_client(door, port, *quiet, "-sess_in", ticket, sent=request)
            assert re.search(rf"^{second}, TLSv1", again, re.MULTILINE), again
