// node ws.mjs URL [SUBPROTOCOL]: reads messages from stdin, each behind its length in four bytes,
// sends them, writes what comes back to stdout, and at the end reports the subprotocol and the
// close code on stderr.

import { once } from "node:events";
import { pipeline } from "node:stream/promises";
import WebSocket, { createWebSocketStream } from "ws";

const LENGTH_BYTES = 4;

async function* messages(input) {
  let pending = [];
  let pendingBytes = 0;
  let wanted = LENGTH_BYTES;
  let inMessage = false;
  for await (const chunk of input) {
    pending.push(chunk);
    pendingBytes += chunk.length;
    while (pendingBytes >= wanted) {
      const all = Buffer.concat(pending);
      const part = all.subarray(0, wanted);
      pending = [all.subarray(wanted)];
      pendingBytes -= wanted;
      if (inMessage) yield part;
      wanted = inMessage ? LENGTH_BYTES : part.readUInt32BE();
      inMessage = !inMessage;
    }
  }
}

const [url, ...subprotocols] = process.argv.slice(2);
const socket = new WebSocket(url, subprotocols);
const closed = once(socket, "close");
const tunnel = createWebSocketStream(socket);
await Promise.all([
  // The stream would close without a code; the answer shall show that ours was understood.
  pipeline(process.stdin, messages, tunnel, { end: false }).then(() => socket.close(1000)),
  pipeline(tunnel, process.stdout),
]);
const [code] = await closed;
console.error(JSON.stringify({ protocol: socket.protocol, code }));
