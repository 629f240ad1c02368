import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import type { Client } from "pg";
import { Budget } from "../../handler/budget";
import { connectorFor, type Connector } from "../../handler/connect";
import type { RefreshFailure } from "../../handler/failure";
import type { RefreshedView, SkippedView, ViewOutcome } from "../../handler/outcome";
import { textReport } from "../../handler/report";
import { runRefresh } from "../../handler/run";
import type { DatabaseSettings, ViewSettings } from "../../handler/settings";
import type { TestDatabase } from "../database";

/** A run and all that it wrote. */
export interface Recorded {
  outcomes: ViewOutcome[];
  lines: string[];
}

export interface RunOptions {
  /** A run by hand, which waits for the lock. */
  manual?: boolean;
  /** Maintained views are computed anew. */
  forceFull?: boolean;
  timeoutMs?: number;
  database?: Partial<DatabaseSettings>;
  connector?: Connector;
  historyRetentionDays?: number;
  onLine?: (line: string) => void;
  /** Somebody looks on at a terminal. */
  attended?: boolean;
}

/** Settings of a view in public. */
export function viewNamed(name: string, more: Partial<ViewSettings> = {}): ViewSettings {
  return { schema: "public", name, allowBlocking: true, ...more };
}

/** Runs the function's own run against the test's database. */
export async function runViews(
  database: Pick<TestDatabase, "databaseSettings">,
  views: ViewSettings[],
  options: RunOptions = {},
): Promise<Recorded> {
  const lines: string[] = [];
  const outcomes = await runRefresh({
    views,
    connector: options.connector ?? connectorFor({ ...database.databaseSettings(), ...options.database }),
    waitForLock: options.manual ?? false,
    forceFull: options.forceFull ?? false,
    attended: options.attended ?? false,
    budget: new Budget(options.timeoutMs ?? 20_000),
    ...(options.historyRetentionDays === undefined
      ? {}
      : { historyRetentionDays: options.historyRetentionDays }),
    runId: "test",
    report: textReport((line) => {
      lines.push(line);
      options.onLine?.(line);
    }),
  });
  return { outcomes, lines };
}

/** The run's only outcome, which must be a refresh. */
export function onlyRefreshed({ outcomes, lines }: Recorded): RefreshedView {
  const [outcome] = outcomes;
  assert.equal(outcomes.length, 1);
  assert.ok(outcome?.outcome === "refreshed", lines.join("\n"));
  return outcome;
}

/** The run's only outcome, which must be a skip. */
export function onlySkipped({ outcomes, lines }: Recorded): SkippedView {
  const [outcome] = outcomes;
  assert.equal(outcomes.length, 1);
  assert.ok(outcome?.outcome === "skipped", lines.join("\n"));
  return outcome;
}

/** The failure of the run's only outcome. */
export function onlyFailure({ outcomes, lines }: Recorded): RefreshFailure {
  const [outcome] = outcomes;
  assert.equal(outcomes.length, 1);
  assert.ok(outcome?.outcome === "failed", lines.join("\n"));
  return outcome.failure;
}

/** Waits until a query gives a row whose first column is true. */
export async function until(client: Client, query: string, values: unknown[] = []): Promise<void> {
  for (;;) {
    const { rows } = await client.query<unknown[]>({ text: query, values, rowMode: "array" });
    if (rows[0]?.[0] === true) return;
    await pause(5);
  }
}

const GATE_KEY = 7_700;

/**
 * A door in the middle of a refresh: a view that reads `gate()` stops there while the gate is shut, holding whatever
 * locks its refresh holds. No lock_timeout ends that wait, so that only what a test is about can.
 */
export class Gate {
  private constructor(private readonly keeper: Client) {}

  static async create(database: TestDatabase): Promise<Gate> {
    const keeper = await database.connect();
    await keeper.query(`
      CREATE FUNCTION public.gate() RETURNS integer LANGUAGE plpgsql VOLATILE SET lock_timeout = 0 AS $$
      BEGIN
        PERFORM pg_catalog.pg_advisory_xact_lock_shared(${GATE_KEY});
        RETURN 1;
      END $$`);
    return new Gate(keeper);
  }

  async shut(): Promise<void> {
    await this.keeper.query("SELECT pg_advisory_lock($1)", [GATE_KEY]);
  }

  async open(): Promise<void> {
    await this.keeper.query("SELECT pg_advisory_unlock($1)", [GATE_KEY]);
  }

  /** Resolves when a refresh stands at the gate. */
  async reached(): Promise<void> {
    await until(this.keeper, `SELECT EXISTS (${AT_THE_GATE})`);
  }

  /** Resolves when no refresh stands at the gate any more, though it was never opened. */
  async left(): Promise<void> {
    await until(this.keeper, `SELECT NOT EXISTS (${AT_THE_GATE})`);
  }

  /** Process ids of the backends that stand at the gate. */
  async backends(): Promise<number[]> {
    const { rows } = await this.keeper.query<{ pid: number }>(AT_THE_GATE);
    return rows.map((row) => row.pid);
  }
}

const AT_THE_GATE = `
  SELECT l.pid FROM pg_locks l JOIN pg_database d ON d.oid = l.database
   WHERE l.locktype = 'advisory' AND l.objid = ${GATE_KEY} AND NOT l.granted AND d.datname = current_database()`;

/** Resolves when a backend of this database waits for a view's refresh lock. */
export async function lockIsWaitedFor(client: Client): Promise<void> {
  await until(
    client,
    `SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database
       WHERE l.locktype = 'advisory' AND l.objid <> ${GATE_KEY} AND NOT l.granted AND d.datname = current_database())`,
  );
}
