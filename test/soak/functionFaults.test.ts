import assert from "node:assert/strict";
import { FUNCTION_FAULTS } from "../../soak/faults/function";
import { useDatabase } from "../database";
import { tryFault } from "./faultTrial";
import { startSmallBed, type SmallBed } from "./wireBed";

/** Seeds whose first throw is what the pattern says. */
const TRIALS: [name: string, seed: number, what: RegExp][] = [
  ["function killed", 14, /after COMMIT$/],
  ["function killed", 12, /after the refresh/],
  ["function killed", 51, /after the TLS handshake/],
  ["function killed, and its network gone", 5, /after the refresh/],
  ["function hangs", 12, /after the refresh/],
  ["function paused for a moment", 1, /after the refresh/],
  ["function paused, and woken after its time", 12, /after the refresh/],
  ["tick delivered twice", 1, /twice/],
  ["two runs at once", 1, /two runs/],
  ["tick late", 1, /late/],
  ["tick out of order", 1, /out of order/],
  ["tick lost", 1, /lost/],
  ["tick throttled", 1, /throttled/],
];

describe("faults of the function", function () {
  this.timeout(30_000);
  const database = useDatabase();
  let bed: SmallBed;
  before(async () => {
    bed = await startSmallBed(database);
  });
  after(() => bed.stop());

  it("have names of their own", () => {
    assert.equal(new Set(FUNCTION_FAULTS.map(({ name }) => name)).size, FUNCTION_FAULTS.length);
    assert.deepEqual(new Set(TRIALS.map(([name]) => name)), new Set(FUNCTION_FAULTS.map(({ name }) => name)));
  });

  for (const [name, seed, expected] of TRIALS)
    it(`${name}, seed ${seed}: ${expected.source}`, async () => {
      const fault = FUNCTION_FAULTS.find((each) => each.name === name);
      assert.ok(fault !== undefined);
      const { what, struck } = await tryFault(bed, fault, seed);
      assert.match(what, expected);
      assert.notEqual(struck, false);
    });
});
