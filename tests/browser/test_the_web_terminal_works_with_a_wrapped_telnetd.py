"""`websockify 2023 --wrap-mode=respawn -- telnetd -debug 2023`, as people type it.

Debian's telnetd has no such `-debug` any more: it listens through socat, for one session, and is
gone with it, as the old one was. So each session needs a new one.
"""

import shlex
import socket
from collections.abc import Callable
from pathlib import Path

from selenium.webdriver.remote.webdriver import WebDriver

from programs import Program, installed
from telnet_host import Telnetd
from terminal import Terminal


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def test_each_session_gets_a_telnetd_of_its_own(
    run: Callable[..., Program], websockify: str, browser: WebDriver, tmp_path: Path
):
    """Log in, log out, and log in again, three times."""
    script = tmp_path / "telnetd"
    script.write_text("#!/bin/sh\nexec " + shlex.join(Telnetd(tmp_path).command) + "\n")
    script.chmod(0o755)
    port = free_port()
    proxy = run(
        *(websockify, "--web", "builtin:telnet", f"127.0.0.1:{port}", "--wrap-mode=respawn", "--"),
        *(installed("socat"), f"TCP-LISTEN:{port},reuseaddr", f"EXEC:{script},nofork"),
    )
    proxy.stderr.wait_for(r"listening on \S+:\d+\b")
    terminal = Terminal(browser)
    for _ in range(3):
        browser.get(f"http://localhost:{port}/telnet/?host=localhost&port={port}")
        terminal.log_in()
        terminal.run("echo $((6 * 7))")
        terminal.wait_for_line("42")
        terminal.run("exit")
        terminal.wait_for_state("closed")
    assert proxy.stderr.text().count("Starting '") >= 3
