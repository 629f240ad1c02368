/** Locks that somebody has taken and not given back. */
import { escapeLiteral } from "pg";
import { PREPARED_BY_FAULTS, type FaultDraft } from "../fault";
import { ask, change, leaveOpen } from "./administrator";
import { before, whileHeld } from "./moment";

const WAITED = { codes: ["55P03"], says: /waited [\d.]+s for a lock on \S+, held by /, remedyHelps: true };

const plantIndexBuild: FaultDraft["plant"] = (bed) => leaveOpen(bed, "CREATE INDEX ON soak.balance (label)");
const plantAnalyze: FaultDraft["plant"] = (bed) => leaveOpen(bed, "ANALYZE soak.balance");

let preparedCount = 0;

/** In the order of their strength. `stops` is said of a run: a lock on one view stops those that read it too. */
export const LOCK_FAULTS: FaultDraft[] = [
  {
    ...WAITED,
    name: "index build on a view left open",
    finding: "locked",
    touches: ["view"],
    modes: ["full"],
    ticks: [1, 2],
    refresh: "stops",
    plant: plantIndexBuild,
  },
  {
    ...{ codes: WAITED.codes, remedyHelps: true },
    name: "index build on a published table left open",
    finding: "locked",
    touches: ["view"],
    modes: ["incremental"],
    ticks: [1, 2],
    // A fold that finds nothing to write needs no lock that this one keeps from it.
    refresh: "may pass",
    plant: plantIndexBuild,
  },
  {
    ...WAITED,
    name: "view analyzed in a transaction left open",
    finding: "locked",
    touches: ["view"],
    modes: ["full"],
    ticks: [1, 3],
    refresh: "stops",
    plant: plantAnalyze,
  },
  {
    name: "published table analyzed in a transaction left open",
    touches: ["view"],
    modes: ["incremental"],
    ticks: [1, 3],
    refresh: "passes",
    plant: plantAnalyze,
  },
  {
    ...WAITED,
    name: "reader that stays on a view without its index",
    finding: "locked",
    touches: ["view"],
    modes: ["full"],
    ticks: [1, 2],
    // The first view is refreshed all the same.
    refresh: "may pass",
    async plant(bed) {
      await change(bed, "DROP INDEX soak.summary_writer_key");
      const makeAgain = (): Promise<void> =>
        change(bed, "CREATE UNIQUE INDEX IF NOT EXISTS summary_writer_key ON soak.summary (writer)");
      try {
        const open = await leaveOpen(bed, "SELECT FROM soak.summary");
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
    ...WAITED,
    name: "table locked by a session idle in transaction",
    finding: "locked",
    touches: ["source"],
    // Writers wait too.
    ticks: [1, 1],
    refresh: "stops",
    plant: (bed, dice) =>
      leaveOpen(bed, `LOCK TABLE ${dice.oneOf(bed.books.tables)} IN ACCESS EXCLUSIVE MODE`),
  },
  {
    ...WAITED,
    says: /held by prepared transaction "/,
    name: "table locked by a prepared transaction",
    finding: "locked",
    touches: ["source"],
    refresh: "stops",
    async plant(bed, dice) {
      const lock = `LOCK TABLE ${dice.oneOf(bed.books.tables)} IN ACCESS EXCLUSIVE MODE`;
      const name = `${PREPARED_BY_FAULTS}${process.pid} ${++preparedCount}`;
      const prepare = `PREPARE TRANSACTION ${escapeLiteral(name)}`;
      await (await leaveOpen(bed, lock, prepare)).lift();
      return {
        what: `${lock}; ${prepare}`,
        async lift() {
          const isThere = await ask(bed, "SELECT FROM pg_prepared_xacts WHERE gid = $1", [name]);
          if (isThere.length > 0) await ask(bed, `ROLLBACK PREPARED ${escapeLiteral(name)}`);
        },
      };
    },
  },
  {
    name: "long transaction that only reads",
    touches: ["view", "source"],
    ticks: [2, 6],
    refresh: "passes",
    plant(bed) {
      const relations = [...bed.books.tables, "soak.balance", "soak.summary"];
      const reads = relations.map((relation) => `SELECT count(*) FROM ${relation}`);
      return leaveOpen(bed, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", ...reads);
    },
  },
  {
    says: /waited for a lock on public\.matview_refresh_history, held by /,
    name: "history locked in mid-run",
    touches: ["maintenance"],
    refresh: "passes",
    plant(bed, dice) {
      const lock = "LOCK TABLE public.matview_refresh_history IN ACCESS EXCLUSIVE MODE";
      return whileHeld(bed, lock, before(dice.oneOf(["begin", "refresh"])), () => leaveOpen(bed, lock));
    },
  },
];
