// What a terminal does with a connection: telnet below, text above, and the line that is edited here for hosts that
// take whole lines.
//
// Pure: bytes of the host and text of the user go in; `show`, text for the screen, and `send`, bytes for the host, come
// out.

import { Decoder } from "./decoder.js";
import { Line, visible } from "./line.js";
import { Telnet } from "./telnet.js";

const NOTHING = new Uint8Array(0);

export class Session {
  #decoder = new Decoder();
  #encoder = new TextEncoder();
  #line = new Line();
  #telnet;

  constructor({ columns, rows }) {
    this.#telnet = new Telnet({ columns, rows });
  }

  /** The host sent something. */
  received(bytes) {
    const { data, reply } = this.#telnet.receive(bytes);
    return { show: this.#decoder.decode(data), send: reply };
  }

  /** The user typed or pasted something, or the terminal answered the host. */
  typed(text) {
    if (!this.#telnet.characterAtATime) {
      const { show, send } = this.#line.type(text);
      return { show, send: this.#encode(send) };
    }
    // what was begun while the host still took lines goes first
    return { show: this.#telnet.hostEchoes ? "" : visible(text), send: this.#encode(this.#line.take() + text) };
  }

  /** The terminal reports something in bytes that are no text: an old kind of mouse report. */
  reported(bytes) {
    return this.#telnet.characterAtATime ? this.#telnet.send(bytes) : NOTHING;
  }

  resized(columns, rows) {
    return this.#telnet.resize(columns, rows);
  }

  #encode(text) {
    return text === "" ? NOTHING : this.#telnet.send(this.#encoder.encode(text));
  }
}
