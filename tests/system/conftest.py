"""Machines for the tests, each fresh, on both releases; their journals beside what fails."""

import fcntl
import shutil
from collections.abc import Generator, Iterator

import pytest

from .host import obstacles
from .machine import Machine, remove_leftovers
from .package import install, package
from .root import RELEASES, SYSTEM, Root, base


def pytest_sessionstart() -> None:
    """Says once, before any test, why none could run."""
    if found := obstacles():
        reasons = "".join(f"\n  {reason}" for reason in found)
        pytest.exit(f"this machine cannot boot the machines of tests/system:{reasons}", returncode=1)


@pytest.fixture(scope="session")
def alone() -> Iterator[None]:
    """Makes this the only run in this tree, and removes what an earlier one may have left."""
    SYSTEM.mkdir(parents=True, exist_ok=True)
    with (SYSTEM / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pytest.fail("another run of these tests is going on in this tree", pytrace=False)
        remove_leftovers()
        yield


@pytest.fixture(scope="session", params=RELEASES)
def bare_root(request: pytest.FixtureRequest, alone: None) -> Root:
    """A Debian without the package."""
    return base(request.param)


@pytest.fixture(scope="session")
def installed_root(bare_root: Root) -> Iterator[Root]:
    """A Debian on which apt has installed the package."""
    layer = SYSTEM / f"INSTALLED-{bare_root.release}"
    if layer.exists():
        shutil.rmtree(layer)
    with Machine(bare_root) as machine:
        install(machine, package(machine))
        root = machine.into_root(bare_root, layer)
    yield root
    shutil.rmtree(layer)


@pytest.fixture
def bare_machine(bare_root: Root) -> Iterator[Machine]:
    """A booted Debian without the package."""
    with Machine(bare_root) as machine:
        yield machine


@pytest.fixture
def machine(installed_root: Root) -> Iterator[Machine]:
    """A booted Debian with the package."""
    with Machine(installed_root) as machine:
        yield machine


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Shows the journal of each machine of a test that failed."""
    report = yield
    if report.failed and report.when == "call":
        for name, value in getattr(item, "funcargs", {}).items():
            if isinstance(value, Machine):
                report.sections.append((f"journal of {name}", value.story()))
    return report
