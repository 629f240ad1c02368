/** What happens to views that are maintained by folding, and to the tables whose changes they log. */
import { compileView } from "../../cli/compiler";
import { Budget } from "../../handler/budget";
import { Session } from "../../handler/connect";
import { inSchema, maintainedNames } from "../../handler/maintained";
import { apply } from "../../incremental/apply";
import { setPaused } from "../../incremental/list";
import type { Bed } from "../bed/bed";
import { BALANCE, SUMMARY } from "../books/books";
import { faultsOf, type FaultDraft } from "../fault";
import { qualifiedName } from "../../handler/names";
import { ask, byHand, change, changed, leaveOpen, takeAway } from "./administrator";
import { signal, strikeDuringRefresh } from "./backends";
import { inMidRun } from "./moment";

const LONGEST_COMMAND_MS = 30_000;
const PATIENCE = { lockTimeoutMs: 2_000, totalMs: 20_000, report: () => undefined };

/** Work on a session of the commands' kind, as the superuser. */
async function asCommand<Result>(bed: Bed, work: (session: Session) => Promise<Result>): Promise<Result> {
  const session = await Session.open(byHand(bed), new Budget(LONGEST_COMMAND_MS));
  try {
    return await work(session);
  } finally {
    await session.close();
  }
}

/** Of what maintains the first view. */
const names = maintainedNames(BALANCE);

/** A trigger that tells a view's fold of changes, on a table of the books. */
interface LogTrigger {
  table: string;
  /** As SQL. */
  name: string;
  sql: string;
}

/** Those of the first view. */
function readTriggers(bed: Bed): Promise<LogTrigger[]> {
  return ask(
    bed,
    `SELECT t.tgrelid::regclass::text AS "table", quote_ident(t.tgname) AS "name", pg_get_triggerdef(t.oid) AS "sql"
       FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
      WHERE p.pronamespace = 'matview_refresh'::regnamespace AND starts_with(p.proname, $1)
      ORDER BY 1, 2`,
    [`${names.base}__log_`],
  );
}

const DONE = (): Promise<void> => Promise.resolve();

export const MAINTAINED_FAULTS = faultsOf({ group: "maintained", modes: ["incremental"] }, [
  {
    name: "trigger disabled",
    finding: "triggers-broken",
    touches: ["maintenance"],
    ticks: [1, 4],
    refresh: "passes",
    says: /trigger \S+ of \S+ is disabled/,
    async plant(bed, dice) {
      const { table, name } = dice.oneOf(await readTriggers(bed));
      const alter = `ALTER TABLE ${table}`;
      return changed(bed, `${alter} DISABLE TRIGGER ${name}`, `${alter} ENABLE TRIGGER ${name}`);
    },
  },
  {
    name: "trigger dropped",
    finding: "triggers-broken",
    touches: ["maintenance"],
    ticks: [1, 4],
    refresh: "passes",
    says: /trigger \S+ of \S+ is missing/,
    async plant(bed, dice) {
      const { table, name, sql } = dice.oneOf(await readTriggers(bed));
      const back = sql.replace(/^CREATE TRIGGER/, "CREATE OR REPLACE TRIGGER");
      return changed(bed, `DROP TRIGGER ${name} ON ${table}`, back);
    },
  },
  ...(["full", "incremental"] as const).map((mode): FaultDraft => ({
    name: mode === "full" ? "table truncated" : "table truncated under a maintained view",
    touches: ["source"],
    modes: [mode],
    refresh: "passes",
    ...(mode === "incremental" && { says: /full: .* was truncated/ }),
    async plant(bed) {
      await bed.writers.transact("truncate");
      return { what: "TRUNCATE", lift: DONE };
    },
  })),
  {
    name: "day of changes at once",
    touches: ["source"],
    modes: ["full", "incremental"],
    refresh: "passes",
    async plant(bed) {
      await bed.writers.transact("day");
      return { what: "a day of changes in one transaction", lift: DONE };
    },
  },
  {
    name: "load without triggers",
    touches: ["source", "maintenance"],
    refresh: "passes",
    async plant(bed) {
      const setUp = "SET LOCAL session_replication_role = replica";
      await bed.writers.transact("reload", setUp);
      return { what: `${setUp}; a load`, lift: DONE, driftsUntilFullRun: "perhaps" };
    },
  },
  {
    name: "published table changed by hand",
    touches: ["view", "maintenance"],
    refresh: "passes",
    async plant(bed) {
      // No change of the tables concerns it: only a full run takes it away.
      const insert = `INSERT INTO soak.balance
        SELECT (jsonb_populate_record(b, '{"id": -1}')).* FROM soak.balance b LIMIT 1`;
      await change(bed, insert);
      return { what: insert, lift: DONE, driftsUntilFullRun: "surely" };
    },
  },
  {
    name: "backend ended in the fold",
    endsConnections: true,
    touches: ["view"],
    refresh: "may pass",
    codes: ["57P01", "ECONNRESET"],
    plant: (bed) =>
      strikeDuringRefresh(bed, "backend ended", (pids) => signal(bed, "pg_terminate_backend", pids)),
  },
  {
    name: "log locked",
    finding: "locked",
    touches: ["maintenance", "source"],
    refresh: "stops",
    codes: ["55P03"],
    says: /waited [\d.]+s for a lock on matview_refresh\.\S+, held by /,
    remedyHelps: true,
    plant: (bed) => leaveOpen(bed, `LOCK TABLE ${inSchema(`${names.base}__log_1`)} IN ACCESS EXCLUSIVE MODE`),
  },
  {
    name: "paused and resumed later",
    finding: "paused",
    touches: ["maintenance"],
    ticks: [1, 3],
    refresh: "stops",
    says: /it is paused: npm run incremental -- resume --view /,
    async plant(bed) {
      const set = (isPaused: boolean): Promise<void> =>
        asCommand(bed, (session) => setPaused(session, BALANCE, isPaused, PATIENCE));
      await set(true);
      return { what: "incremental pause of soak.balance", lift: () => set(false) };
    },
  },
  {
    name: "rights of a fold taken away",
    finding: "may-not-refresh",
    touches: ["maintenance"],
    ticks: [1, 3],
    refresh: "stops",
    codes: ["42501"],
    says: /may not fold changes into it/,
    remedyHelps: true,
    plant(bed, dice) {
      const { fold, lock, query } = names;
      const rights = [
        `EXECUTE ON FUNCTION ${inSchema(fold)}(boolean, interval, boolean)`,
        `UPDATE ON ${inSchema(lock)}`,
        `SELECT ON ${inSchema(query)}`,
        "USAGE ON SCHEMA matview_refresh",
      ];
      return takeAway(bed, dice.oneOf(rights));
    },
  },
  {
    name: "table altered under a maintained view",
    finding: "shape-changed",
    touches: ["source", "maintenance"],
    ticks: [1, 3],
    refresh: "passes",
    says: /full: a table or a view under the query was changed/,
    plant(bed) {
      const alter = "ALTER TABLE soak.account ALTER COLUMN label";
      return changed(bed, `${alter} DROP NOT NULL`, `${alter} SET NOT NULL`);
    },
  },
  {
    name: "applied again in mid-run",
    touches: ["maintenance"],
    // While a step of it has the fold's lock, a run skips the view.
    refresh: "may pass",
    codes: ["55P03", "40001", "40P01"],
    plant(bed, dice) {
      const view = dice.oneOf([BALANCE, SUMMARY]);
      const phase = dice.oneOf(["begin", "refresh", "commit"] as const);
      return inMidRun(bed, `apply to ${qualifiedName(view)}`, phase, () =>
        asCommand(bed, async (session) => {
          const { maintenance } = await compileView(session, view);
          if (maintenance === undefined)
            throw new Error(`${qualifiedName(view)} cannot be maintained any more`);
          await apply(session, maintenance, PATIENCE);
        }),
      );
    },
  },
]);
