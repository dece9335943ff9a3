"""The packages say whose work is linked into the program, and under which licences."""

import re
from pathlib import Path

from conftest import REPOSITORY, contents_of_deb, run

TREE = ("cargo", "tree", "--locked", "--no-dedupe", "--prefix=none")
LINKED = "--edges=no-dev,no-build,no-proc-macro"


def paragraphs(text: str) -> list[dict[str, str]]:
    """Of Debian's machine-readable form: a paragraph is fields, a field may have more lines."""
    found = []
    for block in text.strip().split("\n\n"):
        fields = re.findall(r"^(\S+): (.*(?:\n .*)*)", block, re.MULTILINE)
        assert fields, block
        found.append(dict(fields))
    return found


def copyright_of(deb: Path) -> list[dict[str, str]]:
    content = contents_of_deb(deb)["/usr/share/doc/websockify/copyright"].content
    return paragraphs(content.decode())


def test_every_crate_in_the_program_is_named_with_holder_and_licence(deb: Path) -> None:
    named = {one["Files"]: one for one in copyright_of(deb) if "Files" in one}
    tree = run(*TREE, LINKED, "--format={p}", cwd=REPOSITORY)
    crates = {tuple(line.split()[:2]) for line in tree.splitlines() if line and "(/" not in line}
    assert len(crates) > 20
    for name, version in crates:
        crate = named[f"vendor/{name}-{version.removeprefix('v')}/*"]
        assert len(crate["Copyright"]) > 5, crate
        assert crate["License"], crate
    # Those that the program starts with, it links; what only tests need, it does not.
    assert any(files.startswith("vendor/tokio-") for files in named)
    assert not any(files.startswith("vendor/proptest-") for files in named)


def test_every_licence_that_is_named_is_there_in_words(deb: Path) -> None:
    all_of_it = copyright_of(deb)
    alone = [one["License"] for one in all_of_it if "License" in one and "Files" not in one]
    texts = {text.split("\n")[0]: text for text in alone}
    for one in all_of_it:
        for name in one["License"].split(" or ") if "Files" in one else []:
            assert len(texts[name].splitlines()) >= 4, name
    assert "Permission is hereby granted" in texts["Expat"]
    assert "/usr/share/common-licenses/Apache-2.0" in texts["Apache-2.0"]


def test_the_rpm_names_all_licences_in_one_expression(rpm: Path) -> None:
    expression = run("rpm", "-qp", "--qf", "%{LICENSE}", rpm)
    assert expression.startswith("(MIT OR Apache-2.0) AND ")
    tree = run(*TREE, LINKED, "--format={l}", cwd=REPOSITORY)
    # A slash is the old way to write OR.
    lines = (line for line in tree.splitlines() if line and "/" not in line)
    offered = {line for line in lines if not {"OR", "AND"} & {*line.split()}}
    assert {"MIT", "ISC", "BSD-3-Clause"} <= offered
    assert offered <= set(expression.split(" AND "))


def test_the_web_terminal_names_whose_work_it_is(deb: Path) -> None:
    named = {one["Files"]: one for one in copyright_of(deb) if "Files" in one}
    for package in ("xterm", "addon-fit"):
        (found,) = (one for files, one in named.items() if files.startswith(f"vendor/{package}-"))
        assert "xterm.js authors" in found["Copyright"]
        assert found["License"] == "Expat"
