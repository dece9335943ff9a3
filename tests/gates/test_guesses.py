"""A guess takes as much work when it is all but right as when it is wrong from the first byte.

Not measured by a clock, whose noise hides what an attacker finds by patience, but counted: a hundred guesses of a
token and of a password under callgrind. The keys of the hashes are new in each process, and a table of hashes has
now and then one that looks alike at first, so that a few instructions in a thousand may differ by chance.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from clients.program import built

from .callgrind import instructions_measured

GUESSES = ("wrong-at-once", "half-right", "all-but-right")
SECRETS = ("token", "password", "compared")
BY_CHANCE = 1.01


@pytest.fixture(scope="module")
def counted() -> dict[str, list[int]]:
    """For each secret, what the guesses take."""
    program = built("WEBSOCKIFY_GUESS_WORK", "target/release/examples/guess_work")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        counts = {
            secret: [pool.submit(instructions_measured, program, secret, guess) for guess in GUESSES]
            for secret in SECRETS
        }
        found = {secret: [count.result() for count in each] for secret, each in counts.items()}
    for secret, each in found.items():
        print(secret, dict(zip(GUESSES, each, strict=True)), f"{max(each) / min(each):.4f} x")
    return found


@pytest.mark.parametrize("secret", ["token", "password"])
def test_how_much_of_a_guess_is_right_costs_nothing(counted: dict[str, list[int]], secret: str) -> None:
    assert max(counted[secret]) < min(counted[secret]) * BY_CHANCE


def test_a_comparison_that_stops_at_the_first_wrong_byte_would_be_seen(counted: dict[str, list[int]]) -> None:
    wrong, half, almost = counted["compared"]
    assert wrong * 2 < half < almost
