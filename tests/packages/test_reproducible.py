"""The same binary gives the same packages."""

import hashlib
from pathlib import Path

from conftest import REPOSITORY, run


def digests() -> dict[Path, str]:
    packages = [*REPOSITORY.glob("target/debian/*.deb"), *REPOSITORY.glob("target/rpm/*.rpm")]
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in packages}


def test_a_second_build_is_the_same_byte_for_byte() -> None:
    before = digests()
    times = {path: path.stat().st_mtime_ns for path in before}
    assert len(before) >= 3, "run `make packages` first"
    run(REPOSITORY / "packaging/build")
    assert digests() == before
    assert all(path.stat().st_mtime_ns > time for path, time in times.items())
