/** What an administrator does on any day, in the middle of a run. */
import { readdir } from "node:fs/promises";
import { PRODUCT_MIGRATIONS } from "../../migrations/sets";
import { migrate } from "../../migrations/runner";
import type { FaultDraft } from "../fault";
import { ask, byHand } from "./administrator";
import { inMidRun } from "./moment";

const REINDEX_LEFT_OVER = `
  SELECT indexrelid::regclass::text AS "name" FROM pg_index WHERE indrelid = 'soak.balance'::regclass AND NOT indisvalid`;

const ignoring =
  (...codes: string[]) =>
  (error: unknown): void => {
    if (!codes.includes((error as { code?: string }).code ?? "")) throw error;
  };

export const ROUTINE_FAULTS: FaultDraft[] = [
  {
    name: "view maintained in mid-run",
    touches: ["view"],
    refresh: "passes",
    plant(bed, dice) {
      const [sql, index] = dice.oneOf([
        ["soak.balance", "balance_id_key"],
        ["soak.summary", "summary_writer_key"],
      ]);
      const command = dice.oneOf([
        `VACUUM FULL ${sql}`,
        `VACUUM (ANALYZE) ${sql}`,
        `CLUSTER ${sql} USING ${index}`,
      ]);
      const phase = dice.oneOf(["begin", "refresh", "commit"] as const);
      return inMidRun(bed, command, phase, () => ask(bed, command));
    },
  },
  {
    name: "index rebuilt in mid-run",
    touches: ["view"],
    // It waits for the refresh's snapshot, the refresh for its lock: the server ends one of the two.
    refresh: "may pass",
    codes: ["40P01", "55P03"],
    plant(bed, dice) {
      const phase = dice.oneOf(["begin", "refresh"] as const);
      const command = "REINDEX TABLE CONCURRENTLY soak.balance";
      // Where it is ended and not the refresh, it has struck all the same.
      const planted = inMidRun(bed, command, phase, () =>
        ask(bed, command).catch(ignoring("40P01", "57014")),
      );
      return {
        ...planted,
        async lift() {
          await planted.lift();
          for (const { name } of await ask<{ name: string }>(bed, REINDEX_LEFT_OVER))
            await ask(bed, `DROP INDEX IF EXISTS ${name}`);
        },
      };
    },
  },
  {
    name: "migrations run again in mid-run",
    touches: ["maintenance"],
    refresh: "passes",
    async plant(bed, dice) {
      const only = dice.oneOf(
        (await readdir(PRODUCT_MIGRATIONS)).filter((name) => name.endsWith(".sql")).sort(),
      );
      const phase = dice.oneOf(["begin", "refresh", "history", "commit"] as const);
      return inMidRun(bed, `migrate ${only}`, phase, () =>
        migrate(byHand(bed), { directories: [PRODUCT_MIGRATIONS], only }),
      );
    },
  },
];
