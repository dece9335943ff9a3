// The WebSocket, and the one that follows when it is lost. It carries bytes; what they mean is the session's business.

import { explain, isWorthRetrying, pauseMs } from "./closing.js";

/** A connection that stays this long has worked: the next one that is lost is the first failure again. */
const STABLE_MS = 10_000;

/**
 * Tells, as events: `connecting`; `open`; `bytes`, with `data`; `closed`, with `text`; `waiting`, with `text` and the
 * `seconds` until the next try, once a second.
 */
export class Connection extends EventTarget {
  #address;
  #failures = 0;
  #opened = 0;
  #socket = null;
  #timer = 0;

  constructor(address) {
    super();
    this.#address = address;
  }

  /** Connects now, whatever was before. */
  connect() {
    this.close();
    this.#tell("connecting");
    let socket;
    try {
      socket = new WebSocket(this.#address.url, ["binary"]);
    } catch {
      // a page that came by TLS must not connect without
      this.#tell("closed", { text: `The browser does not allow a connection to ${this.#address.url} from this page` });
      return;
    }
    socket.binaryType = "arraybuffer";
    socket.addEventListener("open", () => this.#open(socket));
    socket.addEventListener("message", ({ data }) => {
      if (socket !== this.#socket) return;
      this.#tell("bytes", { data: typeof data === "string" ? new TextEncoder().encode(data) : new Uint8Array(data) });
    });
    socket.addEventListener("close", (event) => this.#closed(socket, event));
    this.#socket = socket;
  }

  /** Ends it, and waits for nothing. */
  close() {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null; // what it still tells is of no interest
    socket?.close(1000);
  }

  send(bytes) {
    if (bytes.length > 0 && this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(bytes);
  }

  #open(socket) {
    if (socket !== this.#socket) return;
    this.#opened = performance.now();
    this.#tell("open");
  }

  #closed(socket, event) {
    if (socket !== this.#socket) return;
    this.#socket = null;
    if (this.#opened > 0 && performance.now() - this.#opened > STABLE_MS) this.#failures = 0;
    this.#opened = 0;
    const text = explain(event);
    if (!isWorthRetrying(event)) {
      this.#failures = 0;
      this.#tell("closed", { text });
      return;
    }
    this.#failures += 1;
    this.#wait(text, performance.now() + pauseMs(this.#failures, Math.random()));
  }

  #wait(text, until) {
    const left = until - performance.now();
    if (left <= 0) {
      this.connect();
      return;
    }
    this.#tell("waiting", { text, seconds: Math.ceil(left / 1000) });
    this.#timer = setTimeout(() => this.#wait(text, until), left % 1000 || 1000);
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
