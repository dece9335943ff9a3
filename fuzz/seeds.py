#!/usr/bin/env python3
"""Writes the seeds that the fuzzers begin with: right input, and input that is nearly right.

    python3 fuzz/seeds.py

The files in fuzz/corpus that are named by a hash were found from them: the last of a run, which
reach furthest.
"""

import socket
import struct
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


def environment(
    address: bytes, ports: str = "-", old: str = "-", new: str = "-", ipv6_only: bool = False
) -> bytes:
    """The variables, where - is none, and the address that a program binds."""
    return f"{ports}\n{old}\n{new}\n".encode() + bytes([ipv6_only]) + address


def ipv4(port: int, address: str = "0.0.0.0", family: int = socket.AF_INET) -> bytes:
    return struct.pack("=H", family) + struct.pack("!H", port) + socket.inet_aton(address) + bytes(8)


def ipv6(port: int, address: str = "::") -> bytes:
    at = socket.inet_pton(socket.AF_INET6, address)
    return struct.pack("=H", socket.AF_INET6) + struct.pack("!HI", port, 0) + at + bytes(4)


def step(what: int, amount: int, said: bytes = b"") -> bytes:
    return bytes([what, amount]) + said


def say(said: bytes, taken: int = 3) -> bytes:
    """The client says this, and the target takes so many thirds of the payload at once."""
    return step(taken << 6, len(said), said)


SESSIONS: dict[str, bytes] = {
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
}

HIXIE_SESSIONS: dict[str, bytes] = {
    "exchange": say(b"\x00SGVsbG8=\xff")
    + step(0xC4, 9)
    + say(b"\x00SG\xff\x00Vs\xff", 1)
    + step(8, 255)
    + say(b"\xff\x00")
    + step(15, 0) * 2
    + step(11, 0)
    + step(6, 255)
    + step(15, 0),
    "target-eof": step(4, 200) + step(11, 0) + step(6, 255) + step(15, 0) + say(b"\xff\x00") + step(15, 0),
    "short-writes": step(0x44, 99) + step(6, 50) + step(8, 3) + step(12, 0),
    "length-prefixed": say(b"\x80\x03abc") + step(6, 255) + step(15, 0) + say(b"junk") + step(10, 0),
    "wrong": say(b"\x00QUJD*") + step(6, 255) + step(15, 0) + step(10, 0),
    "silence": step(9, 200) * 9,
    "stop": step(0x44, 20) + step(14, 0) + step(6, 255) + step(15, 0) + step(10, 0),
}

# The first byte of a session says what it speaks.
BINARY, ACCEPT, REPLY, BASE64, HIXIE_75, HIXIE_76 = range(6)

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
        "hixie-75": b"/demo?x=1\nHost: example.com\nOrigin: http://example.com\nWebSocket-Protocol: base64\n",
        "hixie-76": b"/demo\nHost: example.com\nOrigin: http://example.com\n"
        b"Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\nSec-WebSocket-Key2: 12998 5 Y3 1  .P00\n",
        "hixie-76-no-spaces": b"/\nHost: h\nOrigin: o\nSec-WebSocket-Key1: 12345\nSec-WebSocket-Key2: 1 2\n",
        "hixie-76-one-key": b"/\nHost: h\nOrigin: o\nSec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\n",
        "hybi-draft-2": b"/\nHost: h\nOrigin: o\nSec-WebSocket-Draft: 2\nSec-WebSocket-Key1: 1 2\n",
        "base64": b"Sec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n"
        b"Sec-WebSocket-Protocol: base64\n",
        "short-key": b"Sec-WebSocket-Version: 13\nSec-WebSocket-Key: AAAA\n",
    },
    "rebind_environment": {
        "list": environment(ipv4(5801), ports="5901=43211, 5801=43212"),
        "pair": environment(ipv4(5901, "192.0.2.7"), old="5901", new="43211"),
        "list-before-pair": environment(ipv4(23), ports="23=2323", old="0", new="vnc"),
        "another-port": environment(ipv4(5902), ports="5901=43211"),
        "ipv6": environment(ipv6(5901, "2001:db8::7"), ports="5901=43211"),
        "ipv6-both": environment(ipv6(5901), ports="5901=43211"),
        "ipv6-only": environment(ipv6(5901), ports="5901=43211", ipv6_only=True),
        "ipv6-mapped": environment(ipv6(5901, "::ffff:192.0.2.7"), ports="5901=43211"),
        "ipv6-without-scope": environment(ipv6(5901)[:24], ports="5901=43211"),
        "ipv6-short": environment(ipv6(5901)[:23], ports="5901=43211"),
        "no-family": environment(ipv4(5901, family=0), ports="5901=43211"),
        "foreign-family": environment(ipv4(5901, family=1), ports="5901=43211"),
        "too-long": environment(ipv4(5901) + bytes(113), ports="5901=43211"),
        "no-address": environment(b"", ports="65535=1,1=65535"),
        "twice": environment(ipv4(1), ports="1=2,1=3"),
        "too-large": environment(ipv4(1), ports="1=65536"),
        "half-a-pair": environment(ipv4(5901), old="5901"),
    },
    "recording": {
        "now": b"var VNC_frame_data = [\n'{3{RFB 003.008\\n',\n'}17}it\\'s\\x00',\n'EOF'];\n",
        "first": b"var VNC_frame_data = [\n\"{3{it's\",\n'EOF']\n",
        "binary": b"var VNC_frame_encoding = 'binary';\nvar VNC_frame_data = [\n'{3{a\\xff',\n'EOF'];\n",
        "base64": b"var VNC_frame_encoding = 'base64';\nvar VNC_frame_data = [\n'{3{UkZC',\n'}4}eA==',\n'EOF'];\n",
        "base64-unsaid": b"var VNC_frame_data = [\n'{3{UkZCIDAwMy4wMDgK',\n'}4{eA==',\n'EOF'];\n",
        "javascript": b"// by hand\nconst VNC_frame_data = [\n'{3{\\u0041\\b\\0',\n];\n",
        "latin": "var VNC_frame_data = [\n'{3{café',\n".encode(),
        "cut": b"var VNC_frame_data = [\n'{3{abc\\x4",
        "damaged": b"var VNC_frame_data = [\n'{x{abc',\n'{3{\\q',\n{3{abc,\n'EOF'];\n'{4{late',\n",
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
    "ciphers": {
        "intermediate": b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305:AES256-SHA",
        "words": b"ECDHE+AESGCM:ECDHE+CHACHA20:!AES128:-aRSA:+aECDSA:@STRENGTH",
        "newest": b"TLS_AES_128_GCM_SHA256:TLS_AES_128_GCM_SHA256:!TLS_AES_256_GCM_SHA384:HIGH",
        "none": b"ALL:!ECDHE",
        "unknown": b"HIGH:!aNUL:@SECLEVEL=x",
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
        **{f"binary-{name}": bytes([BINARY]) + steps for name, steps in SESSIONS.items()},
        **{f"text-{name}": bytes([REPLY]) + steps for name, steps in SESSIONS.items()},
        "text-fragments": bytes([REPLY])
        + say(frame(0x01, "Grüße".encode()[:3]))
        + say(frame(0x80, "Grüße".encode()[3:])),
        "text-wrong": bytes([ACCEPT]) + say(frame(0x81, b"caf\xe9 ")) + step(6, 255) + step(15, 0),
        "text-cut": bytes([ACCEPT]) + say(frame(0x81, b"\xe2\x82")) + step(6, 255) + step(15, 0),
        # The amount is the target's byte as well: 0xFE is no text, 0xC3 half a character.
        "text-replaced": bytes([REPLY]) + step(0xC4, 0xFE) + step(0xC4, 0xC3) + step(0xC4, 40) + step(11, 0),
        "base64-exchange": bytes([BASE64])
        + say(frame(0x81, b"SGVsbG8="))
        + step(0xC4, 9)
        + say(frame(0x02, b"SG") + frame(0x89, b"?") + frame(0x80, b"Vs"), 1)
        + step(8, 255)
        + say(frame(0x88, close(1000)))
        + step(15, 0) * 2
        + step(11, 0)
        + step(6, 255),
        "base64-wrong": bytes([BASE64]) + say(frame(0x82, b"QUJD*")) + step(6, 255) + step(15, 0) + step(10, 0),
        "base64-short-writes": bytes([BASE64]) + step(0x44, 99) + step(6, 50) + step(13, 0) + step(12, 0),
        **{
            f"hixie-{draft}-{name}": bytes([number]) + steps
            for draft, number in (("75", HIXIE_75), ("76", HIXIE_76))
            for name, steps in HIXIE_SESSIONS.items()
        },
    },
    "origin": {
        "page": b"https://desk.example.com",
        "default-port": b"HTTPS://Desk.Example.com:443",
        "ipv6": b"http://[2001:DB8::1]:6080",
        "bracket-alone": b"http://a[:]",
        "user": b"http://desk@evil.example",
        "path": b"http://desk/",
        "null": b"null",
    },
    "users_file": {
        "two": b"# the lab\njane:$2y$04$izIc389F8oUlWRRN3lB0S.CQrstjzQ8b27T.hpbitDGlG2cXZSpOq\n"
        b"joe:$5$rounds=1000$lidpzsjNRvMPAyaH$1qL2Utv9fZq/SOaGHjZOb8bZZjOmY14uFfBTTW2wV/2:why\n",
        "argon2": b"a:$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$TnDEl2tJgYtaYZt0/5f59Jf56vkIG4EtQACv6SLO2cI",
        "weak": b"a:$apr1$x$y\nb:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\nc:abJnggxhB/yWI\nd:$y$j9T$a$b\n",
        "costly": b"a:$6$rounds=999999999$salt$hash\nb:$argon2id$v=19$m=4294967295,t=9,p=1$c2FsdA$aGFzaA\n",
        "no-names": b":x\n::\n\n\xef\xbb\xbf\n",
    },
    "base64_stream": {
        "padded": b"\x02Zm9vYmFy\nZm8=\nZg==\n",
        "quanta-over-messages": b"\x00Z\nm9vYg\n=\n=\nZm9v",
        "padding-inside": b"\x03Zg==Zg==",
        "padding-alone": b"\x01=",
        "wrong-character": b"\x05Zm9vYm-y",
        "left-over-bits": b"\x07Zh==\nZm9=",
        "long": b"\x0f" + b"QUJD" * 300 + b"QUI=",
    },
    "hixie_frames": {
        "hello": b"\x03\x00SGVsbG8=\xff",
        "empty-and-cut": b"\x01\x00\xff\x00SG\xff\x00Vs\xff",
        "closing": b"\x02\x00QQ==\xff\xff\x00\x00late\xff",
        "length-prefixed": b"\x00\x80\x03abc",
        "not-closing": b"\x04\xff\x01",
        "unknown": b"\x00\x01abc\xff",
    },
    "proxy_header": {
        "line-4": b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\nGET / HTTP/1.1\r\n",
        "line-6": b"PROXY TCP6 2001:db8::1 ::1 1 65535\r\n",
        "line-unknown": b"PROXY UNKNOWN ffff::1 what ever\r\n",
        "line-endless": b"PROXY UNKNOWN " + b"x" * 120,
        "line-cut": b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r",
        "none": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "binary-4": b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x07\xdc\x04\x01\xbb",
        "binary-local": b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00more",
        "binary-values": b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x23\xc0\x00\x02\x01\xc6\x33\x64\x07\xdc\x04\x01\xbb"
        b"\x05\x00\x02id\x20\x00\x0f\x01\0\0\0\0\x21\x00\x07TLSv1.3",
        "binary-wrong-sum": b"\r\n\r\n\0\r\nQUIT\n\x21\x00\x00\x07\x03\x00\x04\0\0\0\0",
        "binary-cut": b"\r\n\r\n\0\r\nQUIT\n\x21\x21\x00\x24\x20\x01",
        "binary-too-long": b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
    },
    "forwarded": {
        "addresses": b"10.0.0.1, [2001:db8::1]:80, 192.0.2.9:1",
        "unknown": b"unknown, _hidden",
        "pairs": b"for=192.0.2.60;proto=http;by=203.0.113.43, For=\"[2001:db8::1]:4711\"",
        "open-quote": b"for=\"x, host=\"",
        "escaped-quote": b"for=\"\\\"\\\\\";host=\"a,b\"",
        "separators": b",;, ;=,for==;for",
        "high-bytes": b"for=\xff\xfe",
    },
    "session_line": {
        "introduced": b"d6deb3ae 80 24 192.0.2.1:40000\nd6deb3ae 1 65535 [fe80::1%2]:1\nd6deb3ae 80 24 -\n",
        "news": b"started\nfailed -2\nended 255\nended 256\n",
        "nobody": b" 80 24 -\nx 0 24 -\nx 80 24 - -\n\xff\n",
        "endless": b"started" * 40,
    },
    "utf8": {
        "all-lengths": b"\x00" + "a\u00e9\u20ac\U0001f600".encode() * 3,
        "cut-at-end": b"\x02" + "\U0001f600".encode()[:3],
        "latin-1": b"\x05caf\xe9 au lait",
        "overlong": b"\x01\xc0\x80\xe0\x80\x80\xf0\x80\x80\x80",
        "surrogates": b"\x03\xed\xa0\x80\xed\xbf\xbf",
        "too-high": b"\x04\xf4\x90\x80\x80\xf5\x80",
        "replaced-in-the-middle": b"\x06ok\xffok\xe2\x82ok",
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
