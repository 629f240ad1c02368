import assert from "node:assert/strict";
import { withClient } from "../../local/postgres/database";
import type { Run } from "../../soak/bed/bed";
import { makeBed, type SoakBed } from "../../soak/bed/makeBed";
import { chooseFaults, FAULTS } from "../../soak/catalogue";
import { Chronicle } from "../../soak/chronicle";
import { VirtualClock } from "../../soak/clock";
import { Dice } from "../../soak/dice";
import { outcomesOf } from "../../soak/outcomes";
import { Plantings } from "../../soak/plantings";
import { carryOut } from "../../soak/remedy";
import { soakPlan } from "../../soak/run";

/** Less than a soak's, since many of these faults take all of it. */
const TIMEOUT_SECONDS = 4;
/** What befalls these does so in either mode alike, and much of it takes that time: the soaks have both. */
const ALIKE = ["network", "function"];
/** Few rows of a fold, or of history, may find room in the pages that there are. */
const MAY_GO_UNSEEN = ["volume of a view full", "volume of history full"];

const isRefreshed = (runs: Run[]): boolean => runs.some((run) => outcomesOf(run).includes("refreshed"));
/** With it, each fault that strikes at a moment of chance does strike. */
const SEED = 2;

const saidIn = (runs: Run[]): string =>
  runs.flatMap(({ lines, invocation }) => [...lines, invocation.error?.errorMessage ?? ""]).join("\n");

const LEFT_BEHIND = `
  SELECT 'tablespace ' || spcname AS "left" FROM pg_tablespace WHERE spcname ~ 'soak'
   UNION ALL SELECT 'role ' || setconfig::text FROM pg_db_role_setting WHERE setrole = $1::regrole
   UNION ALL SELECT 'setting ' || name FROM pg_file_settings WHERE sourcefile ~ 'auto.conf' AND name !~ '^primary_'
   UNION ALL SELECT 'prepared transaction ' || gid FROM pg_prepared_xacts`;

for (const mode of ["full", "incremental"] as const)
  describe(`the faults of a soak, each alone, mode ${mode}`, function () {
    this.timeout(60_000);
    let bed: SoakBed;
    let tick = 0;
    /** Something to refresh, or to fold. A server that one of its backends took with it recovers for a moment. */
    async function write(): Promise<void> {
      await bed.writers.transact("reload").catch((error: { code?: string }) => {
        if (error.code !== "57P03") throw error;
        return write();
      });
    }
    const deliver = (): Promise<Run[]> => bed.fn.deliver(++tick, bed.clock.nowMs());

    before(async () => {
      const plan = soakPlan(mode);
      const quick = { ...plan, function: { ...plan.function, timeoutSeconds: TIMEOUT_SECONDS } };
      bed = await makeBed(quick, mode, new VirtualClock(), new Dice(1));
      assert.ok(isRefreshed(await deliver()));
    });
    after(() => bed.stop());

    for (const fault of chooseFaults(mode, []).filter(
      (each) => mode === "full" || !ALIKE.includes(each.group),
    ))
      it(`${fault.name}: shows as it says, and is over by its remedy, or when it is lifted`, async function () {
        if ((await fault.missing?.(bed)) !== undefined) return this.skip();
        const convicted: string[] = [];
        const chronicle = new Chronicle(({ invariant, what }) => convicted.push(`${invariant}: ${what}`));
        const plantings = new Plantings(bed, chronicle, new Dice(SEED));
        await write();
        const [plant] = await plantings.plant([{ fault, fromTick: tick + 1, toTick: tick + 1 }]);
        assert.ok(plant !== undefined, plantings.unplanted[0]?.why);
        try {
          const runs = await deliver();
          await plantings.endTick(tick, runs);
          runs.push(...(await bed.fn.settle()));
          const story = `${plant.planted.what}\n${saidIn(runs)}`;
          for (const outcome of runs.flatMap(outcomesOf))
            assert.ok([...fault.codes, "refreshed", "skipped"].includes(outcome), `${outcome}: ${story}`);
          assert.ok(plant.struck, `it has not struck: ${story}`);
          if (fault.refresh !== "may pass")
            assert.equal(isRefreshed(runs), fault.refresh === "passes", story);
          if (fault.says !== undefined && !MAY_GO_UNSEEN.includes(fault.name))
            assert.match(story, fault.says);
          if (fault.remedyHelps && !isRefreshed(runs)) assert.equal(plantings.remedies.length, 1, story);

          await write();
          const next = await deliver();
          const then = `${story}\nthen:\n${saidIn(next)}`;
          assert.ok(
            next.every(({ invocation }) => invocation.outcome === "succeeded"),
            then,
          );
          assert.ok(isRefreshed(next), then);
          if (plant.planted.driftsUntilFullRun) assert.match(saidIn(next), /differed from its query/, then);
          await plantings.recovered(tick);
          assert.deepEqual(convicted, []);
        } finally {
          await plantings.liftAll();
          // As often as it is called.
          await plant.planted.lift();
        }
        // What its remedy has ended can be lifted too.
        if (plantings.remedies.length > 0) {
          await (await fault.plant(bed, new Dice(SEED))).lift();
          const runs = await deliver();
          assert.ok(isRefreshed(runs), saidIn(runs));
        }
        const left = await withClient(bed.cluster.connection(), (client) =>
          client.query(LEFT_BEHIND, [bed.fn.user]),
        );
        assert.deepEqual(left.rows, []);
        if (!fault.touches.includes("source")) return;
        // A day of changes would be in the way of all that comes.
        await bed.cluster.execute("DELETE FROM soak.entry WHERE id > (SELECT min(id) + 60 FROM soak.entry)");
        await deliver();
      });

    if (mode === "incremental")
      it("a view that is paused is resumed by the command that its run names", async () => {
        const paused = FAULTS.find(({ name }) => name.startsWith("paused")) ?? assert.fail();
        const planted = await paused.plant(bed, new Dice(1));
        const command = / is paused: (.*)$/m.exec(saidIn(await deliver()))?.[1];
        const { done, how } = await carryOut(command ?? "", bed);
        assert.deepEqual([done, how], [true, "npm run incremental -- resume --view soak.balance"]);
        assert.doesNotMatch(saidIn(await deliver()), / is paused/);
        await planted.lift();
      });
  });

describe("the faults of a soak", () => {
  it("have names of their own", () => {
    assert.equal(new Set(FAULTS.map(({ name }) => name)).size, FAULTS.length);
  });
});
