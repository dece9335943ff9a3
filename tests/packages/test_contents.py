"""What is in the packages, by name, mode and content."""

import gzip
from pathlib import Path

from conftest import REPOSITORY, Contents, contents_of_deb, contents_of_rpm, run

NOTIFY_RELOAD = {
    f"/usr/lib/systemd/{manager}/websockify@.service.d/notify-reload.conf"
    for manager in ("system", "user")
}
# Their debug symbols are told in different ways.
COMPILED = {"/usr/bin/websockify", "/usr/lib/websockify/rebind.so"}


def files(contents: Contents) -> Contents:
    return {name: entry for name, entry in contents.items() if not entry.mode.startswith("d")}


def listing(contents: Contents) -> str:
    lines = []
    for name, entry in sorted(contents.items()):
        if entry.mode != "d755" or name == "/etc/websockify":
            lines.append(f"{entry.mode} {name}" + (f" -> {entry.link}" if entry.link else ""))
    return "".join(f"{line}\n" for line in lines)


def test_the_deb_holds_what_the_list_says(deb: Path) -> None:
    contents = contents_of_deb(deb)
    assert listing(contents) == (REPOSITORY / "tests/packages/contents.txt").read_text()
    assert {entry.owner for entry in contents.values()} == {"root:root"}


def test_the_deb_for_a_newer_systemd_has_the_drop_in_as_well(deb: Path, deb253: Path) -> None:
    old, new = files(contents_of_deb(deb)), files(contents_of_deb(deb253))
    assert new.keys() - old.keys() == NOTIFY_RELOAD
    assert not old.keys() - new.keys()
    differing = {name for name in old if old[name] != new[name]}
    assert differing == {"/usr/share/doc/websockify/changelog.Debian.gz"}


def test_the_rpm_holds_the_same_as_the_deb(deb253: Path, rpm: Path, tmp_path: Path) -> None:
    deb_files, rpm_files = files(contents_of_deb(deb253)), files(contents_of_rpm(rpm, tmp_path))
    zsh = "/usr/share/zsh"
    own_places = {f"{zsh}/vendor-completions/_websockify": f"{zsh}/site-functions/_websockify"}
    doc = "/usr/share/doc/websockify"
    expected = {
        own_places.get(name, name): entry
        for name, entry in deb_files.items()
        if name not in {f"{doc}/changelog.gz", f"{doc}/changelog.Debian.gz", f"{doc}/copyright"}
    }
    licenses = {
        f"/usr/share/licenses/websockify/{name}"
        for name in ("COPYRIGHT", "LICENSE-APACHE", "LICENSE-MIT")
    }
    copyright_of_rpm = rpm_files["/usr/share/licenses/websockify/COPYRIGHT"]
    assert copyright_of_rpm.content == deb_files[f"{doc}/copyright"].content
    assert rpm_files.keys() - expected.keys() == licenses | {f"{doc}/CHANGELOG.md"}
    assert not expected.keys() - rpm_files.keys()
    for name, entry in expected.items():
        other = rpm_files[name]
        assert (other.owner, other.link) == (entry.owner, entry.link), name
        # A link's own mode means nothing.
        assert entry.mode.startswith("l") or other.mode == entry.mode, name
        assert name in COMPILED or other.content == entry.content, name


def test_the_rpm_owns_the_directory_of_the_routes(rpm: Path, tmp_path: Path) -> None:
    assert contents_of_rpm(rpm, tmp_path)["/etc/websockify"].mode == "d755"


def test_the_packed_program_runs_and_its_name_makes_it_the_generator(
    deb: Path, tmp_path: Path
) -> None:
    run("dpkg-deb", "--extract", deb, tmp_path)
    assert run(tmp_path / "usr/bin/websockify", "--version").startswith("websockify 1.")
    (tmp_path / "etc/websockify/vnc.toml").write_text('listen = "6080"\ntarget = "[::1]:5900"\n')
    units = tmp_path / "units"
    for manager in ("system", "user"):
        generator = tmp_path / f"usr/lib/systemd/{manager}-generators/websockify-generator"
        run(generator, units / manager, env={"WEBSOCKIFY_CONFIG": str(tmp_path / "etc/websockify")})
        drop_in = units / manager / "websockify@vnc.socket.d/50-route.conf"
        assert "\nListenStream=6080\n" in drop_in.read_text()


def test_the_packed_program_has_the_web_terminal_and_says_whose_it_is(
    deb: Path, tmp_path: Path
) -> None:
    run("dpkg-deb", "--extract", deb, tmp_path)
    (tmp_path / "etc/websockify/console.toml").write_text(
        'listen = "6023"\ntarget = "[::1]:23"\nweb = "builtin:telnet"\n'
    )
    program = tmp_path / "usr/bin/websockify"
    assert run(program, "check", "--config", tmp_path / "etc/websockify") == "console: ok\n"
    assert b"The xterm.js authors" in program.read_bytes()
    notice = (tmp_path / "usr/share/doc/websockify/copyright").read_text()
    assert "The xterm.js authors" in notice


def test_the_manual_pages_are_right_and_every_page_that_a_unit_names_is_there(deb: Path) -> None:
    contents = contents_of_deb(deb)
    pages = [entry for name, entry in files(contents).items() if "/share/man/" in name]
    assert len(pages) == 4
    for entry in pages:
        page = gzip.decompress(entry.content).decode()
        run("mandoc", "-T", "lint", "-W", "warning", input=page)
    named = {
        page
        for name, entry in contents.items()
        if "/lib/systemd/" in name
        for line in entry.content.decode(errors="replace").splitlines()
        if line.startswith(("Documentation=", "Documentation:"))
        for page in line.split("man:")[1:]
    }
    for page in named:
        title, section = page.strip().removesuffix(")").split("(")
        assert f"/usr/share/man/man{section}/{title}.{section}.gz" in contents, page


def test_the_packed_rebind_moves_what_a_command_binds(deb: Path, tmp_path: Path) -> None:
    run("dpkg-deb", "--extract", deb, tmp_path)
    program = "import socket; print(socket.create_server(('', 23)).getsockname())"
    command = (tmp_path / "usr/bin/rebind", "23", "2323", "python3", "-c", program)
    # In a network of its own, where every port is free.
    network = 'ip link set lo up && exec "$0" "$@"'
    said = run("unshare", "--map-root-user", "--net", "sh", "-c", network, *command)
    assert said == "('127.0.0.1', 23)\n"
