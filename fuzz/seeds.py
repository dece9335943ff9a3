#!/usr/bin/env python3
"""Writes the seeds that the fuzzers begin with: right input, and input that is nearly right.

    python3 fuzz/seeds.py

The files in fuzz/corpus that are named by a hash were found from them: the last of a run, which
reach furthest.
"""

from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
KEY = b"\x11\x22\x33\x44"


def frame(first: int, payload: bytes = b"") -> bytes:
    length = len(payload)
    if length < 126:
        head = bytes([first, 0x80 | length])
    elif length < 0x10000:
        head = bytes([first, 0xFE]) + length.to_bytes(2, "big")
    else:
        head = bytes([first, 0xFF]) + length.to_bytes(8, "big")
    return head + KEY + bytes(byte ^ KEY[i % 4] for i, byte in enumerate(payload))


def close(code: int, reason: bytes = b"") -> bytes:
    return code.to_bytes(2, "big") + reason


def step(what: int, amount: int, said: bytes = b"") -> bytes:
    return bytes([what, amount]) + said


def say(said: bytes, taken: int = 3) -> bytes:
    """The client says this, and the target takes so many thirds of the payload at once."""
    return step(taken << 6, len(said), said)


SEEDS: dict[str, dict[str, bytes]] = {
    "client_header": {
        "binary": frame(0x82, b"x")[:6],
        "length-16": frame(0x82, bytes(200))[:8],
        "length-64": b"\x82\xff\x00\x00\x00\x00\x00\x01\x00\x00" + KEY,
        "length-63-bits": b"\x82\xff\x7f" + b"\xff" * 7 + KEY,
        "length-64-bits": b"\x82\xff\x80" + bytes(7) + KEY,
        "not-minimal-16": b"\x82\xfe\x00\x7d" + KEY,
        "not-minimal-64": b"\x82\xff" + bytes(6) + b"\xff\xff" + KEY,
        "not-masked": b"\x82\x05Hello",
        "ping": frame(0x89),
        "ping-fragmented": frame(0x09),
        "ping-too-long": b"\x89\xfe\x00\x7e" + KEY,
        "reserved-bit": frame(0xC2),
        "unknown-opcode": frame(0x83),
    },
    "close_payload": {
        "empty": b"",
        "one-byte": b"\x03",
        "normal": close(1000),
        "reason": close(1001, "Tschüß".encode()),
        "application": close(4999, b"x" * 123),
        "never-sent": close(1005),
        "unassigned": close(2999),
        "not-utf-8": close(1000, b"\xff\xfe"),
        "cut-character": close(1000, "ü".encode()[:1]),
    },
    "frames": {
        "hello": b"\x03" + frame(0x82, b"Hello"),
        "fragments": b"\x01" + frame(0x02, b"Hel") + frame(0x89, b"?") + frame(0x80, b"lo"),
        "text": b"\x05" + frame(0x81, "Grüße".encode()),
        "large": b"\x40" + frame(0x82, bytes(range(256)) * 2),
        "pong-close": b"\x02" + frame(0x8A) + frame(0x88, close(1000, b"bye")) + frame(0x82, b"late"),
        "lonely-continuation": b"\x02" + frame(0x80, b"x"),
        "nested": b"\x02" + frame(0x02) + frame(0x82, b"x"),
    },
    "handshake": {
        "browser": b"Upgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Version: 13\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\nSec-WebSocket-Protocol: binary, base64\n",
        "no-protocol": b"Sec-WebSocket-Version: 8\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n",
        "two-protocol-lines": b"Sec-WebSocket-Version: 7\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n"
        b"Sec-WebSocket-Protocol: base64\nSec-WebSocket-Protocol: ,binary,\n",
        "wrong-protocol": b"Sec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n"
        b"Sec-WebSocket-Protocol: mqtt\n",
        "wrong-version": b"Sec-WebSocket-Version: 99\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n",
        "short-key": b"Sec-WebSocket-Version: 13\nSec-WebSocket-Key: AAAA\n",
    },
    "redis_reply": {
        "status": b"+OK\r\n",
        "error": b"-WRONGPASS invalid username-password pair\r\n+OK\r\n",
        "integer": b":-12\r\n",
        "nil": b"$-1\r\n",
        "bulk": b"$14\r\n127.0.0.1:5900\r\n",
        "bulk-cut": b"$14\r\n127.0.0.1",
        "bulk-long": b"$999999999999\r\n",
        "not-redis": b"HTTP/1.1 400 Bad Request\r\n\r\n",
        "array": b"*1\r\n$1\r\nx\r\n",
    },
    "token_answer": {
        "text": b"10.0.0.5:5901\n",
        "ipv6": b"[2001:db8::1]:5901",
        "unix": b"unix_socket:/run/vm:7.vnc",
        "unix-relative": b"unix_socket:vm.vnc",
        "json": b'{"host": "10.0.0.5", "port": 5901}',
        "json-text": b'{"host": "::1", "port": "5901"}',
        "json-whole": b'{"host": "10.0.0.5:5901"}',
        "json-unix": b'{"host": "unix_socket", "port": "/run/vm.vnc"}',
        "json-wrong": b'{"host": ["a"], "port": -1}',
        "html": b"<html>",
    },
    "token_key": {
        "symmetric": b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\n",
        "symmetric-short": b"c2VjcmV0X3NhdWNl",
        "ed25519": b"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n"
        b"-----END PUBLIC KEY-----\n",
        "damaged": b"-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----\n",
        "certificate": b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
        "private": b"-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n",
    },
    "token_request": {
        "query": b"/websockify?a=b&token=lab+1%2F2\nHost: vm1.example.com:6080",
        "empty": b"/?token=&token=x",
        "not-utf-8": b"/?token=%ff",
        "control": b"/?token=a%0ab",
        "path": b"/websockify/lab-1\nCookie: a=b; vm=\"x\"",
        "cookie": b"/\nCookie: vm=\nCookie: vm=lab-1",
        "host": b"/\nHost: [2001:DB8::1]:6080",
        "absolute": b"http://other/?token=x\nHost: here",
    },
    "token_source": {
        "file": b"file:/etc/websockify/tokens",
        "http": b"https://me:hunter2@portal:8443/api/%s?x=%%20",
        "http-wrong": b"https://me:hunter2@portal/",
        "redis": b"rediss://me:hunter2@[::1]:6380/2",
        "redis-wrong": b"redis://me:hunter2@host/x",
        "jwt": b"jwt:credential:key",
        "kind": b"files:/x",
        "network": b"10.0.0.0/8:5900-5999",
        "network-6": b"[2001:db8::]/32:5900",
        "unix": b"unix:/run/vm",
    },
    "token_table": {
        "original": b"# comment\ntoken1: 10.0.0.5:5901\ntoken2:\tunix_socket:/run/vm7.vnc\ntoken3: ::1:5902\n",
        "mended": b"\xef\xbb\xbf  tok: [::1]:5901\r\n\n\t# x\na b: h:1\n",
        "wrong": b"tok4:host:1\nd: host\ntok: h:1 # comment\na: b: c\n: h:1\nx: unix_socket:vm\n",
        "twice": b"t: a:1\nt: b:2\n",
        "not-utf-8": b"t\xff: a:1\n",
    },
    "tunnel": {
        "exchange": say(frame(0x82, b"Hello")) + step(0xC4, 9) + say(frame(0x88, close(1000))) + step(15, 0) * 2
        + step(11, 0) + step(6, 255),
        "short-writes": say(frame(0x82, b"Hello, world"), 1) + step(0x44, 99) + step(8, 3) + step(6, 50)
        + step(8, 255) + step(6, 255),
        "ping-flood": say(frame(0x89, b"a" * 100) * 2) * 12 + step(6, 255) * 9,
        "target-eof": step(4, 200) + step(11, 0) + step(6, 255) + say(frame(0x88, close(1000))) + step(15, 0),
        "client-eof": say(frame(0x82, b"x"), 0) + step(8, 9) + step(10, 0) + step(15, 0) + step(0xC5, 5) + step(11, 0),
        "broken": say(frame(0x83)) + step(6, 255) + step(15, 0) + say(b"junk") + step(10, 0),
        "lost": say(frame(0x82, b"x"), 0) + step(4, 10) + step(13, 0) + step(12, 0),
        "silence": step(9, 200) + step(6, 9) + step(9, 255) + step(9, 10),
        "stop": step(0x44, 20) + step(14, 0) + step(6, 255) + say(frame(0x88)) + step(15, 0),
    },
}


def main() -> None:
    for target, seeds in SEEDS.items():
        directory = CORPUS / target
        directory.mkdir(parents=True, exist_ok=True)
        for name, seed in seeds.items():
            (directory / name).write_bytes(seed)


if __name__ == "__main__":
    main()
