// Where a page connects, by its own address and its query.

import assert from "node:assert/strict";
import { test } from "node:test";

import { AddressError, address } from "../../web/telnet/address.js";

const CASES = [
  // no query: the page's own server
  ["http://here/telnet/", "ws://here/websockify", true],
  ["https://here/telnet/", "wss://here/websockify", true],
  ["http://here:6080/telnet/index.html#x", "ws://here:6080/websockify", true],
  ["https://here/lab/7/telnet/", "wss://here/lab/7/websockify", true], // below the prefix of a reverse proxy
  ["http://[::1]:6080/telnet/", "ws://[::1]:6080/websockify", true],
  // the original's parameters
  ["http://here:6080/telnet/?host=there&port=7000", "ws://there:7000/websockify", false],
  ["http://here:6080/telnet/?port=7000", "ws://here:7000/websockify", false],
  ["http://here:6080/telnet/?host=there", "ws://there:6080/websockify", false],
  ["https://here/telnet/?host=there", "wss://there/websockify", false],
  ["https://here/lab/telnet/?host=there&port=443", "wss://there/websockify", false],
  ["http://here:6080/telnet/?host=HERE&port=6080", "ws://here:6080/websockify", true],
  ["http://here/telnet/?host=2001:db8::1&port=6080", "ws://[2001:db8::1]:6080/websockify", false],
  ["http://here/telnet/?host=[2001:db8::1]", "ws://[2001:db8::1]/websockify", false],
  ["http://here/telnet/?host=&port=", "ws://here/websockify", true],
  // encryption
  ["http://here/telnet/?encrypt=1", "wss://here/websockify", true],
  ["http://here:6080/telnet/?encrypt=true", "wss://here:6080/websockify", true],
  ["http://here/telnet/?encrypt", "wss://here/websockify", true],
  ["https://here/telnet/?encrypt=0", "ws://here/websockify", true],
  // path and token
  ["http://here/telnet/?path=console", "ws://here/console", true],
  ["http://here/lab/telnet/?path=console", "ws://here/lab/console", true],
  ["http://here/lab/telnet/?path=/console", "ws://here/console", true],
  ["http://here/telnet/?path=", "ws://here/", true],
  ["http://here/telnet/?path=websockify%3Ftoken%3Da%2520b", "ws://here/websockify?token=a%20b", true],
  ["http://here/telnet/?token=a%20b%26c", "ws://here/websockify?token=a+b%26c", true],
  ["http://here/telnet/?token=a&path=x%3Fy%3D1", "ws://here/x?y=1&token=a", true],
  ["http://here/telnet/?path=//evil/x", "ws://here//evil/x", true],
  ["http://here/telnet/?path=a%23b", "ws://here/a%23b", true],
];

for (const [page, url, own] of CASES) {
  test(`${page} connects to ${url}`, () => {
    const found = address(page);
    assert.deepEqual({ url: found.url, own: found.own }, { url, own });
    assert.equal(found.host, new URL(url).host);
    assert.equal(found.secure, url.startsWith("wss:"));
  });
}

for (const query of [
  "port=x", "port=0", "port=65536", "port=-1", "port=6080/x", "port=123456",
  "host=a/b", "host=a b", "host=u@h", "host=a%23", "host=a?b", "host=a\\b", "host=there:7000",
  "host=[::", "host=1.2.3.4.5",
]) {
  test(`?${query} is refused with a sentence that names it`, () => {
    const value = new URLSearchParams(query).values().next().value;
    assert.throws(
      () => address(`http://here/telnet/?${query}`),
      (error) => error instanceof AddressError && error.message.includes(value) && error.message.includes(": write a"),
    );
  });
}
