"""The three subjects, each run once."""

from pathlib import Path

import pytest
from clients.echo import EchoTarget
from clients.program import REPOSITORY, Program, built

from .expectations import CODEC, PROXY, TEXT, by_case
from .run import Report, run

REPORTS = pytest.StashKey[list[Report]]()


@pytest.fixture(scope="session")
def proxy(request: pytest.FixtureRequest) -> Report:
    """The proxy, with a TCP echo as its target."""
    with (
        EchoTarget() as target,
        Program(
            built("WEBSOCKIFY", "target/release/websockify"),
            "127.0.0.1:0",
            f"127.0.0.1:{target.port}",
        ) as program,
    ):
        return _kept(request, run("proxy", program.port, by_case(PROXY)))


@pytest.fixture(scope="session")
def text(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """A route that answers text with text, with a TCP echo as its target."""
    routes: Path = tmp_path_factory.mktemp("routes")
    with EchoTarget() as target:
        (routes / "text.toml").write_text(
            'listen = "127.0.0.1:0"\n'
            f'target = "127.0.0.1:{target.port}"\n'
            'websocket.text = "reply"\n'
        )
        websockify = built("WEBSOCKIFY", "target/release/websockify")
        with Program(websockify, "serve", "--config", routes) as program:
            return _kept(request, run("text", program.port, by_case(TEXT)))


@pytest.fixture(scope="session")
def codec(request: pytest.FixtureRequest) -> Report:
    """The codec alone, in a server that echoes messages."""
    server = built("WEBSOCKIFY_ECHO", "target/release/examples/echo")
    with Program(server, "127.0.0.1:0", handles_sigterm=False) as program:
        return _kept(request, run("codec", program.port, by_case(CODEC)))


def _kept(request: pytest.FixtureRequest, report: Report) -> Report:
    request.config.stash.setdefault(REPORTS, []).append(report)
    report.write(REPOSITORY / "target" / "conformance")
    return report


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    for report in config.stash.get(REPORTS, []):
        terminalreporter.section(f"conformance of the {report.subject}")
        for line in report.summary():
            terminalreporter.write_line(line)
