"""The .rpm as rpm itself sees it."""

from pathlib import Path

from conftest import run


def test_rpm_installs_it_verifies_it_and_erases_it(rpm: Path, tmp_path: Path) -> None:
    # Into a root of its own, where there is neither a shell for the scripts nor a libc.
    into = ("rpm", "--root", tmp_path)
    run(*into, "--install", "--nodeps", "--noscripts", rpm)
    assert run(*into, "--verify", "--nodeps", "--noscripts", "websockify") == ""
    assert "websockify 1." in run(tmp_path / "usr/bin/websockify", "--version")
    run(*into, "--erase", "--nodeps", "--noscripts", "websockify")
    assert list(tmp_path.rglob("*websockify*")) == []


def test_it_names_what_it_cannot_be_installed_beside(rpm: Path) -> None:
    conflicts = run("rpm", "-qp", "--conflicts", rpm).split("\n")
    assert "python3-websockify" in conflicts
    assert "systemd < 253" in conflicts, "the drop-in for notify-reload is in it"


def test_every_script_is_one_that_a_shell_reads(rpm: Path) -> None:
    for script in ("POSTIN", "POSTTRANS", "PREUN", "POSTUN"):
        text = run("rpm", "-qp", "--qf", f"%{{{script}}}", rpm)
        # Macros of rpm eat backslashes and percent signs.
        assert "systemctl" in text and "%" not in text
        run("sh", "-n", input=text)
