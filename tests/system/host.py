"""What the machine that the tests run on must be able to do, and what is missing on this one."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

PROGRAMS = {
    "chromium": "chromium",
    "ip": "iproute2",
    "mmdebstrap": "mmdebstrap",
    "nsenter": "util-linux",
    "openssl": "openssl",
    "setpriv": "util-linux",
    "systemd-nspawn": "systemd-container",
    "unshare": "util-linux",
    "Xtigervnc": "tigervnc-standalone-server",
}
"""What the tests start here, and the package that has it."""

TRIAL_SECONDS_MAX = 30

# As a machine mounts its root, in namespaces as it has them.
TRIAL = """
mount -t tmpfs none "$1"
mkdir "$1/lower" "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=$1/lower,upperdir=$1/upper,workdir=$1/work" "$1/root"
"""


def control_groups() -> Path | None:
    """Where the control groups of version 2 are; beside version 1 that is a place below."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(place)
    return None


def obstacles() -> list[str]:
    """Why no machine can boot here, a sentence each, with what would help."""
    if os.geteuid() != 0:
        return ["only root can boot machines in containers: run this as root"]
    found = []
    missing = {package for program, package in PROGRAMS.items() if shutil.which(program) is None}
    if missing:
        found.append(f"packages are missing: apt-get install {' '.join(sorted(missing))}")
    groups = control_groups()
    if groups is None:
        found.append("systemd needs control groups of version 2, and none are mounted here")
    elif not _can_make_groups(groups):
        found.append(
            f"systemd needs control groups, and {groups} cannot be written to: in a container "
            "this takes a privileged one"
        )
    if "util-linux" not in missing and (refusal := _refused_namespaces()):
        found.append(
            "the kernel refuses namespaces or an overlay in them, which machines are made of; in a "
            f"container this takes a privileged one: {refusal}"
        )
    return found


def _can_make_groups(groups: Path) -> bool:
    group = groups / f"websockify-trial-{os.getpid()}"
    try:
        group.mkdir()
        group.rmdir()
    except OSError:
        return False
    return True


def _refused_namespaces() -> str:
    """What is said by what fails, or nothing."""
    namespaces = ("--mount", "--propagation=private", "--uts", "--ipc", "--net", "--cgroup")
    command = ["unshare", *namespaces, "--pid", "--fork", "sh", "-euc", TRIAL, "sh"]
    with tempfile.TemporaryDirectory() as directory:
        trial = subprocess.run(
            [*command, directory],
            capture_output=True,
            text=True,
            timeout=TRIAL_SECONDS_MAX,
            check=False,
        )
    return "" if trial.returncode == 0 else trial.stderr.strip()
