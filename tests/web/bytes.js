// What the tests of the protocol have in common: telnet's words as bytes, and arbitrary ways to cut a stream.

import fc from "fast-check";

export const IAC = 255;

/** RFC 854 and the options' own RFCs: written down here once more, so that a wrong number in the page is found. */
const WORDS = {
  SE: 240, NOP: 241, DM: 242, GA: 249, SB: 250, WILL: 251, WONT: 252, DO: 253, DONT: 254, IAC,
  BINARY: 0, ECHO: 1, SGA: 3, STATUS: 5, TIMING: 6, TTYPE: 24, TSPEED: 32, NAWS: 31, LINEMODE: 34, ENVIRON: 39,
  IS: 0, SEND: 1, NUL: 0, LF: 10, CR: 13,
};

/** Bytes from words, numbers, and texts in quotes: `bytes("IAC WILL ECHO 'hello' CR LF")`. */
export function bytes(written) {
  const parts = written.match(/'[^']*'|\S+/g) ?? [];
  return Uint8Array.from(
    parts.flatMap((part) => {
      if (part.startsWith("'")) return [...new TextEncoder().encode(part.slice(1, -1))];
      const value = WORDS[part] ?? Number(part);
      if (Number.isNaN(value)) throw new Error(`${part} is no word of telnet`);
      return [value];
    }),
  );
}

export const text = (some) => new TextDecoder().decode(Uint8Array.from(some));

/** The stream in pieces, cut at the places that are given as parts of its length. */
export function cut(stream, places) {
  const at = [0, ...places.map((place) => Math.floor(place * stream.length)).sort((a, b) => a - b), stream.length];
  return at.slice(1).map((end, index) => stream.slice(at[index], end));
}

export const places = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 12 });

/** What a host could send: mostly sense, some of it broken off, some of it noise. */
const option = fc.oneof(fc.constantFrom(0, 1, 3, 5, 6, 24, 31, 34, 39), fc.integer({ min: 0, max: 255 }));
const negotiation = fc.tuple(fc.constant(IAC), fc.integer({ min: 251, max: 254 }), option);
const byte = fc.integer({ min: 0, max: 255 });
const body = fc.array(fc.oneof(fc.constantFrom(0, 1, 24, 31, 240, 255), byte), { maxLength: 100 });
const subnegotiation = fc.tuple(option, body).map(([code, rest]) => [IAC, 250, code, ...rest, IAC, 240]);
const askForType = fc.constant([IAC, 250, 24, 1, IAC, 240]);
const data = fc.array(fc.oneof(fc.constantFrom(0, 10, 13, 255), fc.integer({ min: 0, max: 255 })), { maxLength: 20 });
export const hostStream = fc
  .array(fc.oneof(negotiation, subnegotiation, askForType, data), { maxLength: 30 })
  .map((parts) => Uint8Array.from(parts.flat()));
