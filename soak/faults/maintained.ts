/** What happens to views that are maintained by folding, and to the tables whose changes they log. */
import { escapeIdentifier } from "pg";
import { compileView } from "../../cli/compiler";
import { Budget } from "../../handler/budget";
import { Session } from "../../handler/connect";
import { inSchema } from "../../handler/maintained";
import { apply } from "../../incremental/apply";
import { setPaused } from "../../incremental/list";
import type { Bed } from "../bed/bed";
import type { Fault } from "../fault";
import { byHand, change, grantsOf, inMidRun, leaveOpen, takeAway, viewAt } from "./administrator";
import { insertStrangeRow, namesAt, readRequired, readTriggers } from "./maintained/parts";
import { signalAtWork } from "./signal";

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

const DONE = (): Promise<void> => Promise.resolve();
const group = { group: "maintained" } as const;

export const MAINTAINED_FAULTS: Fault[] = [
  {
    ...group,
    name: "trigger disabled",
    touches: ["maintenance"],
    modes: ["incremental"],
    ticks: [1, 4],
    refresh: "passes",
    codes: [],
    says: /trigger \S+ of \S+ is disabled/,
    async plant(bed, dice) {
      const { table, name } = dice.oneOf(await readTriggers(bed));
      await change(bed, `ALTER TABLE ${table} DISABLE TRIGGER ${name}`);
      return {
        what: `ALTER TABLE ${table} DISABLE TRIGGER ${name}`,
        lift: () => change(bed, `ALTER TABLE ${table} ENABLE TRIGGER ${name}`),
      };
    },
  },
  {
    ...group,
    name: "trigger dropped",
    touches: ["maintenance"],
    modes: ["incremental"],
    ticks: [1, 4],
    refresh: "passes",
    codes: [],
    says: /trigger \S+ of \S+ is missing/,
    async plant(bed, dice) {
      const { table, name, sql } = dice.oneOf(await readTriggers(bed));
      await change(bed, `DROP TRIGGER ${name} ON ${table}`);
      return {
        what: `DROP TRIGGER ${name} ON ${table}`,
        lift: () => change(bed, sql.replace(/^CREATE TRIGGER/, "CREATE OR REPLACE TRIGGER")),
      };
    },
  },
  ...(["full", "incremental"] as const).map((mode): Fault => ({
    ...group,
    name: mode === "full" ? "table truncated" : "table truncated under a maintained view",
    touches: ["source"],
    modes: [mode],
    ticks: [1, 1],
    refresh: "passes",
    codes: [],
    ...(mode === "incremental" && { says: /full: .* was truncated/ }),
    async plant(bed) {
      await bed.writers.transact("truncate");
      return { what: "TRUNCATE", lift: DONE };
    },
  })),
  {
    ...group,
    name: "day of changes at once",
    touches: ["source"],
    modes: ["full", "incremental"],
    ticks: [1, 1],
    refresh: "passes",
    codes: [],
    async plant(bed) {
      await bed.writers.transact("day");
      return { what: "a day of changes in one transaction", lift: DONE };
    },
  },
  {
    ...group,
    name: "load without triggers",
    touches: ["source", "maintenance"],
    modes: ["incremental"],
    ticks: [1, 1],
    refresh: "passes",
    codes: [],
    async plant(bed) {
      const setUp = "SET LOCAL session_replication_role = replica";
      await bed.writers.transact("reload", setUp);
      return { what: `${setUp}; a load`, lift: DONE, driftsUntilFullRun: true };
    },
  },
  {
    ...group,
    name: "published table changed by hand",
    touches: ["view", "maintenance"],
    modes: ["incremental"],
    ticks: [1, 1],
    refresh: "passes",
    codes: [],
    async plant(bed) {
      return { what: await insertStrangeRow(bed), lift: DONE, driftsUntilFullRun: true };
    },
  },
  {
    ...group,
    name: "backend ended in the fold",
    touches: ["view"],
    modes: ["incremental"],
    ticks: [1, 1],
    refresh: "may pass",
    codes: ["57P01", "ECONNRESET"],
    plant: (bed, dice) => Promise.resolve(signalAtWork(bed, dice, "pg_terminate_backend")),
  },
  {
    ...group,
    name: "log locked",
    touches: ["maintenance", "source"],
    modes: ["incremental"],
    // Writers wait too.
    ticks: [1, 1],
    refresh: "stops",
    codes: ["55P03"],
    says: /waited [\d.]+s for a lock on matview_refresh\.\S+, held by /,
    remedyHelps: true,
    plant(bed) {
      const sql = `LOCK TABLE ${inSchema(`${namesAt(bed, 0).base}__log_1`)} IN ACCESS EXCLUSIVE MODE`;
      return leaveOpen(bed, `BEGIN; ${sql}`, sql);
    },
  },
  {
    ...group,
    name: "paused, and resumed later",
    touches: ["maintenance"],
    modes: ["incremental"],
    ticks: [1, 3],
    refresh: "stops",
    codes: [],
    says: /it is paused: npm run incremental -- resume --view /,
    async plant(bed) {
      const view = viewAt(bed, 0);
      await asCommand(bed, (session) => setPaused(session, view, true, PATIENCE));
      return {
        what: `incremental pause of ${view.sql}`,
        lift: () => asCommand(bed, (session) => setPaused(session, view, false, PATIENCE)),
      };
    },
  },
  {
    ...group,
    name: "rights of a fold taken away",
    touches: ["maintenance"],
    modes: ["incremental"],
    ticks: [1, 3],
    refresh: "stops",
    codes: ["42501"],
    says: /may not fold changes into it/,
    remedyHelps: true,
    async plant(bed, dice) {
      const { fold, lock, query } = namesAt(bed, 0);
      const signature = `${inSchema(fold)}(boolean, interval, boolean)`;
      const grants = dice.oneOf([
        () => grantsOf(bed, "function", signature, "EXECUTE"),
        () => grantsOf(bed, "relation", inSchema(lock), "UPDATE"),
        () => grantsOf(bed, "relation", inSchema(query), "SELECT"),
        () => grantsOf(bed, "schema", escapeIdentifier("matview_refresh"), "USAGE"),
      ]);
      return takeAway(bed, await grants());
    },
  },
  {
    ...group,
    name: "table altered under a maintained view",
    touches: ["source", "maintenance"],
    modes: ["incremental"],
    ticks: [1, 3],
    refresh: "passes",
    codes: [],
    says: /full: a table or a view under the query was changed/,
    async missing(bed) {
      const required = await readRequired(bed);
      return required.length === 0 ? "the view uses no column that is NOT NULL by a constraint" : undefined;
    },
    async plant(bed, dice) {
      const { table, column } = dice.oneOf(await readRequired(bed));
      const alter = `ALTER TABLE ${table} ALTER COLUMN ${column}`;
      await change(bed, `${alter} DROP NOT NULL`);
      return { what: `${alter} DROP NOT NULL`, lift: () => change(bed, `${alter} SET NOT NULL`) };
    },
  },
  {
    ...group,
    name: "applied again in mid-run",
    touches: ["maintenance"],
    modes: ["incremental"],
    ticks: [1, 1],
    // While a step of it has the fold's lock, a run skips the view.
    refresh: "may pass",
    codes: ["55P03", "40001", "40P01"],
    plant(bed, dice) {
      const view = viewAt(bed, dice.oneOf([0, 1]));
      const phase = dice.oneOf(["begin", "refresh", "commit"] as const);
      const at = { phase, moment: "before", what: `apply to ${view.sql} at ${phase}` } as const;
      const planted = inMidRun(bed, at, () =>
        asCommand(bed, async (session) => {
          const { maintenance } = await compileView(session, view);
          if (maintenance === undefined) throw new Error(`${view.sql} cannot be maintained any more`);
          await apply(session, maintenance, PATIENCE);
        }),
      );
      return Promise.resolve(planted);
    },
  },
];
