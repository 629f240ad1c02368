import assert from "node:assert/strict";
import type { Fault } from "../../soak/fault";
import { PEOPLE_FAULTS } from "../../soak/faults/people";
import { useDatabase } from "../database";
import { useRole } from "../handler/roles";
import { liftAndRecover, plantAndRun, SmallBed } from "./smallBed";

/** Plantings of each, with dice of their own: what they choose from is small. Waits for locks take their time. */
const seedsOf = ({ codes }: Fault): number[] => (codes.includes("55P03") ? [1] : [1, 2]);

for (const mode of ["full", "incremental"] as const) {
  describe(`faults of people, mode ${mode}`, () => {
    const database = useDatabase();
    const role = useRole(database);
    let small: SmallBed;

    before(async () => {
      small = await SmallBed.create(database, role, mode);
      await small.run();
    });
    after(() => small.remove());

    for (const fault of PEOPLE_FAULTS.filter(({ modes }) => modes.includes(mode))) {
      it(`${fault.name}: shows as it says, and is over when it is lifted`, async () => {
        for (const seed of seedsOf(fault)) {
          const seen = await plantAndRun(small, fault, seed);
          await liftAndRecover(small, fault, seen);
        }
      }).timeout(60_000);
    }
  });
}

describe("the faults of people", () => {
  it("have names of their own", () => {
    const names = PEOPLE_FAULTS.map(({ name }) => name);
    assert.equal(new Set(names).size, names.length);
  });
});
