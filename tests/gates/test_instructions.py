"""The protocol's work in instructions, counted by callgrind: the same on every machine, however busy it is.

`instructions.toml` has what each piece took, and the compiler that it was recorded with. Another compiler
makes other code of the same source, so with one a piece may take a quarter more before this fails; with the
recorded one it may take 3 % more, and a handful: the compiler lays out the smallest pieces anew when their
neighbours change. When the code has become better, or a change is worth its price, record
anew: `make record-instructions`.
"""

import os
import subprocess
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from clients.program import built

from .callgrind import instructions_measured

RECORDED = Path(__file__).with_name("instructions.toml")
# As in examples/codec_work.rs.
REPETITIONS = 100
SLACK = 1.03
SLACK_OF_ANOTHER_COMPILER = 1.25
HANDFUL = 10
WORTH_RECORDING = 0.95


def _program() -> Path:
    return built("WEBSOCKIFY_CODEC_WORK", "target/release/examples/codec_work")


def compiler() -> str:
    """The version of the compiler that cargo uses here."""
    command = [os.environ.get("RUSTC", "rustc"), "--version"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[1]


def pieces() -> list[str]:
    listed = subprocess.run([_program()], check=True, capture_output=True, text=True)
    return listed.stdout.split()


def instructions(piece: str) -> int:
    """How many instructions the piece takes once."""
    return instructions_measured(_program(), piece) // REPETITIONS


@pytest.fixture(scope="module")
def counted() -> dict[str, int]:
    # Every callgrind is a process of its own.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        names = pieces()
        return dict(zip(names, pool.map(instructions, names), strict=True))


@pytest.fixture(scope="module")
def recorded() -> dict:
    return tomllib.loads(RECORDED.read_text())


def test_each_piece_of_the_codec_takes_no_more_instructions_than_recorded(
    counted: dict[str, int], recorded: dict
) -> None:
    here = compiler()
    slack = SLACK if here == recorded["rustc"] else SLACK_OF_ANOTHER_COMPILER
    bounds = recorded["instructions"]
    assert counted.keys() == bounds.keys(), "record anew: make record-instructions"
    lines = [f"rustc {here}, recorded with {recorded['rustc']}: at most {slack} x as many"]
    worse = []
    for name, count in counted.items():
        ratio = count / bounds[name]
        line = f"{name:<30} {count:>9} instructions, recorded {bounds[name]:>9}, {ratio:.3f} x"
        if count > bounds[name] * slack + HANDFUL:
            worse.append(line)
            line += "  TOO MANY"
        elif ratio < WORTH_RECORDING:
            line += "  (far fewer: make record-instructions)"
        lines.append(line)
    print("\n".join(lines))
    assert not worse, "more instructions than recorded:\n" + "\n".join(worse)


def test_the_count_follows_the_work(counted: dict[str, int]) -> None:
    # The gate would be blind if it counted something else than the piece's work: 618 headers cost more than
    # one, a masked byte is a byte, and a frame's header does not depend on its payload.
    assert counted["decode-frames-of-100-bytes"] > 2 * counted["decode-one-frame-of-64k"]
    assert counted["decode-one-frame-of-64k"] > 64 * 1024 / 64
    assert counted["frame-64k"] < 2 * counted["frame-100-bytes"] < 1000


if __name__ == "__main__":
    figures = "\n".join(f"{piece} = {instructions(piece)}" for piece in pieces())
    RECORDED.write_text(
        "# Instructions of each piece of examples/codec_work.rs, by `make record-instructions`.\n"
        f'rustc = "{compiler()}"\n\n[instructions]\n{figures}\n'
    )
