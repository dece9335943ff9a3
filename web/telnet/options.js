// Which telnet options are on, on either side, agreed without loops (RFC 1143).
//
// An option is off, asked for, or on. Only a change is answered, so that two ends never acknowledge each other's
// acknowledgements. As this end never takes back what it offered, the RFC's states for an end that changes its mind
// while it waits (WANTNO and the queue bits) cannot be reached, and are not here. Pure: commands in, answers out.

export const WILL = 251;
export const WONT = 252;
export const DO = 253;
export const DONT = 254;

const OFF = 0;
const ASKED = 1;
const ON = 2;

/** The options of one end: ours are offered with WILL, the host's are asked for with DO. */
class Side {
  #states = new Map();

  constructor(accepted, yes, no) {
    this.accepted = new Set(accepted);
    this.yes = yes;
    this.no = no;
  }

  isOn(option) {
    return this.#states.get(option) === ON;
  }

  /** The command that asks for an option, if there is anything to ask. */
  ask(option) {
    if (this.#states.has(option)) return null;
    this.#states.set(option, ASKED);
    return this.yes;
  }

  /** The answer to the host's WILL or DO. */
  wanted(option) {
    const before = this.#states.get(option) ?? OFF;
    if (before === ON) return null;
    if (!this.accepted.has(option)) return this.no;
    this.#states.set(option, ON);
    return before === ASKED ? null : this.yes;
  }

  /** The answer to the host's WONT or DONT. A refused option is not asked for again. */
  refused(option) {
    const before = this.#states.get(option) ?? OFF;
    if (this.accepted.has(option)) this.#states.set(option, OFF);
    return before === ON ? this.no : null;
  }
}

/** The options of a connection. */
export class Options {
  /** Lists of option codes: what this end does when asked, and what it lets the host do. */
  constructor({ ours, theirs }) {
    this.ours = new Side(ours, WILL, WONT);
    this.theirs = new Side(theirs, DO, DONT);
  }

  /** The command that answers one of the host's, or null. */
  handle(command, option) {
    switch (command) {
      case WILL:
        return this.theirs.wanted(option);
      case WONT:
        return this.theirs.refused(option);
      case DO:
        return this.ours.wanted(option);
      default:
        return this.ours.refused(option);
    }
  }
}
