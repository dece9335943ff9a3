// Where the terminal connects, from the page's own address and its query: `host`, `port`, `path`, `token` and
// `encrypt`, each of them optional. Without any of them it is the server, and the prefix, that the page came from.
//
// Pure: texts in, an address or a sentence out.

/** The path that is asked for unless the query names one; noVNC's, so that one rule of a reverse proxy serves both. */
const PATH = "websockify";

const YES = new Set(["", "1", "true", "yes", "on"]);

/** An address that cannot be connected to; the message is for people. */
export class AddressError extends Error {}

/**
 * The address for a page at `page`. `own` says that it is the page's own server: to any other one, a page must not
 * connect before its user has seen where a link would have it go.
 */
export function address(page) {
  const here = new URL(page);
  const query = here.searchParams;
  const base = new URL("..", here); // the page is at PREFIX/telnet/
  const encrypt = query.get("encrypt");
  const secure = encrypt === null ? here.protocol === "https:" : YES.has(encrypt.toLowerCase());
  base.protocol = secure ? "https:" : "http:";
  base.search = "";
  base.hash = "";
  if (query.get("host")) setHost(base, query.get("host"));
  if (query.get("port")) setPort(base, query.get("port"));
  if (query.get("host") || query.get("port")) base.pathname = "/";
  const url = new URL(base);
  setPath(url, base, query.get("path") ?? PATH);
  if (query.get("token")) url.searchParams.set("token", query.get("token"));
  const own = url.host === here.host;
  url.protocol = secure ? "wss:" : "ws:";
  return { url: url.href, host: url.host, secure, own };
}

/** The port stays the page's, unless the query has one too. */
function setHost(url, host) {
  const literal = host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
  const text = `http://${literal}/`;
  const parsed = !/[/?#@\\\s]/.test(host) && URL.canParse(text) ? new URL(text) : null;
  if (parsed === null || parsed.host !== parsed.hostname) {
    throw new AddressError(`“${host}” is not a host: write a name or an address alone, as in host=example.com`);
  }
  url.hostname = parsed.hostname;
}

function setPort(url, port) {
  if (!/^\d{1,5}$/.test(port) || Number(port) < 1 || Number(port) > 65535) {
    throw new AddressError(`“${port}” is not a port: write a number from 1 to 65535, as in port=6080`);
  }
  url.port = port;
}

/** A path, with its query if it has one: `websockify?token=abc` is how noVNC's links write it. */
function setPath(url, base, path) {
  const mark = path.indexOf("?");
  const name = mark < 0 ? path : path.slice(0, mark);
  url.pathname = name.startsWith("/") ? name : base.pathname + name;
  url.search = mark < 0 ? "" : path.slice(mark);
}
