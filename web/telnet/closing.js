// Why a connection ended, in words, and whether it is worth another try.
//
// Pure. The codes are those of RFC 6455, section 7.4, and of the registry that it began.

const MEANINGS = new Map([
  [1000, "The host ended the session"],
  [1001, "The server is going away"],
  [1002, "The server was sent what it does not understand"],
  [1003, "The server does not take this kind of data"],
  [1006, "The connection was lost, or could not be made"],
  [1007, "The server was sent what it cannot read"],
  [1008, "The server refused the connection"],
  [1009, "The server was sent too much at once"],
  [1011, "The server has a problem"],
  [1012, "The server is restarting"],
  [1013, "The server is busy"],
]);

/** What the same client would only hear again; and a host that is done with its user, who may have logged out. */
const FINAL = new Set([1000, 1002, 1003, 1007, 1008, 1009]);

const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 30_000;

/** What the user is told. */
export function explain({ code, reason }) {
  const meaning = MEANINGS.get(code) ?? "The connection was closed";
  return `${meaning}: ${reason ? `${reason} (${code})` : `code ${code}`}`;
}

export function isWorthRetrying({ code }) {
  return !FINAL.has(code);
}

/**
 * How long to wait after that many failures in a row: twice as long each time, up to half a minute. `chance`, from 0 to
 * 1, spreads it over the upper half, so that the pages of a server that comes back do not all come at once.
 */
export function pauseMs(failures, chance) {
  const longest = Math.min(FIRST_PAUSE_MS * 2 ** (failures - 1), LONGEST_PAUSE_MS);
  return longest / 2 + (longest / 2) * chance;
}
