/** What an administrator does on any day, in the middle of a run. */
import { readdir } from "node:fs/promises";
import type { Client } from "pg";
import { PRODUCT_MIGRATIONS } from "../../../migrations/sets";
import { migrate } from "../../../migrations/runner";
import type { Bed } from "../../bed/bed";
import type { Fault, Planted } from "../../fault";
import { ask, byHand, execute, inMidRun, uniqueIndexes, viewAt, whileHeld } from "../administrator";

const PATIENCE_MS = 5_000;

/** Of the function's backends alone, at their work: without OFFSET every session of the server might be signalled first. */
const signalled = (signal: string): string => `
  SELECT FROM (SELECT pid FROM pg_stat_activity
                WHERE usename = $1 AND state = 'active' AND query ~ '(REFRESH MATERIALIZED VIEW|__fold"?[(])' OFFSET 0) AS busy
   WHERE ${signal}(pid)`;

/**
 * Signals the function's backend while it is at its work. It looks again and again, since a refresh may take a few
 * milliseconds: so it is connected before the refresh is let go on.
 */
export function signalAtWork(bed: Bed, signal: "pg_cancel_backend" | "pg_terminate_backend"): Planted {
  let isOver = false;
  let hits = 0;
  let looking: Promise<unknown> = Promise.resolve();
  const look = async (client: Client): Promise<void> => {
    const endsAtMs = performance.now() + PATIENCE_MS;
    while (hits === 0 && !isOver && performance.now() < endsAtMs)
      hits = (await client.query(signalled(signal), [bed.fn.user])).rowCount ?? 0;
  };
  const at = { phase: "refresh", moment: "before", what: `${signal} at its work` } as const;
  const planted = whileHeld(bed, at, async () => {
    const client = await bed.connect();
    looking = look(client)
      .catch(() => undefined)
      .finally(() => client.end().catch(() => undefined));
  });
  return {
    ...planted,
    async lift() {
      await planted.lift();
      isOver = true;
      await looking;
    },
    hasStruck: () => hits > 0,
  };
}

const REINDEX_LEFT_OVER = `
  SELECT indexrelid::regclass::text AS "name" FROM pg_index WHERE indrelid = $1::regclass AND NOT indisvalid`;

const ignoring =
  (...codes: string[]) =>
  (error: unknown): void => {
    if (!codes.includes((error as { code?: string }).code ?? "")) throw error;
  };

const inBothModes = { group: "people", modes: ["full", "incremental"] } as const;

export const ROUTINE_FAULTS: Fault[] = [
  {
    ...inBothModes,
    modes: ["full", "incremental"],
    name: "refresh cancelled by an administrator",
    touches: ["view"],
    ticks: [1, 1],
    refresh: "may pass",
    codes: ["57014"],
    plant: (bed) => Promise.resolve(signalAtWork(bed, "pg_cancel_backend")),
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
