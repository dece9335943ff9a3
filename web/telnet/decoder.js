// Text from the host's bytes: UTF-8, whose characters may be split over messages. A byte that is none of it is shown as
// the Latin-1 letter that older hosts mean by it, or as the sign for what cannot be read.
//
// Pure: any cutting of the bytes gives the same text. At most three bytes wait for the rest of their character.

const REPLACEMENT = "\ufffd";

/** What may follow a lead byte, and how many bytes the character has (Unicode, table 3-7). Null: no lead byte. */
function lead(byte) {
  if (byte >= 0xc2 && byte <= 0xdf) return { length: 2, low: 0x80, high: 0xbf };
  if (byte === 0xe0) return { length: 3, low: 0xa0, high: 0xbf };
  if (byte === 0xed) return { length: 3, low: 0x80, high: 0x9f };
  if (byte >= 0xe1 && byte <= 0xef) return { length: 3, low: 0x80, high: 0xbf };
  if (byte === 0xf0) return { length: 4, low: 0x90, high: 0xbf };
  if (byte >= 0xf1 && byte <= 0xf3) return { length: 4, low: 0x80, high: 0xbf };
  if (byte === 0xf4) return { length: 4, low: 0x80, high: 0x8f };
  return null;
}

/** A byte by itself. 0x80 to 0x9f would be control characters, which no host of today means. */
function alone(byte) {
  return byte < 0x80 || byte >= 0xa0 ? String.fromCharCode(byte) : REPLACEMENT;
}

/** One stream of bytes. */
export class Decoder {
  #waiting = [];

  decode(bytes) {
    let text = "";
    for (const byte of bytes) text += this.#take(byte);
    return text;
  }

  #take(byte) {
    if (this.#waiting.length === 0) {
      if (lead(byte) === null) return alone(byte);
      this.#waiting.push(byte);
      return "";
    }
    const { length, low, high } = lead(this.#waiting[0]);
    const fits = this.#waiting.length === 1 ? byte >= low && byte <= high : byte >= 0x80 && byte <= 0xbf;
    if (!fits) {
      const before = this.#waiting.map(alone).join("");
      this.#waiting = [];
      return before + this.#take(byte);
    }
    this.#waiting.push(byte);
    if (this.#waiting.length < length) return "";
    const [first, ...rest] = this.#waiting;
    this.#waiting = [];
    return String.fromCodePoint(rest.reduce((point, next) => (point << 6) | (next & 0x3f), first & (0x7f >> length)));
  }
}
