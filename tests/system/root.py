"""The file systems that machines boot from: one base a Debian release, and layers above it.

A base is made once, and again when the list of its packages changes. Nobody writes to it: each
machine gets an overlay of its own above it.
"""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SYSTEM = REPOSITORY / "target/system"
PACKAGES = Path(__file__).with_name("machine.txt")

RELEASES = {"bookworm": 252, "trixie": 257}
"""Debian's release, and the version of its systemd."""

MAKE_SECONDS_MAX = 600


@dataclass(frozen=True)
class Root:
    """Directories that together are a file system, the topmost first."""

    release: str
    layers: tuple[Path, ...]

    def under(self, layer: Path) -> "Root":
        return Root(self.release, (layer, *self.layers))


def base(release: str) -> Root:
    """The base of a release, made if need be."""
    directory = SYSTEM / f"ROOT-{release}"
    stamp = SYSTEM / f"ROOT-{release}.list"
    wanted = PACKAGES.read_text()
    if not stamp.exists() or stamp.read_text() != wanted:
        stamp.unlink(missing_ok=True)
        # Nothing is mounted here: machines mount in namespaces of their own, and are gone.
        if directory.exists():
            shutil.rmtree(directory)
        _make(release, directory)
        stamp.write_text(wanted)
    return Root(release, (directory,))


def _make(release: str, directory: Path) -> None:
    lines = PACKAGES.read_text().splitlines()
    packages = [line for line in lines if line and not line.startswith("#")]
    command = ["mmdebstrap", "--variant=minbase", f"--include={','.join(packages)}"]
    # The lists of packages stay, so that apt inside can tell what goes together.
    command += ["--skip=cleanup/apt/lists", "--quiet"]
    # What would only run beside the tests, at times of its own.
    timers = ["apt-daily", "apt-daily-upgrade", "dpkg-db-backup", "e2scrub_all", "fstrim"]
    units = " ".join(f"{timer}.timer" for timer in timers)
    command += [f"--customize-hook=chroot $1 systemctl mask {units} console-getty.service"]
    command += [release, str(directory), _mirror()]
    try:
        subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=MAKE_SECONDS_MAX
        )
    except subprocess.CalledProcessError as error:
        pytest.fail(f"no {release} could be made:\n{error.stderr}", pytrace=False)


def _mirror() -> str:
    """Where this machine has its own Debian from."""
    question = ["apt-get", "indextargets", "--format", "$(REPO_URI)"]
    question += ["Created-By: Packages", "Origin: Debian", "Label: Debian"]

    def answers() -> list[str]:
        asked = subprocess.run(question, check=True, capture_output=True, text=True)
        return asked.stdout.splitlines()

    if not answers():
        # apt knows the origin of its sources only from their lists.
        subprocess.run(["apt-get", "update", "-qq"], check=True)
    found = answers()
    if not found:
        pytest.fail(
            "apt's sources name no mirror of Debian, which makes the machines", pytrace=False
        )
    return found[0]
