"""noVNC's page and a VNC session through a route that systemd runs, in Chromium."""

import subprocess

from .browser import opened, program
from .machine import Machine
from .route import PORT, enable, write_route

DESKTOP = "desktop of the system tests"
# Of its own: neither the server's nor the page's default.
WIDTH, HEIGHT = 408, 306
WHITE = [255, 255, 255, 255]

# The page's title becomes the desktop's name when the VNC server has said it, and its canvas has the
# desktop's size and colour when the picture is there.
PICTURE = f"""
new Promise(resolve => {{
    const look = () => {{
        const canvas = document.querySelector("#noVNC_container canvas");
        if (!document.title.includes("{DESKTOP}") || canvas?.width !== {WIDTH})
            return requestAnimationFrame(look);
        const pixel = (x, y) => [...canvas.getContext("2d").getImageData(x, y, 1, 1).data];
        const corners = [pixel(0, 0), pixel({WIDTH} - 1, {HEIGHT} - 1)];
        if (corners.flat().some(value => value !== 255))
            return requestAnimationFrame(look);
        resolve({{height: canvas.height, corners}});
    }};
    look();
}})
"""


def test_the_page_shows_the_desktops_name_and_picture(machine: Machine) -> None:
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
        # Its background is white.
        *("-geometry", f"{WIDTH}x{HEIGHT}", "-wr"),
        says=r"^\d+$",
    ):
        write_route(machine, "127.0.0.1:5900", 'web = "/usr/share/novnc"')
        enable(machine)
        address = f"http://127.0.0.1:{PORT}/vnc.html?autoconnect=true"
        with opened(machine.network, address) as page:
            assert page.evaluate(PICTURE) == {"height": HEIGHT, "corners": [WHITE, WHITE]}
            page.evaluate("document.getElementById('noVNC_disconnect_button').click()")
            ended = machine.wait_for_record("WEBSOCKIFY_CLOSED_BY=client")
    assert ended["WEBSOCKIFY_ROUTE"] == "vnc"
