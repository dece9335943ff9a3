"""Debian's telnetd, run as inetd runs it, in a mount namespace with a user of the test's own.

The user is in the namespace's /etc alone: this machine's accounts and logs are neither read nor
written, and nothing is left behind, however a test ends.
"""

import os
import pwd
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from programs import installed

REPOSITORY = Path(__file__).resolve().parents[2]
TELNETD = REPOSITORY / "target/unpacked/usr/sbin/telnetd"

USER = "tester"
PASSWORD = "correct horse"
PROMPT = "ready$"

# What is in front of the machine's own files while telnetd, login and the shell run.
NAMESPACE = """
set -eu
directory=$1 user=$2 uid=$3 telnetd=$4
for name in passwd shadow; do mount --bind "$directory/$name" "/etc/$name"; done
mount -t tmpfs -o mode=755 tmpfs /var/log
mount -t tmpfs -o mode=755 tmpfs /home
mkdir "/home/$user"
cp "$directory/profile" "/home/$user/.bash_profile"
touch "/home/$user/.hushlogin" /var/log/wtmp /var/log/lastlog "$directory/utmp"
[ ! -e /run/utmp ] || mount --bind "$directory/utmp" /run/utmp
chown -R "$uid:$uid" "/home/$user"
exec "$telnetd"
"""


class Telnetd:
    """A telnetd on standard input and output, for the one user in the directory."""

    def __init__(self, directory: Path) -> None:
        if os.geteuid() != 0:
            pytest.fail("telnetd starts login, which only root can: run these tests as root")
        if not os.access(TELNETD, os.X_OK):
            pytest.fail(f"{TELNETD} is missing: tests/setup browser")
        self._directory = directory
        self._uid = next(uid for uid in range(61000, 62000) if not user_of(uid))
        self._write_accounts()
        self.command = [
            *(installed("unshare"), "--mount", "--propagation", "private"),
            *(installed("sh"), "-c", NAMESPACE, "telnet-host"),
            *(str(self._directory), USER, str(self._uid), str(TELNETD)),
        ]

    def _write_accounts(self) -> None:
        hashed = subprocess.run(
            [installed("openssl"), "passwd", "-6", "-stdin"],
            input=PASSWORD,
            capture_output=True,
            check=True,
            text=True,
            timeout=30,
        ).stdout.strip()
        home, shell = f"/home/{USER}", installed("bash")
        lines = {
            "passwd": f"{USER}:x:{self._uid}:{self._uid}::{home}:{shell}\n",
            "shadow": f"{USER}:{hashed}:19000:0:99999:7:::\n",
        }
        for name, line in lines.items():
            file = self._directory / name
            file.write_text(Path("/etc", name).read_text() + line)
            file.chmod(0o644 if name == "passwd" else 0o600)
        (self._directory / "profile").write_text(f"PS1='{PROMPT} '\nexport LANG=C.UTF-8\n")


class TelnetHost:
    """A loopback port; each connection gets a telnetd of its own."""

    def __init__(self, directory: Path) -> None:
        self._telnetd = Telnetd(directory)
        self._daemons: list[subprocess.Popen] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(timeout=10)
        self._listener.close()
        for daemon in self._daemons:
            daemon.terminate()  # its end hangs up the terminal, and login and shell end with that
            daemon.wait(timeout=10)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self._daemons.append(
                    subprocess.Popen(
                        self._telnetd.command,
                        stdin=connection,
                        stdout=connection,
                        stderr=connection,
                    )
                )


def user_of(uid: int) -> str | None:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None
