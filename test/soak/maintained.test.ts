import assert from "node:assert/strict";
import { MAINTAINED_FAULTS } from "../../soak/faults/maintained";
import { PEOPLE_FAULTS } from "../../soak/faults/people";
import { useDatabase } from "../database";
import { useRole } from "../handler/roles";
import { liftAndRecover, plantAndRun, SmallBed } from "./smallBed";

/** So many plantings of each, with dice of their own: what they choose from is small. */
const SEEDS = [1, 2, 3];

for (const mode of ["incremental", "full"] as const) {
  describe(`faults of maintained views, mode ${mode}`, () => {
    const database = useDatabase();
    const role = useRole(database);
    let small: SmallBed;

    before(async function () {
      this.timeout(60_000);
      small = await SmallBed.create(database, role, mode);
      await small.run();
    });
    after(() => small.remove());

    for (const fault of MAINTAINED_FAULTS.filter(({ modes }) => modes.includes(mode))) {
      it(`${fault.name}: shows as it says, and is over when it is lifted`, async () => {
        for (const seed of SEEDS) {
          const seen = await plantAndRun(small, fault, seed);
          await liftAndRecover(small, fault, seen);
          if (seen.planted.driftsUntilFullRun) await findDrift(small);
        }
      }).timeout(60_000);
    }
  });
}

/** The views are wrong until a full run, which says so and puts them right. */
async function findDrift(small: SmallBed): Promise<void> {
  assert.notEqual(await small.difference(), 0);
  await small.execute(`
    UPDATE matview_refresh.soak__balance__status SET last_full_at = NULL;
    UPDATE matview_refresh.soak__summary__status SET last_full_at = NULL`);
  const run = await small.run();
  assert.ok(
    run.lines.some((line) => line.includes("differed from its query after folding")),
    run.lines.join("\n"),
  );
  assert.equal(await small.difference(), 0);
}

describe("the faults of maintained views", () => {
  it("have names of their own", () => {
    const names = [...PEOPLE_FAULTS, ...MAINTAINED_FAULTS].map(({ name }) => name);
    assert.equal(new Set(names).size, names.length);
  });
});
