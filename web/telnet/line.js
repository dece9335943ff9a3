// The line that is typed while the host takes whole lines: shown and edited here, and sent with Enter.
//
// Pure: typed text goes in; what is to be shown and what is to be sent come out.

const BACKSPACE = /[\b\x7f]/;
const KILL_LINE = "\x15"; // Ctrl-U
const SEQUENCE = /\x1b(?:\[[0-?]*[ -/]*[@-~]|O[^]|[^])?/g; // arrows and the like: a line has no use for them
const EAST_ASIAN = /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/;
const WIDE_BEYOND_16_BITS = /[\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u;

/** Characters of the longest line. */
const LINE_MAX = 4096;

/** The columns that a character takes. */
function width(character) {
  if (/\p{Mark}/u.test(character)) return 0;
  return EAST_ASIAN.test(character) || WIDE_BEYOND_16_BITS.test(character) ? 2 : 1;
}

/** Typed text as it looks on the screen of a terminal whose host shows nothing. */
export function visible(text) {
  return text.replace(SEQUENCE, "").replace(/[\0-\x1f\x7f]/g, (key) => {
    if (key === "\r") return "\r\n";
    return BACKSPACE.test(key) ? "\b \b" : name(key);
  });
}

/** "^C". */
function name(key) {
  return `^${String.fromCharCode(key.charCodeAt(0) + 64)}`;
}

/** The line so far. */
export class Line {
  #characters = [];

  /** Takes what was typed or pasted: what is to be shown for it, and what is to be sent. */
  type(text) {
    let show = "";
    let send = "";
    for (const character of text.replace(SEQUENCE, "")) {
      if (character === "\r" || character === "\n") {
        send += `${this.take()}\r`;
        show += "\r\n";
      } else if (BACKSPACE.test(character)) {
        show += this.#erase(1);
      } else if (character === KILL_LINE) {
        show += this.#erase(this.#characters.length);
      } else if (character < " " && character !== "\t") {
        send += this.take() + character; // Ctrl-C and its like are commands, now
        show += name(character);
      } else if (this.#characters.length < LINE_MAX) {
        const shown = character === "\t" ? " " : character;
        this.#characters.push(character);
        show += shown;
      }
    }
    return { show, send };
  }

  /** What is typed so far, which is then no longer here. */
  take() {
    const text = this.#characters.join("");
    this.#characters = [];
    return text;
  }

  #erase(count) {
    const erased = count > 0 ? this.#characters.splice(-count) : [];
    const columns = erased.reduce((sum, character) => sum + width(character), 0);
    return "\b \b".repeat(columns);
  }
}
