import assert from "node:assert/strict";
import { SERVER_FAULTS } from "../../soak/faults/server";
import { tryFault } from "./faultTrial";
import { useWholeBed } from "./wholeBed";

/** Seeds whose dice say what the pattern says. */
const TRIALS: [name: string, seed: number, what: RegExp][] = [
  ["postmaster killed", 11, /after COMMIT$/],
  ["postmaster killed", 20, /before the row of history$/],
  ["server crashed", 13, /after the refresh, the 2nd time$/],
  ["server crashed", 8, /after the connect$/],
  ["server restarted", 17, /before COMMIT, the 2nd time$/],
  ["server restarted", 21, /before the TLS handshake$/],
  ["server down", 6, /\(kill\)$/],
  ["failed over", 2, /after COMMIT, the 2nd time$/],
  ["failed over", 20, /before the row of history$/],
  ["standby lost", 1, /^standby lost$/],
  ["backend killed", 1, /in the middle of the refresh$/],
  ["backend killed", 5, /before COMMIT$/],
  ["backend terminated", 1, /in the middle of the refresh$/],
  ["backend terminated", 6, /after BEGIN$/],
  ["refresh cancelled", 1, /in the middle of the refresh$/],
  ["connections used up", 1, /no room for more$/],
  ["transactions read-only by default", 1, /read-only/],
  ["address leads to a reader", 1, /leads to the standby$/],
  ["clock stepped", 10, /clock 43200 s ahead$/],
  ["clock stepped", 19, /clock 3600 s behind$/],
  ["clock stepped", 21, /clock 3600 s ahead after the refresh, the 2nd time$/],
  ["pgbouncer in between", 1, /pools by transaction$/],
];

describe("faults of the server", function () {
  this.timeout(60_000);
  const whole = useWholeBed("full");

  it("are all tried", () => {
    assert.equal(new Set(SERVER_FAULTS.map(({ name }) => name)).size, SERVER_FAULTS.length);
    assert.deepEqual(new Set(TRIALS.map(([name]) => name)), new Set(SERVER_FAULTS.map(({ name }) => name)));
  });

  for (const [name, seed, expected] of TRIALS)
    it(`${name}, seed ${seed}: ${expected.source}`, async function () {
      const fault = SERVER_FAULTS.find((each) => each.name === name);
      assert.ok(fault !== undefined);
      if ((await fault.missing?.(whole.bed())) !== undefined) return this.skip();
      const { what, struck } = await tryFault(whole.trial, fault, seed);
      assert.match(what, expected);
      assert.notEqual(struck, false);
    });
});
