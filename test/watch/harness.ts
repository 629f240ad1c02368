import type { Client } from "pg";
import { makePlan } from "../../components/plan/plan";
import { parseSettings } from "../../components/settings/parseSettings";
import { connectorFor } from "../../handler/connect";
import type { DatabaseSettings } from "../../handler/settings";
import type { RangeName, Snapshot, StreamEvent, ViewDetail, ViewSummary } from "../../watch/contract";
import type { WatchedPlan } from "../../watch/facts";
import { Watch, type WatchOptions } from "../../watch/watch";
import type { TestDatabase } from "../database";

/** A run as a test plants it: when it began, in seconds before now, and what came of it. */
export interface PlantedRun {
  view?: string;
  startedAgo: number;
  seconds?: number;
  outcome?: "refreshed" | "skipped" | "failed";
  kind?: string;
  /** Seconds before now; the start unless given, null where it is not known. */
  asOfAgo?: number | null;
  reason?: string;
  sqlstate?: string;
  remedy?: string;
  blockers?: string[];
  changes?: number;
  drift?: number;
  runId?: string;
}

/** Writes runs of views in public, in the order given, against the server's clock of one moment. */
export async function plant(client: Client, runs: PlantedRun[]): Promise<void> {
  await client.query("BEGIN");
  for (const run of runs) {
    const {
      view = "job_progress",
      startedAgo,
      seconds = 1,
      outcome = "refreshed",
      kind = "concurrent",
    } = run;
    const asOfAgo = run.asOfAgo === undefined ? startedAgo : run.asOfAgo;
    await client.query(
      `INSERT INTO matview_refresh_history
         (view_schema, view_name, view_oid, outcome, refresh_type, as_of, started_at, finished_at, duration_seconds,
          sqlstate, reason, run_id, remedy, blockers, changes, drift)
       VALUES ('public', $1, to_regclass('public.' || quote_ident($1))::oid, $2, $3, now() - make_interval(secs => $4),
               now() - make_interval(secs => $5), now() - make_interval(secs => $5 - $6), $6, $7, $8, $9, $10, $11, $12, $13)`,
      [
        view,
        outcome,
        outcome === "refreshed" ? kind : null,
        outcome === "refreshed" ? asOfAgo : null,
        startedAgo,
        seconds,
        run.sqlstate,
        run.reason ?? (outcome === "refreshed" && asOfAgo === null ? "as_of is unknown" : undefined),
        run.runId,
        run.remedy,
        run.blockers,
        run.changes,
        run.drift,
      ],
    );
  }
  await client.query("COMMIT");
}

/** Runs of so many seconds apart, the last so many seconds ago. */
export function every(
  seconds: number,
  times: number,
  lastAgo = 5,
  more: Partial<PlantedRun> = {},
): PlantedRun[] {
  return Array.from({ length: times }, (_, index) => ({
    startedAgo: lastAgo + (times - 1 - index) * seconds,
    ...more,
  }));
}

/** The plan of settings, as the page gets it. */
export function watched(settings: Record<string, unknown> = {}): WatchedPlan {
  const plan = makePlan(parseSettings(settings, "local"));
  return { plan, stack: "test", monthlyUsd: 1.5, isAssumed: false };
}

/** Options of a watch of the database, which promises nothing unless told so. */
export function optionsFor(
  database: TestDatabase,
  more: Partial<WatchOptions> & { settings?: Partial<DatabaseSettings> } = {},
): WatchOptions {
  const { settings, ...options } = more;
  return {
    connector: connectorFor({ ...database.databaseSettings(), ...settings }),
    plan: undefined,
    maxAgeSeconds: undefined,
    pollMs: 20,
    ...options,
  };
}

/** What a page that is just opened is told. */
export async function look(options: WatchOptions, range: RangeName = "1h"): Promise<Snapshot> {
  const watch = new Watch(options);
  try {
    return snapshotOf(await watch.once(range));
  } finally {
    await watch.close();
  }
}

export function snapshotOf(event: StreamEvent): Snapshot {
  if (event.type === "snapshot") return event.snapshot;
  throw new Error(`disconnected: ${event.reason}`);
}

export function summaryOf({ views }: Snapshot, view = "public.job_progress"): ViewSummary {
  const found = views.find((one) => one.view === view);
  if (found === undefined) throw new Error(`${view} is not among ${views.map((one) => one.view).join()}`);
  return found;
}

export function detailOf({ details }: Snapshot, view = "public.job_progress"): ViewDetail {
  const found = details.find((one) => one.view === view);
  if (found === undefined) throw new Error(`${view} is not among ${details.map((one) => one.view).join()}`);
  return found;
}
