"""The packages that `make packages` built, opened."""

import io
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Entry:
    """A file, directory or link of a package."""

    mode: str
    owner: str
    link: str = ""
    content: bytes = b""


Contents = dict[str, Entry]


def run(*command: str | Path, **options: object) -> str:
    """The output of a command that succeeds."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, **options)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def only(pattern: str) -> Path:
    found = sorted(REPOSITORY.glob(pattern))
    assert len(found) == 1, f"one {pattern} is needed, and there are {found}: run `make packages`"
    return found[0]


@pytest.fixture(scope="session")
def deb() -> Path:
    """For systemd 252 and later."""
    return only("target/debian/websockify_*-1_*.deb")


@pytest.fixture(scope="session")
def deb253() -> Path:
    """For systemd 253 and later."""
    return only("target/debian/websockify_*-1+systemd253_*.deb")


@pytest.fixture(scope="session")
def rpm() -> Path:
    return only("target/rpm/websockify-*.rpm")


def contents_of_deb(package: Path) -> Contents:
    archive = subprocess.run(
        ["dpkg-deb", "--fsys-tarfile", package], capture_output=True, check=True, timeout=60
    ).stdout
    contents = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            file = tar.extractfile(member) if member.isfile() else None
            contents[member.name.removeprefix(".")] = Entry(
                mode=("d" if member.isdir() else "l" if member.issym() else "-")
                + f"{member.mode:o}",
                owner=f"{member.uname}:{member.gname}",
                link=member.linkname,
                content=file.read() if file else b"",
            )
    contents.pop("", None)
    return contents


def contents_of_rpm(package: Path, directory: Path) -> Contents:
    """Opens it in an empty directory; directories that other packages own are not in it."""
    archive = subprocess.run(["rpm2cpio", package], capture_output=True, check=True, timeout=60)
    subprocess.run(
        ["cpio", "--extract", "--make-directories", "--quiet"],
        input=archive.stdout,
        cwd=directory,
        check=True,
        timeout=60,
    )
    form = "[%{FILENAMES}\t%{FILEMODES:octal}\t%{FILEUSERNAME}:%{FILEGROUPNAME}\t%{FILELINKTOS}\n]"
    contents = {}
    for line in run("rpm", "-qp", "--qf", form, package).splitlines():
        name, mode, owner, link = line.split("\t")
        path = directory / name.removeprefix("/")
        regular = not link and path.is_file()
        contents[name] = Entry(
            mode=("d" if path.is_dir() and not link else "l" if link else "-")
            + f"{int(mode, 8) & 0o7777:o}",
            owner=owner,
            link=link,
            content=path.read_bytes() if regular else b"",
        )
    return contents
