"""Recordings, rewritten as each version of websockify would have written them."""

import ast
import base64


def entries(recording: str) -> list[tuple[str, int, bytes]]:
    """Who said what when: the mark of the side, milliseconds, and the bytes."""
    first, *lines, last = recording.splitlines()
    assert (first, last) == ("var VNC_frame_data = [", "'EOF'];")
    found = []
    for line in lines:
        # What stands there is a string of Python's as well.
        text = ast.literal_eval(line.removesuffix(","))
        time, _, payload = text[1:].partition(text[0])
        found.append((text[0], int(time), payload.encode("latin-1")))
    return found


def as_written(recording: str) -> str:
    return recording


def with_binary_encoding(recording: str) -> str:
    """As 0.3 to 0.8 wrote it: Python's repr in either quote, and no semicolon at the end."""
    lines = [
        repr(f"{mark}{time}{mark}".encode() + payload)[1:] + ",\n"
        for mark, time, payload in entries(recording)
    ]
    header = "var VNC_frame_encoding = 'binary';\nvar VNC_frame_data = [\n"
    return header + "".join(lines) + "'EOF']\n"


def with_base64_encoding(recording: str) -> str:
    """As 0.3 to 0.8 wrote it for clients that could not receive binary frames."""
    return "var VNC_frame_encoding = 'base64';\n" + in_base64(recording)


def in_base64(recording: str) -> str:
    """The same without the line that says so, as the first versions wrote it.

    With `{` behind each time: noVNC's player looks for it, and takes all of an entry without one
    for base64, its mark and time too, which is harmless in recordings that are not in base64.
    """
    lines = [
        f"'{mark}{time}{{{base64.b64encode(payload).decode()}',\n"
        for mark, time, payload in entries(recording)
    ]
    return "var VNC_frame_data = [\n" + "".join(lines) + "'EOF'];\n"


FORMS = [as_written, with_binary_encoding, with_base64_encoding, in_base64]
