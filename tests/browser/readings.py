"""Read the numbers that a page shows to people: "0.42 ms", "12.3 MB/s", "1.5 GiB"."""

import re

_PREFIXES = {"": 0, "k": 1, "K": 1, "M": 2, "G": 3, "T": 4}
_SECONDS = {"ns": 1e-9, "µs": 1e-6, "μs": 1e-6, "us": 1e-6, "ms": 1e-3, "s": 1.0}


def bytes_in(text: str) -> float | None:
    """The bytes of a size, or the bytes a second of a rate; None while the text is no number."""
    match = re.fullmatch(r"([\d,]+(?:\.\d+)?)\s*([kKMGT]?)(i?)(?:B|bytes?)(?:/s)?", text.strip())
    if match is None:
        return None
    number, prefix, binary = match.groups()
    return float(number.replace(",", "")) * (1024 if binary else 1000) ** _PREFIXES[prefix]


def seconds_in(text: str) -> float | None:
    """The seconds of a duration; None while the text is no number."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(\w+)", text.strip())
    if match is None or match[2] not in _SECONDS:
        return None
    return float(match[1]) * _SECONDS[match[2]]
