// The telnet engine against what the RFCs say, and against whatever a host could send.

import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import { Telnet } from "../../web/telnet/telnet.js";
import { bytes, cut, hostStream, IAC, places, text } from "./bytes.js";

const connection = () => new Telnet({ columns: 80, rows: 24 });
const OFFERS = "IAC WILL TTYPE IAC WILL NAWS IAC WILL BINARY IAC DO BINARY";

/** A connection that has negotiated: its offers are out, and the host has answered none of them. */
function negotiated() {
  const telnet = connection();
  answers(telnet, "IAC WILL 200", `IAC DONT 200 ${OFFERS}`);
  return telnet;
}

function answers(telnet, written, expected) {
  assert.deepEqual(telnet.receive(bytes(written)).reply, bytes(expected), `${written} is answered with ${expected}`);
}

test("data passes, and a doubled IAC is one", () => {
  const { data, reply } = connection().receive(bytes("'hello' IAC IAC 'é' CR LF"));
  assert.deepEqual(data, bytes("'hello' 255 'é' CR LF"));
  assert.equal(reply.length, 0);
});

test("a service that is no telnet host gets what is typed and nothing else", () => {
  const telnet = connection();
  telnet.receive(bytes("'220 ready' CR LF"));
  assert.equal(telnet.resize(100, 30).length, 0);
  assert.deepEqual(telnet.send(bytes("'ä'")), bytes("'ä'"));
});

test("whoever negotiates learns once what this terminal can do", () => {
  const telnet = connection();
  answers(telnet, "IAC WILL ECHO", `IAC DO ECHO ${OFFERS}`);
  answers(telnet, "IAC WILL SGA", "IAC DO SGA");
});

test("what the host asks for first is not offered again", () => {
  answers(connection(), "IAC DO TTYPE", OFFERS);
  answers(connection(), "IAC DONT BINARY", "IAC WILL TTYPE IAC WILL NAWS IAC DO BINARY");
});

test("the host's echo goes on and off", () => {
  const telnet = negotiated();
  assert.equal(telnet.hostEchoes, false);
  answers(telnet, "IAC WILL ECHO", "IAC DO ECHO");
  assert.equal(telnet.hostEchoes, true);
  assert.equal(telnet.characterAtATime, true);
  answers(telnet, "IAC WONT ECHO", "IAC DONT ECHO");
  assert.equal(telnet.hostEchoes, false);
  answers(telnet, "IAC WILL ECHO", "IAC DO ECHO");
});

test("go-aheads are suppressed both ways, and keys then go one by one", () => {
  const telnet = negotiated();
  assert.equal(telnet.characterAtATime, false);
  answers(telnet, "IAC WILL SGA IAC DO SGA", "IAC DO SGA IAC WILL SGA");
  assert.equal(telnet.characterAtATime, true);
  assert.equal(telnet.hostEchoes, false);
});

test("unknown options are refused, each time", () => {
  const telnet = negotiated();
  for (const option of ["STATUS", "TIMING", "TSPEED", "LINEMODE", "ENVIRON", "255"]) {
    for (let again = 0; again < 3; again += 1) {
      answers(telnet, `IAC WILL ${option}`, `IAC DONT ${option}`);
      answers(telnet, `IAC DO ${option}`, `IAC WONT ${option}`);
      answers(telnet, `IAC WONT ${option} IAC DONT ${option}`, "");
    }
  }
  answers(telnet, "IAC DO ECHO", "IAC WONT ECHO"); // this end does not echo
  answers(telnet, "IAC WILL NAWS", "IAC DONT NAWS"); // nor has the host a window
});

test("what is on already is not acknowledged again", () => {
  const telnet = negotiated();
  answers(telnet, "IAC WILL ECHO", "IAC DO ECHO");
  answers(telnet, "IAC WILL ECHO IAC WILL ECHO", "");
  answers(telnet, "IAC WONT SGA IAC DONT SGA", "");
});

test("an offer that the host takes is not acknowledged, and one that it refuses is not repeated", () => {
  const telnet = negotiated();
  answers(telnet, "IAC DO BINARY", "");
  assert.equal(telnet.sendsBinary, true);
  answers(telnet, "IAC WILL BINARY", "");
  assert.equal(telnet.hostSendsBinary, true);
  answers(telnet, "IAC WONT BINARY", "IAC DONT BINARY");
  assert.equal(telnet.hostSendsBinary, false);
  answers(telnet, "IAC DONT TTYPE", "");
  answers(telnet, "IAC DO TTYPE", "IAC WILL TTYPE"); // it changed its mind
});

test("terminal types are told from the best to the plainest, the last twice, and then anew", () => {
  const telnet = negotiated();
  answers(telnet, "IAC DO TTYPE", "");
  for (const name of ["xterm-256color", "xterm", "vt220", "vt100", "vt100", "xterm-256color"]) {
    answers(telnet, "IAC SB TTYPE SEND IAC SE", `IAC SB TTYPE IS '${name}' IAC SE`);
  }
});

test("the terminal type is told to nobody who has not agreed to be told", () => {
  answers(connection(), "IAC SB TTYPE SEND IAC SE", "");
  answers(negotiated(), "IAC SB TTYPE SEND IAC SE", "");
});

test("the window's size is told when the host wants it, and again whenever it changes", () => {
  const telnet = negotiated();
  assert.equal(telnet.resize(132, 43).length, 0);
  answers(telnet, "IAC DO NAWS", "IAC SB NAWS 0 132 0 43 IAC SE");
  answers(telnet, "IAC DO NAWS", "");
  assert.deepEqual(telnet.resize(300, 50), bytes("IAC SB NAWS 1 44 0 50 IAC SE"));
  answers(telnet, "IAC DONT NAWS", "IAC WONT NAWS");
  assert.equal(telnet.resize(80, 24).length, 0);
});

test("a size with 255 in it is escaped", () => {
  const telnet = negotiated();
  telnet.receive(bytes("IAC DO NAWS"));
  assert.deepEqual(telnet.resize(255, 65535), bytes("IAC SB NAWS 0 IAC IAC IAC IAC IAC IAC IAC SE"));
});

test("CR NUL is a CR, unless the host sends binary", () => {
  const telnet = negotiated();
  assert.deepEqual(telnet.receive(bytes("'a' CR NUL 'b' CR LF CR 'c'")).data, bytes("'a' CR 'b' CR LF CR 'c'"));
  telnet.receive(bytes("IAC WILL BINARY"));
  assert.deepEqual(telnet.receive(bytes("CR NUL")).data, bytes("CR NUL"));
});

test("Enter is CR LF, and CR alone when binary is agreed", () => {
  const telnet = negotiated();
  assert.deepEqual(telnet.send(bytes("'ls' CR")), bytes("'ls' CR LF"));
  telnet.receive(bytes("IAC DO BINARY"));
  assert.deepEqual(telnet.send(bytes("'ls' CR")), bytes("'ls' CR"));
});

test("typed bytes are escaped", () => {
  assert.deepEqual(connection().send(bytes("1 IAC 2 IAC IAC")), bytes("1 IAC IAC 2 IAC IAC IAC IAC"));
});

test("commands that mean nothing to a terminal are not shown", () => {
  for (const command of ["NOP", "DM", "GA", "239", "SE", "1"]) {
    const { data, reply } = connection().receive(bytes(`'a' IAC ${command} 'bc'`));
    assert.equal(text(data), "abc", command);
    assert.equal(reply.length, 0, command);
  }
});

test("the body of a subnegotiation is never shown, however long it is", () => {
  const telnet = connection();
  telnet.receive(bytes("IAC SB ENVIRON SEND"));
  for (let count = 0; count < 1000; count += 1) telnet.receive(new Uint8Array(1000).fill(65));
  assert.equal(text(telnet.receive(bytes("IAC IAC IAC SE 'shown'")).data), "shown");
});

test("a subnegotiation that is never ended does not swallow the next command", () => {
  const telnet = negotiated();
  const { data, reply } = telnet.receive(bytes("IAC SB TTYPE SEND IAC WILL ECHO 'shown'"));
  assert.equal(text(data), "shown");
  assert.deepEqual(reply, bytes("IAC DO ECHO"));
});

test("any cutting of the host's bytes gives the same", () => {
  fc.assert(
    fc.property(hostStream, places, (stream, at) => {
      const whole = connection();
      const expected = whole.receive(stream);
      const telnet = connection();
      const parts = cut(stream, at).map((piece) => telnet.receive(piece));
      assert.deepEqual(Uint8Array.from(parts.flatMap(({ data }) => [...data])), expected.data);
      assert.deepEqual(Uint8Array.from(parts.flatMap(({ reply }) => [...reply])), expected.reply);
      for (const state of ["hostEchoes", "characterAtATime", "sendsBinary", "hostSendsBinary"]) {
        assert.equal(telnet[state], whole[state], state);
      }
    }),
    { numRuns: 1000 },
  );
});

/** A host by the book (RFC 1143 without a queue): what it wants, and what it was told. */
class Host {
  constructor(wants, allows) {
    this.sides = {
      ours: { wants, state: new Map(), yes: 251, no: 252 },
      theirs: { wants: allows, state: new Map(), yes: 253, no: 254 },
    };
  }

  begin() {
    return Object.values(this.sides).flatMap(({ wants, state, yes }) =>
      wants.flatMap((option) => {
        state.set(option, "asked");
        return [IAC, yes, option];
      }),
    );
  }

  /** Answers commands; subnegotiations are skipped. */
  receive(stream) {
    const reply = [];
    for (let at = 0; at < stream.length; at += 1) {
      assert.equal(stream[at], IAC);
      const command = stream[at + 1];
      if (command === 250) {
        const isPair = (second) => stream[at] === IAC && stream[at + 1] === second;
        while (!isPair(240)) at += isPair(IAC) ? 2 : 1;
        at += 1;
        continue;
      }
      const option = stream[at + 2];
      at += 2;
      const { wants, state, yes, no } = command >= 253 ? this.sides.ours : this.sides.theirs;
      const before = state.get(option);
      if (command === 251 || command === 253) {
        if (before === "on") continue;
        if (wants.includes(option)) {
          state.set(option, "on");
          if (before !== "asked") reply.push(IAC, yes, option);
        } else {
          reply.push(IAC, no, option);
        }
      } else {
        state.delete(option);
        if (before === "on") reply.push(IAC, no, option);
      }
    }
    return Uint8Array.from(reply);
  }
}

test("with any host by the book, the talk ends, and both ends agree", () => {
  const options = fc.uniqueArray(fc.constantFrom(0, 1, 3, 5, 6, 24, 31, 32, 34, 39), { maxLength: 10 });
  fc.assert(
    fc.property(options, options, (wants, allows) => {
      const telnet = connection();
      const host = new Host(wants, allows);
      let sent = Uint8Array.from(host.begin());
      for (let turn = 0; sent.length > 0; turn += 1) {
        assert.ok(turn < 4, "no loop");
        sent = host.receive(telnet.receive(sent).reply);
      }
      const [on, ours] = [host.sides.ours.state, host.sides.theirs.state];
      assert.equal(telnet.hostEchoes, on.get(1) === "on");
      assert.equal(telnet.hostSendsBinary, on.get(0) === "on");
      assert.equal(telnet.sendsBinary, ours.get(0) === "on");
      assert.equal(telnet.resize(1, 1).length > 0, ours.get(31) === "on");
      const negotiates = wants.length + allows.length > 0;
      const agreed = (known, both) => known.filter((option) => negotiates && both.includes(option));
      assert.deepEqual([...on.keys()].sort(), agreed([0, 1, 3], wants).sort());
      assert.deepEqual([...ours.keys()].sort(), agreed([0, 3, 24, 31], allows).sort());
    }),
  );
});

test("a host that echoes every command back is not answered forever", () => {
  fc.assert(
    fc.property(hostStream, (stream) => {
      const telnet = connection();
      let { reply } = telnet.receive(stream);
      for (let turn = 0; reply.length > 0; turn += 1) {
        assert.ok(turn < 10, "it goes on and on");
        ({ reply } = telnet.receive(reply));
      }
    }),
  );
});
