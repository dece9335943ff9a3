"""One proxy with TLS and plain on the same port, and an echo behind it."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .echo import EchoTarget
from .program import Program, built
from .stream import STREAM_BYTES, content


@dataclass(frozen=True)
class Proxy:
    port: int
    authority: Path
    """Signed the certificate of the proxy."""
    stranger: Path
    """Did not sign it."""

    def url(self, scheme: str) -> str:
        return f"{scheme}://127.0.0.1:{self.port}/"


@pytest.fixture(scope="session")
def stream() -> bytes:
    return content(STREAM_BYTES)


@pytest.fixture(scope="session")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    directory = tmp_path_factory.mktemp("tls")
    make_certificates(directory)
    with (
        EchoTarget() as target,
        Program(
            built("WEBSOCKIFY", "target/release/websockify"),
            f"--cert={directory / 'server.pem'}",
            f"--key={directory / 'server.key'}",
            "127.0.0.1:0",
            f"127.0.0.1:{target.port}",
        ) as program,
    ):
        yield Proxy(program.port, directory / "authority.pem", directory / "stranger.pem")


def make_certificates(directory: Path) -> None:
    """Two authorities, and a server certificate signed by the first one."""
    for authority in ("authority", "stranger"):
        _certificate(
            directory,
            authority,
            *("-subj", f"/CN=test {authority}", "-addext", "keyUsage=critical,keyCertSign"),
        )
    _certificate(
        directory,
        "server",
        *("-CA", "authority.pem", "-CAkey", "authority.key", "-subj", "/CN=test server"),
        *("-addext", "subjectAltName=IP:127.0.0.1"),
        *("-addext", "basicConstraints=critical,CA:FALSE"),
    )


def _certificate(directory: Path, name: str, *options: str) -> None:
    command = ["openssl", "req", "-x509", "-noenc", "-days", "2"]
    command += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-keyout", f"{name}.key", "-out", f"{name}.pem", *options]
    try:
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.fail("openssl is not there: install the Debian package openssl", pytrace=False)
    assert done.returncode == 0, done.stderr
