// The telnet protocol, as a terminal speaks it: RFC 854 and 855, ECHO (857), SUPPRESS-GO-AHEAD (858), BINARY (856),
// TERMINAL-TYPE (1091) and NAWS (1073). What else the host offers or asks for is refused.
//
// Pure: bytes go in, and what is to be shown and what is to be sent come out. Any cutting of the host's bytes gives
// the same. Nothing is sent before the host has negotiated, so that a service that is no telnet host gets exactly
// what is typed. What a host can make us keep is bounded.

import { DO, DONT, Options, WILL, WONT } from "./options.js";

export const IAC = 255;
export const SB = 250;
export const SE = 240;

export const BINARY = 0;
export const ECHO = 1;
export const SUPPRESS_GO_AHEAD = 3;
export const TERMINAL_TYPE = 24;
export const NAWS = 31;

const IS = 0;
const SEND = 1;

const NUL = 0;
const LF = 10;
const CR = 13;

/** From the best to what every host knows. In lower case: the RFC leaves that open, and some hosts do not look at it. */
const TERMINAL_TYPES = ["xterm-256color", "xterm", "vt220", "vt100"];

/** Of a subnegotiation no more than this is kept: the one that is understood has two bytes. */
const SUBNEGOTIATION_BYTES_MAX = 64;

/** How far the bytes of the host have come. */
const State = Object.freeze({
  DATA: "data",
  CARRIAGE_RETURN: "carriage return",
  COMMAND: "command",
  OPTION: "option",
  SUBNEGOTIATION: "subnegotiation",
  SUBNEGOTIATION_COMMAND: "command in a subnegotiation",
});

/** One connection, from its first byte on. */
export class Telnet {
  #state = State.DATA;
  #command = 0;
  #subnegotiation = [];
  #typesTold = 0;
  #negotiating = false;
  #options = new Options({
    ours: [BINARY, SUPPRESS_GO_AHEAD, TERMINAL_TYPE, NAWS],
    theirs: [BINARY, ECHO, SUPPRESS_GO_AHEAD],
  });

  constructor({ columns, rows }) {
    this.columns = columns;
    this.rows = rows;
  }

  /** The host shows what is typed; otherwise the terminal has to. */
  get hostEchoes() {
    return this.#options.theirs.isOn(ECHO);
  }

  /** The host wants every key at once; otherwise it gets whole lines, as a network virtual terminal sends them. */
  get characterAtATime() {
    return this.hostEchoes || this.#options.theirs.isOn(SUPPRESS_GO_AHEAD);
  }

  /** What the host sends is more than ASCII by agreement. */
  get hostSendsBinary() {
    return this.#options.theirs.isOn(BINARY);
  }

  /** What is typed may be more than ASCII by agreement. */
  get sendsBinary() {
    return this.#options.ours.isOn(BINARY);
  }

  /** Takes what the host sent: `data` is to be shown, `reply` to be sent to it. Both may be empty. */
  receive(bytes) {
    const data = [];
    const reply = [];
    for (const byte of bytes) this.#take(byte, data, reply);
    return { data: new Uint8Array(data), reply: new Uint8Array(reply) };
  }

  /** What is to be sent for typed bytes, in which CR is the Enter key. */
  send(typed) {
    const bytes = [];
    for (const byte of typed) {
      bytes.push(byte);
      if (byte === IAC) bytes.push(IAC);
      if (byte === CR && !this.sendsBinary) bytes.push(LF);
    }
    return new Uint8Array(bytes);
  }

  /** The window has another size. What is to be sent: nothing, as long as the host does not care. */
  resize(columns, rows) {
    this.columns = columns;
    this.rows = rows;
    const reply = [];
    if (this.#options.ours.isOn(NAWS)) this.#tellSize(reply);
    return new Uint8Array(reply);
  }

  #take(byte, data, reply) {
    switch (this.#state) {
      case State.CARRIAGE_RETURN:
        this.#state = State.DATA;
        if (byte === NUL) return; // CR NUL is a CR alone
        this.#takeData(byte, data);
        return;
      case State.DATA:
        this.#takeData(byte, data);
        return;
      case State.COMMAND:
        this.#takeCommand(byte, data);
        return;
      case State.OPTION:
        this.#state = State.DATA;
        this.#negotiate(this.#command, byte, reply);
        return;
      case State.SUBNEGOTIATION:
        if (byte === IAC) this.#state = State.SUBNEGOTIATION_COMMAND;
        else this.#keep(byte);
        return;
      case State.SUBNEGOTIATION_COMMAND:
        this.#endSubnegotiation(byte, data, reply);
    }
  }

  #takeData(byte, data) {
    if (byte === IAC) {
      this.#state = State.COMMAND;
      return;
    }
    data.push(byte);
    if (byte === CR && !this.hostSendsBinary) this.#state = State.CARRIAGE_RETURN;
  }

  #takeCommand(byte, data) {
    this.#state = State.DATA;
    switch (byte) {
      case IAC:
        data.push(IAC);
        return;
      case WILL:
      case WONT:
      case DO:
      case DONT:
        this.#command = byte;
        this.#state = State.OPTION;
        return;
      case SB:
        this.#subnegotiation = [];
        this.#state = State.SUBNEGOTIATION;
        return;
      default: // NOP, Data Mark, Go Ahead and the like mean nothing to a terminal
    }
  }

  #keep(byte) {
    if (this.#subnegotiation.length < SUBNEGOTIATION_BYTES_MAX) this.#subnegotiation.push(byte);
  }

  #endSubnegotiation(byte, data, reply) {
    if (byte === IAC) {
      this.#keep(IAC);
      this.#state = State.SUBNEGOTIATION;
      return;
    }
    const [option, verb, ...rest] = this.#subnegotiation;
    this.#subnegotiation = [];
    if (byte !== SE) {
      this.#takeCommand(byte, data); // it was never ended: whatever it was, it is void
      return;
    }
    this.#state = State.DATA;
    const asksForType = option === TERMINAL_TYPE && verb === SEND && rest.length === 0;
    if (asksForType && this.#options.ours.isOn(TERMINAL_TYPE)) this.#tellType(reply);
  }

  #negotiate(command, option, reply) {
    const before = this.#options.ours.isOn(NAWS);
    const answer = this.#options.handle(command, option);
    if (answer !== null) reply.push(IAC, answer, option);
    if (option === NAWS && !before && this.#options.ours.isOn(NAWS)) this.#tellSize(reply);
    if (this.#negotiating) return;
    this.#negotiating = true;
    this.#offer(this.#options.ours, [TERMINAL_TYPE, NAWS, BINARY], reply);
    this.#offer(this.#options.theirs, [BINARY], reply);
  }

  /** Whoever negotiates at all is a telnet host, and learns what this terminal can do. */
  #offer(side, options, reply) {
    for (const option of options) {
      const command = side.ask(option);
      if (command !== null) reply.push(IAC, command, option);
    }
  }

  #tellSize(reply) {
    const bytes = [this.columns, this.rows].flatMap((size) => [size >> 8, size & 0xff]);
    reply.push(IAC, SB, NAWS, ...bytes.flatMap((byte) => (byte === IAC ? [IAC, IAC] : [byte])), IAC, SE);
  }

  /** Each request gets the next name; the last one twice says that there are no more, and then it begins anew. */
  #tellType(reply) {
    const name = TERMINAL_TYPES[Math.min(this.#typesTold, TERMINAL_TYPES.length - 1)];
    this.#typesTold = (this.#typesTold + 1) % (TERMINAL_TYPES.length + 1);
    reply.push(IAC, SB, TERMINAL_TYPE, IS, ...new TextEncoder().encode(name), IAC, SE);
  }
}
