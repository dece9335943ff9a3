// What the user is told of an end, and when the page tries again.

import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import { explain, isWorthRetrying, pauseMs } from "../../web/telnet/closing.js";

test("an end is told with its reason and its code", () => {
  assert.equal(explain({ code: 1000, reason: "Target closed" }), "The host ended the session: Target closed (1000)");
  assert.equal(explain({ code: 1006, reason: "" }), "The connection was lost, or could not be made: code 1006");
  assert.equal(explain({ code: 4321, reason: "own" }), "The connection was closed: own (4321)");
});

test("a lost connection is tried again, an ended session and a refusal are not", () => {
  for (const code of [1001, 1005, 1006, 1011, 1012, 1013, 4000]) assert.ok(isWorthRetrying({ code }), code);
  for (const code of [1000, 1002, 1003, 1007, 1008, 1009]) assert.ok(!isWorthRetrying({ code }), code);
});

test("each pause is longer than the one before, up to half a minute", () => {
  assert.deepEqual([1, 2, 3, 4, 5, 6, 7, 50, 2000].map((failures) => pauseMs(failures, 1)), [
    1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000, 30_000,
  ]);
  fc.assert(
    fc.property(fc.integer({ min: 1 }), fc.double({ min: 0, max: 1, noNaN: true }), (failures, chance) => {
      const pause = pauseMs(failures, chance);
      assert.ok(pause >= pauseMs(failures, 0) && pause <= pauseMs(failures, 1) && pause >= 500);
    }),
  );
});
