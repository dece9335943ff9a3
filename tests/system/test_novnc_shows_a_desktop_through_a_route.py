"""noVNC's page and a VNC session through a route that systemd runs, in Chromium."""

import subprocess

from .browser import opened, program
from .machine import Machine
from .route import PORT, enable, write_route

DESKTOP = "desktop of the system tests"

# The page's title becomes the desktop's name when the VNC server has said it.
TITLE = f"""
new Promise(resolve => {{
    const look = () => document.title.includes("{DESKTOP}") && resolve(document.title);
    new MutationObserver(look).observe(document.head, {{subtree: true, childList: true}});
    look();
}})
"""


def test_the_page_connects_and_learns_the_desktops_name(machine: Machine) -> None:
    novnc = subprocess.run(
        ["tar", "--directory=/usr/share", "--dereference", "--create", "novnc"],
        capture_output=True,
        check=True,
    )
    machine.run("tar", "--directory=/usr/share", "--extract", given=novnc.stdout)
    with program(
        machine.network,
        *("Xtigervnc", "-displayfd", "1", "-SecurityTypes", "None", "-localhost"),
        *("-rfbport", "5900", "-desktop", DESKTOP),
        says=r"^\d+$",
    ):
        write_route(machine, "127.0.0.1:5900", 'web = "/usr/share/novnc"')
        enable(machine)
        address = f"http://127.0.0.1:{PORT}/vnc.html?autoconnect=true"
        with opened(machine.network, address) as page:
            assert DESKTOP in str(page.evaluate(TITLE))
    ended = machine.wait_for_record("WEBSOCKIFY_CLOSED_BY=client")
    assert int(ended["WEBSOCKIFY_BYTES_OUT"]) > 1000
