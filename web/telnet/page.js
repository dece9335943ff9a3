// The page: a terminal, the connection that it shows, and what its user can do with both.

import { FitAddon } from "./xterm/addon-fit.mjs";
import { Terminal } from "./xterm/xterm.mjs";

import { AddressError, address } from "./address.js";
import { Connection } from "./connection.js";
import { Session } from "./session.js";
import { DARK, LIGHT } from "./themes.js";

const SCREEN_READER_KEY = "websockify.telnet.screen-reader";

const element = (id) => document.getElementById(id);
const darkness = matchMedia("(prefers-color-scheme: dark)");

const terminal = new Terminal({
  cursorBlink: !matchMedia("(prefers-reduced-motion: reduce)").matches,
  fontFamily: 'ui-monospace, "SF Mono", "Cascadia Mono", "DejaVu Sans Mono", monospace',
  fontSize: 15,
  minimumContrastRatio: 4.5, // WCAG 2, AA
  scrollback: 10_000,
  theme: darkness.matches ? DARK : LIGHT,
});

/**
 * Undoes what the session before may have left behind, and keeps what it showed: CAN ends a cut sequence; then the
 * normal screen (not by mode 1049, which would also move the cursor), no mouse reports, no bracketed paste, a soft
 * reset, and the first column.
 */
const FRESH = "\x18\x1b[?1047l\x1b[?9;1000;1002;1003;1006l\x1b[?2004l\x1b[!p\r";

/** The keys of #keys: what they send, and what they send where the host has asked for application cursor keys. */
const KEYS = {
  Escape: ["\x1b", "\x1b"],
  Tab: ["\t", "\t"],
  ArrowLeft: ["\x1b[D", "\x1bOD"],
  ArrowDown: ["\x1b[B", "\x1bOB"],
  ArrowUp: ["\x1b[A", "\x1bOA"],
  ArrowRight: ["\x1b[C", "\x1bOC"],
  PageUp: ["\x1b[5~", "\x1b[5~"],
  PageDown: ["\x1b[6~", "\x1b[6~"],
};

/** One session after the other at one address. */
class Page {
  #connection;
  #control = false;
  #fit = new FitAddon();
  #session = null;
  #where;

  constructor(where) {
    this.#where = where;
    element("host").textContent = where.host;
    document.title = where.host;
    terminal.loadAddon(this.#fit);
    terminal.open(element("terminal"));
    terminal.textarea.setAttribute("aria-label", `Terminal of ${where.host}`);
    this.#fit.fit();
    this.#connection = new Connection(where);
    this.#listenToConnection();
    this.#listenToTerminal();
    this.#listenToUser();
    this.#watchSize();
  }

  begin() {
    if (this.#where.own) {
      this.#connection.connect();
      return;
    }
    // a link can lead anywhere: whoever follows it sees where before anything is sent there
    this.#show("closed", `Connect to ${this.#where.url}?`);
    element("connect").focus();
  }

  #listenToConnection() {
    const on = (type, listener) => this.#connection.addEventListener(type, ({ detail }) => listener(detail));
    on("connecting", () => this.#show("connecting", "connecting"));
    on("open", () => {
      this.#session = new Session({ columns: terminal.cols, rows: terminal.rows });
      terminal.write(FRESH);
      this.#show("connected", this.#where.secure ? "connected, encrypted" : "connected");
      terminal.focus();
    });
    on("bytes", ({ data }) => this.#do(this.#session.received(data)));
    on("waiting", ({ text, seconds }) => this.#ended("waiting", text, `Next try in ${seconds} s.`));
    on("closed", ({ text }) => this.#ended("closed", text, ""));
  }

  #listenToTerminal() {
    terminal.onData((text) => this.#type(text));
    terminal.onBinary((text) => {
      const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
      if (this.#session) this.#connection.send(this.#session.reported(bytes));
    });
    terminal.onResize(({ cols, rows }) => {
      if (this.#session) this.#connection.send(this.#session.resized(cols, rows));
    });
    terminal.onTitleChange((title) => {
      document.title = title ? `${title} – ${this.#where.host}` : this.#where.host;
    });
    terminal.attachCustomKeyEventHandler((event) => !this.#isCopy(event));
  }

  #listenToUser() {
    element("connect").addEventListener("click", () => this.#connection.connect());
    element("disconnect").addEventListener("click", () => {
      this.#connection.close();
      this.#ended("closed", "You closed the connection", "");
      element("connect").focus();
    });

    // without TLS, browsers have no clipboard for pages; the paste of keyboard and menu works all the same
    const paste = element("paste");
    paste.hidden = !navigator.clipboard?.readText;
    paste.addEventListener("click", async () => {
      try {
        terminal.paste(await navigator.clipboard.readText());
      } catch {
        // the user said no, and knows it
      }
      terminal.focus();
    });

    const reader = element("screen-reader");
    const setReader = (on) => {
      terminal.options.screenReaderMode = on;
      reader.setAttribute("aria-pressed", String(on));
    };
    setReader(stored(SCREEN_READER_KEY) === "on");
    reader.addEventListener("click", () => {
      setReader(!terminal.options.screenReaderMode);
      store(SCREEN_READER_KEY, terminal.options.screenReaderMode ? "on" : "off");
      terminal.focus();
    });

    const keys = element("keys");
    // a press must not take the focus, or the touch keyboard would go
    keys.addEventListener("pointerdown", (event) => event.preventDefault());
    keys.addEventListener("click", ({ target }) => {
      const { key, modifier } = target.closest("button")?.dataset ?? {};
      if (modifier) this.#setControl(!this.#control);
      if (key) terminal.input(KEYS[key][terminal.modes.applicationCursorKeysMode ? 1 : 0]);
      terminal.focus();
    });

    darkness.addEventListener("change", () => {
      terminal.options.theme = darkness.matches ? DARK : LIGHT;
    });
  }

  #watchSize() {
    new ResizeObserver(() => this.#fit.fit()).observe(element("terminal"));
    visualViewport?.addEventListener("resize", () => {
      // where a touch keyboard covers the page instead of making it smaller
      if (visualViewport.scale === 1) {
        document.body.style.setProperty("--height", `${visualViewport.height}px`);
      }
    });
  }

  #type(text) {
    if (!this.#session) return;
    const held = this.#control && text.length === 1; // what is longer is no key but an answer to the host
    if (held) this.#setControl(false);
    this.#do(this.#session.typed(held ? control(text) : text));
  }

  #do({ show, send }) {
    if (show !== "") terminal.write(show);
    this.#connection.send(send);
  }

  #setControl(on) {
    this.#control = on;
    document.querySelector("[data-modifier]").setAttribute("aria-pressed", String(on));
  }

  /** Ctrl-Shift-C copies, as in other terminals; Ctrl-C is the host's. */
  #isCopy(event) {
    if (!event.ctrlKey || !event.shiftKey || event.code !== "KeyC" || !terminal.hasSelection()) return false;
    event.preventDefault();
    if (event.type === "keydown") document.execCommand("copy");
    return true;
  }

  #ended(state, text, countdown) {
    this.#session = null;
    this.#show(state, text, countdown);
  }

  /** The status is read out when it changes; the countdown, which changes each second, is not. */
  #show(state, status, countdown = "") {
    document.body.dataset.state = state;
    if (element("status").textContent !== status) element("status").textContent = status;
    element("countdown").textContent = countdown;
    const idle = state === "waiting" || state === "closed";
    const hadFocus = document.activeElement === element("connect");
    element("connect").hidden = !idle;
    element("connect").textContent = state === "waiting" ? "Connect now" : "Connect";
    element("disconnect").hidden = state === "closed";
    element("disconnect").textContent = state === "waiting" ? "Stop trying" : "Disconnect";
    if (hadFocus && !idle) terminal.focus();
  }
}

/** The control character of a key that has one. */
function control(key) {
  return /[@-_a-z ]/.test(key) ? String.fromCharCode(key.charCodeAt(0) & 0x1f) : key;
}

// A browser may have storage switched off: then a choice is not remembered.

function stored(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function store(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // see above
  }
}

try {
  const page = new Page(address(location.href));
  window.terminal = terminal; // for scripts of the user, and for tests
  page.begin();
} catch (error) {
  if (!(error instanceof AddressError)) throw error;
  element("status").textContent = error.message;
  element("connect").hidden = true;
}
