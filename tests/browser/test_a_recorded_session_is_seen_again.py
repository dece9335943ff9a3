"""A session is recorded, and its last picture is seen again: by noVNC's own player, and by replay.

The player is tests/vnc_playback.html of Debian's source package of noVNC: neither the binary
package nor the one for Node has it.
"""

import base64
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageOps
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver

from conftest import NOVNC, REPOSITORY, new_tab, novnc_status, running_programs
from desktop import SIZE, Desktop
from pages import SCREENSHOTS, eventually, keep_screenshot, sockets
from pictures import colour_card, differing_share
from programs import Program
from recordings import FORMS, entries

NOVNC_SOURCE = REPOSITORY / "target/source/novnc"

# A canvas is kept by reference: noVNC takes it out of the page when the session ends, with its
# last picture on it.
KEEP_CANVASES = """
window.keptCanvases = [...document.querySelectorAll("canvas")];
new MutationObserver((changes) => {
    for (const { addedNodes } of changes) {
        for (const node of addedNodes) {
            if (node.querySelectorAll) window.keptCanvases.push(...node.querySelectorAll("canvas"));
        }
    }
}).observe(document, { childList: true, subtree: true });
"""
LAST_PICTURE = """
const screens = window.keptCanvases.filter(({ width, height }) => width === 800 && height === 600);
return screens.length ? screens[screens.length - 1].toDataURL("image/png") : null;
"""


@dataclass(frozen=True)
class Session:
    recording: str
    last_picture: Image.Image


def last_picture(browser: WebDriver) -> Image.Image | None:
    """What the page's desktop shows, or showed last."""
    url = browser.execute_script(LAST_PICTURE)
    if url is None:
        return None
    return Image.open(BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB")


def differ(one: Image.Image | None, other: Image.Image) -> bool:
    """Whether a single pixel does. Both were decoded from the same bytes by the same browser."""
    return one is None or ImageChops.difference(one, other).getbbox() is not None


def port_of(program: Program) -> int:
    return int(program.stderr.wait_for(r"listening on \S+:(\d+)\b")[1])


@pytest.fixture(scope="module")
def session(
    chromium: WebDriver, websockify: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Session]:
    """A session of noVNC with a real desktop that changes, recorded; and what it showed last."""
    folder = tmp_path_factory.mktemp("recorded")
    with running_programs() as run, new_tab(chromium) as browser:
        desktop = Desktop(run)
        desktop.draw(colour_card(SIZE), folder / "card.png")
        proxy = run(
            websockify,
            *("--record", str(folder / "session"), "--web", str(NOVNC)),
            *("0", f"localhost:{desktop.port}"),
        )
        browser.get(f"http://localhost:{port_of(proxy)}/vnc.html?autoconnect=true&resize=off")
        browser.execute_script(KEEP_CANVASES)

        def shows_desktop() -> bool:
            shown, wanted = last_picture(browser), desktop.picture()
            return shown is not None and differing_share(shown, wanted) == 0

        eventually(browser, shows_desktop, "noVNC shows the desktop")
        turned = ImageOps.flip(ImageOps.mirror(desktop.picture()))
        desktop.draw(turned, folder / "turned.png")
        eventually(browser, shows_desktop, "noVNC shows the changed desktop")
        desktop.server.signal(signal.SIGTERM)
        eventually(
            browser, lambda: novnc_status(browser) == "Disconnected", "noVNC says it is over"
        )
        picture = last_picture(browser)
        assert differing_share(picture, turned) == 0
        recording = eventually(browser, lambda: whole_recording(folder), "the recording is whole")
        yield Session(recording, picture)


def whole_recording(folder: Path) -> str | None:
    for file in folder.glob("session.*"):
        text = file.read_text("ascii")
        if text.endswith("\n'EOF'];\n"):
            return text
    return None


def test_the_recording_holds_both_sides(session: Session):
    said = entries(session.recording)
    for mark in "{}":
        first = next(payload for side, _, payload in said if side == mark)
        assert first.startswith(b"RFB 003.008\n")
    times = [time for _, time, _ in said]
    assert times == sorted(times)


@pytest.mark.parametrize("form", FORMS)
def test_novncs_own_player_plays_it(
    form: Callable[[str], str],
    session: Session,
    browser: WebDriver,
    run: Callable[..., Program],
    websockify: str,
    tmp_path: Path,
):
    """The page that the format is for: recordings of today, and as older versions wrote them."""
    if not (NOVNC_SOURCE / "tests/vnc_playback.html").is_file():
        pytest.fail(f"{NOVNC_SOURCE} is missing: tests/setup browser")
    web = tmp_path / "novnc"
    web.mkdir()
    for part in ("app", "core", "tests", "vendor"):
        # By hard links: nothing of the source is changed, and no link leads out of the web root.
        link_tree(NOVNC_SOURCE / part, web / part)
    (web / "recordings").mkdir()
    (web / "recordings/session.js").write_text(form(session.recording), "ascii")
    port = port_of(run(websockify, "--web", str(web), "0", "localhost:1"))
    browser.get(
        f"http://localhost:{port}/tests/vnc_playback.html?data=session.js&iterations=1"
    )

    def said() -> str:
        return browser.find_element(By.ID, "messages").get_property("textContent")

    eventually(browser, lambda: "Ready" in said(), lambda: f"it is loaded; it says {said()!r}")
    browser.execute_script(KEEP_CANVASES)
    browser.find_element(By.ID, "startButton").click()
    eventually(browser, lambda: "Iteration 1 took" in said(), lambda: f"it says {said()!r}")

    shown = last_picture(browser)
    keep_screenshot(browser, f"player-{form.__name__}")  # the results; the picture is gone by now
    shown.save(SCREENSHOTS / f"player-{form.__name__}-last-picture.png")
    assert not differ(shown, session.last_picture)


def link_tree(source: Path, copy: Path) -> None:
    for directory, _, files in os.walk(source):
        there = copy / Path(directory).relative_to(source)
        there.mkdir(parents=True)
        for file in files:
            os.link(Path(directory) / file, there / file)


@pytest.mark.parametrize(
    ("form", "speed"), [(form, "max") for form in FORMS] + [(FORMS[0], "1"), (FORMS[0], "2.5")]
)
def test_replay_shows_it_to_novnc_as_if_it_were_the_desktop(
    form: Callable[[str], str],
    speed: str,
    session: Session,
    browser: WebDriver,
    run: Callable[..., Program],
    websockify: str,
    tmp_path: Path,
):
    """noVNC as it is, connected to a recording: the last picture, and then a normal end."""
    file = tmp_path / "session.js"
    file.write_text(form(session.recording), "ascii")
    options = ("--speed", speed, "--hold", "2s", "--web", str(NOVNC))
    port = port_of(run(websockify, "replay", *options, str(file), "localhost:0"))
    browser.get(f"http://localhost:{port}/vnc.html?autoconnect=true&resize=off")
    browser.execute_script(KEEP_CANVASES)

    eventually(
        browser,
        lambda: not differ(last_picture(browser), session.last_picture),
        lambda: f"the last picture is there; noVNC says {novnc_status(browser)!r}",
    )
    keep_screenshot(browser, f"replay-{form.__name__}-{speed}")
    eventually(
        browser,
        lambda: [socket["code"] for socket in sockets(browser)] == [1000],
        lambda: f"the session ends with 1000: {sockets(browser)}",
    )
    assert not differ(last_picture(browser), session.last_picture)
