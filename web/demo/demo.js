// The page of `websockify demo`: three sessions through the proxy with the built-in target. A session's first line
// says what it is for: `talk` (lines), `echo` (every byte comes back) or `flood` (bytes without end, at a rate that is
// asked for). The target sees a byte stream, so nothing here relies on the borders of messages.

const SAMPLE_MS = 250;
const SAMPLES = 60_000 / SAMPLE_MS; // a minute
const WINDOW = 4; // samples of which the throughput is the mean: a second
const PROBE_BYTES = 16;
const PROBES = 8; // round trips of one sample: a browser's clock ticks too slowly to time a single one
const CALM_RATE = 4_000_000; // bytes per second
const CALM_RATE_MIN = 250_000;
const FULL_SPEED_MS = 5_000;
const LOG_LINES_MAX = 200;

const element = (id) => document.getElementById(id);
const encoder = new TextEncoder();

/** A number with about three digits: 4.05, 12.3, 123. */
function digits(value) {
  return value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0);
}

/** "1.3 GB": decimal units, as networks are measured. */
function amount(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (bytes >= 999.5 && unit < units.length - 1) {
    bytes /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? Math.round(bytes) : bytes.toFixed(bytes < 100 ? 1 : 0)} ${units[unit]}`;
}

/** The last minute of a figure as a curve, oldest left. */
class Graph {
  constructor(canvas, label) {
    this.canvas = canvas;
    this.label = label;
    this.values = [];
    this.top = 0;
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  add(value) {
    this.values.push(value);
    if (this.values.length > SAMPLES) this.values.shift();
    this.draw();
  }

  draw() {
    const { canvas, values } = this;
    const scale = window.devicePixelRatio || 1;
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
    }
    const style = getComputedStyle(canvas);
    const colour = (name) => style.getPropertyValue(name).trim();
    const context = canvas.getContext("2d");
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);

    const peak = Math.max(...values, 0);
    // the scale follows the curve upwards at once and downwards slowly, so that it does not jump
    this.top = Math.max(peak * 1.15, this.top * 0.97) || 1;
    const bottom = height - 1.5;
    const x = (index) => width - ((values.length - 1 - index) * width) / (SAMPLES - 1);
    const y = (value) => bottom - (value / this.top) * (height - 18);

    context.font = `11px ${style.fontFamily}`;
    context.fillStyle = colour("--soft");
    context.strokeStyle = colour("--rule");
    context.lineWidth = 1;
    for (const part of [0, 0.5, 1]) {
      const level = Math.round(y(this.top * part)) + 0.5;
      context.beginPath();
      context.moveTo(0, level);
      context.lineTo(width, level);
      context.stroke();
      if (part > 0 && values.length > 0) context.fillText(this.label(this.top * part), 0, level - 4);
    }
    if (values.length < 2) return;

    const curve = new Path2D();
    values.forEach((value, index) => curve.lineTo(x(index), y(value)));
    const area = new Path2D(curve);
    area.lineTo(width, bottom);
    area.lineTo(x(0), bottom);
    area.closePath();
    context.globalAlpha = 0.12;
    context.fillStyle = colour("--accent");
    context.fill(area);
    context.globalAlpha = 1;
    context.strokeStyle = colour("--accent");
    context.lineWidth = 2;
    context.lineJoin = "round";
    context.stroke(curve);
  }
}

const graphs = {
  rtt: new Graph(element("rtt-graph"), (value) => `${digits(value)} ms`),
  throughput: new Graph(element("throughput-graph"), (value) => `${amount(value)}/s`),
};

/** One connection of this page with the proxy: three sessions that open together and end together. */
class Connection {
  constructor() {
    this.received = 0;
    this.sent = 0;
    this.rate = CALM_RATE;
    this.full = false;
    this.ended = false;
    this.history = []; // of received and sent, one entry a sample
    this.typed = []; // when the lines were sent that have not come back
    this.sampled = performance.now();

    const url = new URL("websockify", location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    element("proxy-address").textContent = url.host;
    this.decoder = new TextDecoder();
    this.line = "";
    this.talk = this.open(url, "talk", (bytes) => this.heard(bytes));
    this.echo = this.open(url, "echo", (bytes) => this.returned(bytes.byteLength));
    this.flood = this.open(url, "flood", () => {});
    show("connecting");
  }

  open(url, mode, receive) {
    const socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    socket.addEventListener("open", () => {
      this.send(socket, `${mode}\n`);
      if (this.sockets().every((each) => each.readyState === WebSocket.OPEN)) this.begin();
    });
    socket.addEventListener("message", (event) => {
      this.received += event.data.byteLength;
      receive(event.data);
    });
    socket.addEventListener("close", () => this.end());
    return socket;
  }

  sockets() {
    return [this.talk, this.echo, this.flood];
  }

  send(socket, data) {
    const bytes = typeof data === "string" ? encoder.encode(data) : data;
    if (socket.readyState !== WebSocket.OPEN) return;
    socket.send(bytes);
    this.sent += bytes.byteLength;
  }

  begin() {
    show("connected");
    this.setRate();
    this.timer = setInterval(() => this.sample(), SAMPLE_MS);
    this.probe();
  }

  end() {
    if (this.ended) return;
    this.ended = true;
    clearInterval(this.timer);
    clearTimeout(this.fullTimer);
    clearTimeout(this.probeTimer);
    for (const socket of this.sockets()) socket?.close();
    showFull(false);
    show("disconnected");
    for (const id of ["rtt", "throughput", "receiving", "sending"]) element(id).textContent = "–";
  }

  // The conversation

  say(text) {
    this.typed.push(performance.now());
    this.send(this.talk, `${text}\n`);
  }

  heard(bytes) {
    const lines = (this.line + this.decoder.decode(bytes, { stream: true })).split("\n");
    this.line = lines.pop();
    for (const line of lines) {
      const space = line.indexOf(" ");
      const text = line.slice(space + 1);
      switch (line.slice(0, space)) {
        case "hello":
          element("target-address").textContent = text;
          break;
        case "echo":
          log("echo", text, `${digits(performance.now() - this.typed.shift())} ms`);
          break;
        default:
          log("target", text, "");
      }
    }
  }

  // The round trip: the next probe leaves when the one before is back

  probe() {
    this.probes = PROBES;
    this.missing = PROBE_BYTES;
    this.probed = performance.now();
    this.send(this.echo, new Uint8Array(PROBE_BYTES));
  }

  returned(count) {
    this.missing -= count;
    if (this.missing > 0) return;
    this.probes -= 1;
    if (this.probes > 0) {
      this.missing += PROBE_BYTES;
      this.send(this.echo, new Uint8Array(PROBE_BYTES));
      return;
    }
    const time = (performance.now() - this.probed) / PROBES;
    graphs.rtt.add(time);
    element("rtt").textContent = `${digits(time)} ms`;
    const sorted = graphs.rtt.values.toSorted((a, b) => a - b);
    const median = sorted[Math.floor(sorted.length / 2)];
    element("rtt-range").textContent = `median ${digits(median)} ms, best ${digits(sorted[0])} ms`;
    this.probeTimer = setTimeout(() => this.probe(), SAMPLE_MS);
  }

  // The throughput

  setRate() {
    const rate = document.hidden ? 0 : this.full ? "max" : Math.round(this.rate);
    this.send(this.flood, `rate ${rate}\n`);
  }

  fullSpeed() {
    this.full = true;
    showFull(true);
    this.setRate();
    this.fullTimer = setTimeout(() => {
      this.full = false;
      showFull(false);
      this.setRate();
    }, FULL_SPEED_MS);
  }

  sample() {
    const now = performance.now();
    const late = now - this.sampled - SAMPLE_MS;
    this.sampled = now;
    if (late > SAMPLE_MS && !this.full && !document.hidden && this.rate > CALM_RATE_MIN) {
      this.rate /= 2; // this browser has enough to do
      this.setRate();
    }
    this.history.push({ now, received: this.received, sent: this.sent });
    if (this.history.length > WINDOW + 1) this.history.shift();
    const first = this.history[0];
    if (now === first.now) return;
    const perSecond = (count) => (count * 1000) / (now - first.now);
    const receiving = perSecond(this.received - first.received);
    graphs.throughput.add(receiving);
    element("throughput").textContent = `${amount(receiving)}/s`;
    element("receiving").textContent = `${amount(receiving)}/s`;
    element("sending").textContent = `${amount(perSecond(this.sent - first.sent))}/s`;
    element("received").textContent = amount(this.received);
  }
}

/** Says how the connection is, and lets the controls do only what works in that state. */
function show(state) {
  document.body.dataset.state = state;
  element("status").textContent = state;
  element("reconnect").hidden = state !== "disconnected";
  for (const id of ["input", "send", "full-speed"]) element(id).disabled = state !== "connected";
}

function showFull(full) {
  document.body.dataset.speed = full ? "full" : "calm";
  element("full-speed").setAttribute("aria-pressed", String(full));
}

function log(who, text, time) {
  const list = element("log");
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  const item = document.createElement("li");
  item.className = who;
  for (const [name, content] of [["who", who], ["text", text], ["time", time]]) {
    const part = document.createElement("span");
    part.className = name;
    part.textContent = content;
    item.append(part);
  }
  list.append(item);
  while (list.childElementCount > LOG_LINES_MAX) list.firstElementChild.remove();
  if (atEnd || who === "echo") list.scrollTop = list.scrollHeight;
}

let connection = new Connection();

element("reconnect").addEventListener("click", () => {
  connection = new Connection();
});
element("full-speed").addEventListener("click", () => {
  if (!connection.full) connection.fullSpeed();
});
element("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const input = element("input");
  if (input.value !== "") connection.say(input.value);
  input.value = "";
});
document.addEventListener("visibilitychange", () => connection.setRate());
