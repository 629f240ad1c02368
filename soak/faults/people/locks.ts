/** Locks that somebody has taken and not given back. */
import { escapeLiteral } from "pg";
import type { Fault } from "../../fault";
import { ask, change, execute, leaveOpen, uniqueIndexes, viewAt, whileHeld } from "../administrator";

const WAITED = { codes: ["55P03"], says: /waited [\d.]+s for a lock on \S+, held by / };

/** A column of a relation that an index can be made on, as SQL. */
const FIRST_COLUMN = `
  SELECT quote_ident(attname) AS "name" FROM pg_attribute
   WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum LIMIT 1`;

const plantIndexBuild: Fault["plant"] = async (bed) => {
  const { sql } = viewAt(bed, 0);
  const [column] = await ask<{ name: string }>(bed, FIRST_COLUMN, [sql]);
  const what = `BEGIN; CREATE INDEX ON ${sql} (${column?.name}), left open`;
  return leaveOpen(bed, what, `CREATE INDEX ON ${sql} (${column?.name})`);
};

const plantAnalyze: Fault["plant"] = (bed) => {
  const { sql } = viewAt(bed, 0);
  return leaveOpen(bed, `BEGIN; ANALYZE ${sql}, left open`, `ANALYZE ${sql}`);
};

const common = { group: "people", remedyHelps: true } as const;

let preparedCount = 0;

/** In the order of their strength. `stops` is said of a run: a lock on one view stops those that read it too. */
export const LOCK_FAULTS: Fault[] = [
  {
    ...common,
    ...WAITED,
    name: "index being built on a view, left open",
    touches: ["view"],
    modes: ["full"],
    ticks: [1, 2],
    refresh: "stops",
    plant: plantIndexBuild,
  },
  {
    ...common,
    ...{ codes: WAITED.codes },
    name: "index being built on a published table, left open",
    touches: ["view"],
    modes: ["incremental"],
    ticks: [1, 2],
    // A fold that finds nothing to write needs no lock that this one keeps from it.
    refresh: "may pass",
    plant: plantIndexBuild,
  },
  {
    ...common,
    ...WAITED,
    name: "view analyzed in a transaction left open",
    touches: ["view"],
    modes: ["full"],
    ticks: [1, 3],
    refresh: "stops",
    plant: plantAnalyze,
  },
  {
    group: "people",
    codes: [],
    name: "published table analyzed in a transaction left open",
    touches: ["view"],
    modes: ["incremental"],
    ticks: [1, 3],
    refresh: "passes",
    plant: plantAnalyze,
  },
  {
    ...common,
    ...WAITED,
    name: "reader that stays, of a view without its index",
    touches: ["view"],
    modes: ["full"],
    ticks: [1, 2],
    // The first view is refreshed all the same.
    refresh: "may pass",
    async plant(bed) {
      const { sql } = viewAt(bed, 1);
      const indexes = await uniqueIndexes(bed, sql);
      await change(bed, ...indexes.map(({ name }) => `DROP INDEX ${name}`));
      const makeAgain = (): Promise<void> =>
        change(bed, ...indexes.map((index) => index.sql.replace(" INDEX ", " INDEX IF NOT EXISTS ")));
      try {
        const open = await leaveOpen(
          bed,
          `a reader of ${sql} that stays, and no index`,
          `SELECT FROM ${sql}`,
        );
        return {
          ...open,
          lift: async () => {
            await open.lift();
            await makeAgain();
          },
        };
      } catch (error) {
        await makeAgain();
        throw error;
      }
    },
  },
  {
    ...common,
    ...WAITED,
    name: "table locked by a session idle in transaction",
    touches: ["source"],
    modes: ["full", "incremental"],
    // Writers wait too.
    ticks: [1, 1],
    refresh: "stops",
    plant(bed, dice) {
      const sql = `LOCK TABLE ${dice.oneOf(bed.books.tables)} IN ACCESS EXCLUSIVE MODE`;
      return leaveOpen(bed, `BEGIN; ${sql}`, sql);
    },
  },
  {
    ...common,
    codes: WAITED.codes,
    says: /held by prepared transaction "/,
    name: "table locked by a prepared transaction",
    touches: ["source"],
    modes: ["full", "incremental"],
    ticks: [1, 1],
    refresh: "stops",
    async missing(bed) {
      const [row] = await ask<{ most: string }>(
        bed,
        `SELECT current_setting('max_prepared_transactions') AS "most"`,
      );
      return row?.most === "0" ? "max_prepared_transactions is 0" : undefined;
    },
    async plant(bed, dice) {
      const table = dice.oneOf(bed.books.tables);
      const name = `soak ${process.pid} ${++preparedCount}`;
      const prepare = `PREPARE TRANSACTION ${escapeLiteral(name)}`;
      const open = await leaveOpen(bed, "", `LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`, prepare);
      await open.lift();
      return {
        what: `LOCK TABLE ${table}; ${prepare}`,
        async lift() {
          const isThere = await ask(bed, "SELECT FROM pg_prepared_xacts WHERE gid = $1", [name]);
          if (isThere.length > 0) await execute(bed, `ROLLBACK PREPARED ${escapeLiteral(name)}`);
        },
      };
    },
  },
  {
    group: "people",
    codes: [],
    name: "long transaction that only reads",
    touches: ["view", "source"],
    modes: ["full", "incremental"],
    ticks: [2, 6],
    refresh: "passes",
    plant(bed) {
      const relations = [...bed.books.tables, viewAt(bed, 0).sql, viewAt(bed, 1).sql];
      const reads = relations.map((relation) => `SELECT count(*) FROM ${relation}`);
      const isolation = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ";
      return leaveOpen(bed, "REPEATABLE READ, reads everything, stays open", isolation, ...reads);
    },
  },
  {
    group: "people",
    codes: [],
    says: /waited for a lock on public\.matview_refresh_history, held by /,
    name: "history locked in mid-run",
    touches: ["maintenance"],
    modes: ["full", "incremental"],
    ticks: [1, 1],
    refresh: "passes",
    plant(bed, dice) {
      const phase = dice.oneOf(["begin", "refresh"] as const);
      const lock = "LOCK TABLE public.matview_refresh_history IN ACCESS EXCLUSIVE MODE";
      let open: Awaited<ReturnType<typeof leaveOpen>> | undefined;
      const planted = whileHeld(bed, { phase, moment: "before", what: `${lock} at ${phase}` }, async () => {
        open = await leaveOpen(bed, "", lock);
      });
      return Promise.resolve({
        ...planted,
        async lift() {
          await planted.lift();
          await open?.lift();
        },
        hasStruck: () => planted.hasStruck?.() === true && open?.hasStruck?.() === true,
      });
    },
  },
];
