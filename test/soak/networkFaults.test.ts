import assert from "node:assert/strict";
import { NETWORK_FAULTS } from "../../soak/faults/network";
import { useDatabase } from "../database";
import { tryFault } from "./faultTrial";
import { startSmallBed, type SmallBed } from "./wireBed";

/** Seeds whose first throw is what the pattern says. */
const TRIALS: [name: string, seed: number, what: RegExp][] = [
  ["connection cut", 14, /after COMMIT$/],
  ["connection cut", 7, /after COMMIT, the 2nd time/],
  ["connection cut", 5, /after the refresh, the 2nd time/],
  ["connection cut", 6, /before the row of history/],
  ["connection cut", 2, /before the TLS handshake/],
  ["connection silent", 12, /after the refresh/],
  ["server not told that the function is gone", 5, /after the refresh/],
  ["network slow", 1, /every message \d+ ms late/],
  ["connections refused", 1, /refused/],
  ["address silent", 1, /never answered/],
  ["certificate not to be trusted", 1, /expired/],
  ["certificate not to be trusted", 2, /of another host/],
  ["token refused", 1, /token refused, as RDS does/],
  ["token refused", 2, /password refused/],
];

describe("faults of the network", function () {
  this.timeout(30_000);
  const database = useDatabase();
  let bed: SmallBed;
  before(async () => {
    bed = await startSmallBed(database);
  });
  after(() => bed.stop());

  it("have names of their own", () => {
    assert.equal(new Set(NETWORK_FAULTS.map(({ name }) => name)).size, NETWORK_FAULTS.length);
    assert.deepEqual(new Set(TRIALS.map(([name]) => name)), new Set(NETWORK_FAULTS.map(({ name }) => name)));
  });

  for (const [name, seed, expected] of TRIALS)
    it(`${name}, seed ${seed}: ${expected.source}`, async () => {
      const fault = NETWORK_FAULTS.find((each) => each.name === name);
      assert.ok(fault !== undefined);
      const { what, struck } = await tryFault(bed, fault, seed);
      assert.match(what, expected);
      assert.notEqual(struck, false);
    });
});
