// Text, lines and telnet together, as the page uses them.

import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import { Decoder } from "../../web/telnet/decoder.js";
import { Session } from "../../web/telnet/session.js";
import { bytes, cut, hostStream, places, text } from "./bytes.js";

const session = () => new Session({ columns: 80, rows: 24 });

function types(some, typed, { show, send }) {
  const result = some.typed(typed);
  assert.deepEqual({ show: result.show, send: text(result.send) }, { show, send }, JSON.stringify(typed));
}

test("text is UTF-8, whatever messages it is split over", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), places, (some, at) => {
      const decoder = new Decoder();
      const pieces = cut(new TextEncoder().encode(some), at);
      assert.equal(pieces.map((piece) => decoder.decode(piece)).join(""), some);
    }),
  );
});

test("any cutting of any bytes gives the same text, and only what waits for its rest is missing", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), places, (some, at) => {
      const whole = new Decoder().decode(some);
      const decoder = new Decoder();
      assert.equal(cut(some, at).map((piece) => decoder.decode(piece)).join(""), whole);
      assert.doesNotMatch(whole, /\p{Surrogate}/u);
    }),
  );
});

test("bytes that are not UTF-8 are Latin-1 letters, and never control characters", () => {
  const decode = (written) => new Decoder().decode(bytes(written));
  assert.equal(decode("'Gr' 252 223 'e'"), "Grüße");
  assert.equal(decode("195 'a'"), "Ãa");
  assert.equal(decode("226 130 'x'"), "â\ufffdx");
  assert.equal(decode("155 '31m'"), "\ufffd31m");
  for (const [written, shown] of [
    ["192 175", "À¯"], // overlong
    ["237 160 128", "í\u00a0\ufffd"], // a surrogate
    ["244 144 128 128", "ô\ufffd\ufffd\ufffd"], // beyond Unicode
    ["255 'a'", "ÿa"],
  ]) {
    assert.equal(decode(written), shown, written);
  }
});

test("a session shows data and sends replies, however its bytes are cut", () => {
  fc.assert(
    fc.property(hostStream, places, (stream, at) => {
      const expected = session().received(stream);
      const some = session();
      const parts = cut(stream, at).map((piece) => some.received(piece));
      assert.equal(parts.map(({ show }) => show).join(""), expected.show);
      assert.deepEqual(parts.flatMap(({ send }) => [...send]), [...expected.send]);
    }),
  );
});

test("a host that echoes gets every key at once, and shows it itself", () => {
  const some = session();
  some.received(bytes("IAC WILL ECHO IAC WILL SGA IAC DO BINARY"));
  types(some, "ä", { show: "", send: "ä" });
  types(some, "\x7f", { show: "", send: "\x7f" });
  types(some, "\x1b[A", { show: "", send: "\x1b[A" });
  types(some, "\r", { show: "", send: "\r" });
});

test("without the host's echo, keys are shown here", () => {
  const some = session();
  some.received(bytes("IAC WILL SGA"));
  types(some, "a", { show: "a", send: "a" });
  types(some, "\x7f", { show: "\b \b", send: "\x7f" });
  types(some, "\x03", { show: "^C", send: "\x03" });
  types(some, "\r", { show: "\r\n", send: "\r\n" });
});

test("a host that says nothing about it gets whole lines, which are shown and edited here", () => {
  const some = session();
  types(some, "l", { show: "l", send: "" });
  types(some, "xs", { show: "xs", send: "" });
  types(some, "\x7f\x7f", { show: "\b \b\b \b", send: "" });
  types(some, "s\r", { show: "s\r\n", send: "ls\r\n" });
  types(some, "日本", { show: "日本", send: "" });
  types(some, "\x7f", { show: "\b \b\b \b", send: "" });
  types(some, "\x15", { show: "\b \b\b \b", send: "" });
  types(some, "\x7f", { show: "", send: "" });
  types(some, "\x1b[A\x1bOB", { show: "", send: "" });
  types(some, "ab\x03", { show: "ab^C", send: "ab\x03" });
  types(some, "one\rtwo\rthr", { show: "one\r\ntwo\r\nthr", send: "one\r\ntwo\r\n" });
});

test("what was begun as a line goes before the first key that is sent alone", () => {
  const some = session();
  types(some, "be", { show: "be", send: "" });
  some.received(bytes("IAC WILL ECHO"));
  types(some, "gin", { show: "", send: "begin" });
});

test("a line that never ends is not kept without bound", () => {
  const some = session();
  some.typed("x".repeat(100_000));
  assert.equal(text(some.typed("\r").send).length, 4096 + 2);
});

test("reports of the terminal in bytes go to a host that takes keys, and to no other", () => {
  const some = session();
  assert.equal(some.reported(bytes("27 '[M' 32 200 IAC")).length, 0);
  some.received(bytes("IAC WILL SGA"));
  assert.deepEqual(some.reported(bytes("27 '[M' 32 200 IAC")), bytes("27 '[M' 32 200 IAC IAC"));
});

test("a new size is told to a host that wants it", () => {
  const some = session();
  assert.equal(some.resized(100, 40).length, 0);
  some.received(bytes("IAC DO NAWS"));
  assert.deepEqual(some.resized(90, 30), bytes("IAC SB NAWS 0 90 0 30 IAC SE"));
});
