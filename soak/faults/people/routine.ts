/** What an administrator does on any day, in the middle of a run. */
import { readdir } from "node:fs/promises";
import { PRODUCT_MIGRATIONS } from "../../../migrations/sets";
import { migrate } from "../../../migrations/runner";
import type { Fault } from "../../fault";
import { ask, byHand, execute, inMidRun, uniqueIndexes, viewAt } from "../administrator";
import { signalAtWork } from "../signal";

const REINDEX_LEFT_OVER = `
  SELECT indexrelid::regclass::text AS "name" FROM pg_index WHERE indrelid = $1::regclass AND NOT indisvalid`;

const ignoring =
  (...codes: string[]) =>
  (error: unknown): void => {
    if (!codes.includes((error as { code?: string }).code ?? "")) throw error;
  };

export const ROUTINE_FAULTS: Fault[] = [
  {
    group: "people",
    modes: ["full", "incremental"],
    name: "refresh cancelled by an administrator",
    touches: ["view", "source"],
    ticks: [1, 1],
    refresh: "may pass",
    codes: ["57014"],
    says: /somebody cancelled the refresh/,
    plant: (bed, dice) => Promise.resolve(signalAtWork(bed, dice, "pg_cancel_backend")),
  },
  {
    group: "people",
    modes: ["full", "incremental"],
    name: "view maintained in mid-run",
    touches: ["view"],
    ticks: [1, 1],
    refresh: "passes",
    codes: [],
    async plant(bed, dice) {
      const { sql } = viewAt(bed, dice.oneOf([0, 1]));
      const [index] = await uniqueIndexes(bed, sql);
      const command = dice.oneOf([
        `VACUUM FULL ${sql}`,
        `VACUUM (ANALYZE) ${sql}`,
        `CLUSTER ${sql} USING ${index?.name.split(".").at(-1)}`,
      ]);
      const phase = dice.oneOf(["begin", "refresh", "commit"] as const);
      const at = { phase, moment: "before", what: `${command} at ${phase}` } as const;
      return inMidRun(bed, at, () => execute(bed, command));
    },
  },
  {
    group: "people",
    modes: ["full", "incremental"],
    name: "index rebuilt in mid-run",
    touches: ["view"],
    ticks: [1, 1],
    // It waits for the refresh's snapshot, the refresh for its lock: the server ends one of the two.
    refresh: "may pass",
    codes: ["40P01", "55P03"],
    plant(bed, dice) {
      const { sql } = viewAt(bed, 0);
      const phase = dice.oneOf(["begin", "refresh"] as const);
      const command = `REINDEX TABLE CONCURRENTLY ${sql}`;
      const at = { phase, moment: "before", what: `${command} at ${phase}` } as const;
      // Where it is ended and not the refresh, it has struck all the same.
      const planted = inMidRun(bed, at, () => execute(bed, command).catch(ignoring("40P01", "57014")));
      return Promise.resolve({
        ...planted,
        async lift() {
          await planted.lift();
          for (const { name } of await ask<{ name: string }>(bed, REINDEX_LEFT_OVER, [sql]))
            await execute(bed, `DROP INDEX IF EXISTS ${name}`);
        },
      });
    },
  },
  {
    group: "people",
    modes: ["full", "incremental"],
    name: "migrations run again in mid-run",
    touches: ["maintenance"],
    ticks: [1, 1],
    refresh: "passes",
    codes: [],
    async plant(bed, dice) {
      const only = dice.oneOf(
        (await readdir(PRODUCT_MIGRATIONS)).filter((name) => name.endsWith(".sql")).sort(),
      );
      const phase = dice.oneOf(["begin", "refresh", "history", "commit"] as const);
      const at = { phase, moment: "before", what: `migrate ${only} at ${phase}` } as const;
      return inMidRun(bed, at, () => migrate(byHand(bed), { directories: [PRODUCT_MIGRATIONS], only }));
    },
  },
];
