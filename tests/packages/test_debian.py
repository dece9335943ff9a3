"""The .deb as Debian's tools see it: fields, lintian, apt, a life from installation to purge."""

import subprocess
from pathlib import Path

import pytest
from conftest import run


def field(package: Path, name: str) -> str:
    return run("dpkg-deb", "--field", package, name).strip()


def test_the_fields_are_right(deb: Path, deb253: Path) -> None:
    assert field(deb, "Package") == "websockify"
    assert field(deb, "Conflicts") == field(deb, "Replaces") == "python3-websockify"
    assert "libc6" in field(deb, "Depends")
    assert field(deb, "Breaks") == ""
    assert field(deb253, "Breaks") == "systemd (<< 253)"
    # A release comes after its previews; the one for a newer systemd is better where it fits.
    version, version253 = field(deb, "Version"), field(deb253, "Version")
    run("dpkg", "--compare-versions", version, "lt", version253)
    run("dpkg", "--compare-versions", version, "gt", "0.13.0+dfsg1-1")
    if "~" in version:
        run("dpkg", "--compare-versions", version, "lt", version.split("~")[0])


@pytest.mark.parametrize("package", ["deb", "deb253"])
def test_lintian_finds_no_error(package: str, request: pytest.FixtureRequest) -> None:
    done = subprocess.run(
        ["lintian", "--allow-root", "--fail-on", "error", request.getfixturevalue(package)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_novnc_of_debian_stays_installed_beside_it(deb: Path) -> None:
    plan = run("apt-get", "--simulate", "--no-install-recommends", "install", "novnc", deb)
    actions = [line.split()[:2] for line in plan.splitlines() if line[:5] in ("Inst ", "Remv ")]
    assert ["Inst", "websockify"] in actions
    removed = {name for action, name in actions if action == "Remv"}
    assert removed <= {"python3-websockify"}, plan


class Root:
    """A directory that dpkg installs into, with the package's scripts told to keep to it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "var/lib/dpkg/updates").mkdir(parents=True)
        (directory / "var/lib/dpkg/info").mkdir()
        (directory / "var/lib/dpkg/status").touch()

    def dpkg(self, *arguments: str | Path) -> None:
        # The packages that it depends on are not in this directory.
        forces = "--force-script-chrootless,depends"
        run("dpkg", "--root", self.directory, "--log=/dev/null", forces, *arguments)

    def traces(self) -> list[str]:
        """What has the name of the package, outside dpkg's own memory."""
        below = (path.relative_to(self.directory) for path in self.directory.rglob("*websockify*"))
        return sorted(str(path) for path in below if not str(path).startswith("var/lib/dpkg/"))


def test_it_is_installed_upgraded_removed_and_purged(
    deb: Path, deb253: Path, tmp_path: Path
) -> None:
    root = Root(tmp_path)
    etc = tmp_path / "etc"
    wanted = [
        etc / "systemd/system/multi-user.target.wants/websockify.target",
        etc / "systemd/user/default.target.wants/websockify.target",
    ]
    root.dpkg("--install", deb)
    assert (etc / "websockify").is_dir()
    assert all(link.is_symlink() for link in wanted), root.traces()

    # What an administrator does: a route with its key, enabled; and the target of users off.
    (etc / "websockify/vnc.toml").write_text('listen = "6080"\ntarget = "localhost:5900"\n')
    (etc / "websockify/vnc.key").write_text("key")
    enabled = etc / "systemd/system/sockets.target.wants/websockify@vnc.socket"
    enabled.parent.mkdir()
    enabled.symlink_to("/usr/lib/systemd/system/websockify@.socket")
    wanted[1].unlink()

    root.dpkg("--install", deb253)
    assert enabled.is_symlink() and wanted[0].is_symlink()
    assert not wanted[1].is_symlink(), "the administrator had disabled it"

    root.dpkg("--remove", "websockify")
    assert not (tmp_path / "usr/bin/websockify").exists()
    assert enabled.is_symlink() and (etc / "websockify/vnc.toml").exists()

    root.dpkg("--purge", "websockify")
    assert root.traces() == []
