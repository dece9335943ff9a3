"""A number on a page is read as the people who look at it read it, or not at all."""

import pytest

from readings import bytes_in, seconds_in


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0 B", 0),
        ("999 bytes", 999),
        ("1,024 B", 1024),
        ("12.3 MB/s", 12.3e6),
        ("1.5 GiB", 1.5 * 2**30),
        ("8 kB/s", 8e3),
        ("8 KiB/s", 8192),
        ("", None),
        ("–", None),
        ("NaN MB/s", None),
        ("Infinity B", None),
        ("-1 B", None),
        ("12.3", None),
    ],
)
def test_sizes_and_rates(text: str, value: float | None):
    assert bytes_in(text) == (None if value is None else pytest.approx(value))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.42 ms", 0.42e-3),
        ("85 µs", 85e-6),
        ("1 s", 1.0),
        ("–", None),
        ("NaN ms", None),
        ("-3 ms", None),
        ("3 miles", None),
    ],
)
def test_durations(text: str, value: float | None):
    assert seconds_in(text) == (None if value is None else pytest.approx(value))
