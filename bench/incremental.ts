import { Client, type ClientConfig } from "pg";
import { renderTable } from "../cli/table";
import type { Maintenance } from "../incremental/maintenance";
import { LambdaFunction } from "../local/lambda/lambdaFunction";
import type { Invocation } from "../local/lambda/lambdaProcess";
import { withClient } from "../local/postgres/database";
import { describeMachine, makeBed, type Bed } from "./bed";
import {
  BULK,
  Changes,
  fillEvenly,
  fold,
  inFreshSession,
  makeIncremental,
  singleRows,
  TWIN,
} from "./maintained";
import { hasPsql, psql } from "./psql";
import { figuresOf, interleave, timed } from "./statistics";

/** What `incremental` is asked to measure. */
export interface IncrementalOptions {
  objects: number[];
  jobs: number[];
  /** Objects that change between two refreshes. */
  changed: number[];
  rounds: number;
  /** For all measurements of one kind of change together. */
  secondsPerCase: number;
  readers: number;
}

type Print = (line: string) => void;

const CONCURRENTLY = `REFRESH MATERIALIZED VIEW CONCURRENTLY ${TWIN}`;
const PLAIN = `REFRESH MATERIALIZED VIEW ${TWIN}`;
const event = { source: "aws.events", "detail-type": "Scheduled Event", detail: {} };

/** One size: a server with the view that is folded, its twin that is refreshed, and who changes objects. */
interface Stand {
  objects: number;
  bed: Bed;
  maintenance: Maintenance;
  writer: Client;
  changes: Changes;
  folding: LambdaFunction;
  refreshing: LambdaFunction;
}

/** How objects are changed before each measurement. */
const FORMS = {
  bulk: ({ writer }: Stand, range: [number, number]) => writer.query(BULK, range),
  "row by row": ({ writer }: Stand, range: [number, number]) => writer.query(singleRows(range)),
};
type Form = keyof typeof FORMS;

/** The ways to bring a view up to date; each is timed alone, after changes that it alone finds. */
const WAYS: Record<string, (stand: Stand) => Promise<number>> = {
  fold: ({ bed, maintenance }) => inFreshSession(bed.connection, (client) => fold(client, maintenance)),
  concurrent: ({ bed }) => inFreshSession(bed.connection, (client) => client.query(CONCURRENTLY)),
  plain: ({ bed }) => inFreshSession(bed.connection, (client) => client.query(PLAIN)),
  functionFold: ({ folding }) =>
    timed(async () => requireRefresh(await folding.invoke(event), "incremental")),
  functionFull: ({ refreshing }) =>
    timed(async () => requireRefresh(await refreshing.invoke(event), "concurrent")),
};
const PSQL_WAYS: typeof WAYS = {
  psqlConcurrent: ({ bed }) => timed(() => psql(bed, CONCURRENTLY)),
  psqlPlain: ({ bed }) => timed(() => psql(bed, PLAIN)),
};

/**
 * Full against incremental refresh of one query over the same tables, as statements in a session of their own and by
 * the function; what a tick costs that finds nothing; and what readers notice.
 */
export async function incremental(options: IncrementalOptions, print: Print): Promise<void> {
  const ways = { ...WAYS, ...((await hasPsql()) ? PSQL_WAYS : {}) };
  for (const [index, jobs] of options.jobs.entries()) {
    const stands: Stand[] = [];
    const stopped = (): void => void stopAll(stands).finally(() => process.exit(130));
    process.once("SIGINT", stopped);
    process.once("SIGTERM", stopped);
    try {
      for (const objects of options.objects) stands.push(await makeStand(objects, jobs));
      if (index === 0) print(`Machine: ${describeMachine(stands[0]?.bed.serverVersion ?? "")}`);
      print(`\n${jobs.toLocaleString("en-US")} jobs, job_progress; medians in ms, ${options.rounds} rounds`);
      await compareSizes(stands, ways, options, print);
      if (index > 0) continue;
      await emptyTicks(stands, options, print);
      await duringFolds(stands, options, print);
    } finally {
      process.off("SIGINT", stopped);
      process.off("SIGTERM", stopped);
      await stopAll(stands);
    }
  }
}

async function makeStand(objects: number, jobs: number): Promise<Stand> {
  const bed = await makeBed();
  try {
    await fillEvenly(bed.connection, objects, jobs);
    const maintenance = await makeIncremental(bed.connection);
    const writer = new Client(bed.connection);
    await writer.connect();
    await writer.query("SET synchronous_commit = off");
    const folding = new LambdaFunction(bed.configurationOf("public.job_progress"));
    const refreshing = new LambdaFunction(bed.configurationOf(TWIN));
    return { objects, bed, maintenance, writer, folding, refreshing, changes: new Changes(1, objects / 2) };
  } catch (error) {
    await bed.stop();
    throw error;
  }
}

async function stopAll(stands: Stand[]): Promise<void> {
  for (const { bed, writer, folding, refreshing } of stands) {
    await writer.end().catch(() => undefined);
    await Promise.all([folding.stop(), refreshing.stop()]);
    await bed.stop();
  }
}

function requireRefresh(invocation: Invocation, kind: "incremental" | "concurrent"): void {
  const body = (invocation.value as { body?: string } | undefined)?.body ?? "";
  if (invocation.outcome !== "succeeded" || !body.includes(`"refresh_type":"${kind}"`))
    throw new Error(`a run was not ${kind}: ${invocation.error?.errorMessage ?? body}`);
}

/** Folds what other ways have left in the logs, then changes as many objects as are to be found. */
async function change(stand: Stand, count: number, form: Form): Promise<void> {
  await inFreshSession(stand.bed.connection, (client) => fold(client, stand.maintenance));
  await FORMS[form](stand, stand.changes.take(count));
}

async function compareSizes(
  stands: Stand[],
  ways: typeof WAYS,
  { changed, rounds, secondsPerCase }: IncrementalOptions,
  print: Print,
): Promise<void> {
  const rows: string[][] = [];
  const growth: string[] = [];
  for (const count of changed) {
    for (const form of Object.keys(FORMS) as Form[]) {
      const measured = stands.flatMap((stand) =>
        Object.values(ways).map((way) => ({
          name: "",
          run: async () => {
            await change(stand, count, form);
            return way(stand);
          },
        })),
      );
      for (const { run } of measured) await run();
      const series = await interleave(measured, rounds, Date.now() + secondsPerCase * 1000);
      const medians = series.map(({ samplesMs }) => figuresOf(samplesMs).medianMs);
      const folds: number[] = [];
      for (const [index, { objects }] of stands.entries()) {
        const first = index * Object.keys(ways).length;
        const [foldMs = 0, concurrentMs = 0, plainMs = 0, functionFoldMs = 0, functionFullMs = 0, ...psqlMs] =
          medians.slice(first, first + Object.keys(ways).length);
        folds.push(foldMs);
        rows.push([
          ...[millions(objects), count.toLocaleString("en-US"), form],
          ...[foldMs, concurrentMs, plainMs].map((ms) => ms.toFixed(1)),
          `${(concurrentMs / foldMs).toFixed(0)}x`,
          ...[functionFoldMs, functionFullMs].map((ms) => ms.toFixed(1)),
          `${(functionFullMs / functionFoldMs).toFixed(1)}x`,
          ...psqlMs.map((ms) => ms.toFixed(1)),
        ]);
      }
      const [smallest, largest] = [folds[0] ?? 0, folds.at(-1) ?? 0];
      growth.push(`${count.toLocaleString("en-US")} ${form} ${(largest / smallest).toFixed(2)}x`);
    }
  }
  const head = [
    "objects",
    "changed",
    "as",
    "fold",
    "concurrent",
    "plain",
    "ratio",
    "function",
    "full",
    "ratio",
  ];
  const hasPeers = Object.keys(ways).length > Object.keys(WAYS).length;
  print(table([...head, ...(hasPeers ? ["psql conc.", "psql plain"] : [])], rows, 3));
  if (stands.length > 1) print(`A fold from the smallest to the largest size: ${growth.join(", ")}`);
}

/**
 * What a tick costs that finds nothing changed. Time of the database is what its sessions spent in statements
 * (pg_stat_database.active_time), whoever sent them, asked from another database.
 */
async function emptyTicks(stands: Stand[], { rounds }: IncrementalOptions, print: Print): Promise<void> {
  const rows: string[][] = [];
  for (const stand of stands) {
    await inFreshSession(stand.bed.connection, (client) => fold(client, stand.maintenance));
    for (const [name, way] of [
      ["fold", "fold"],
      ["function, fold", "functionFold"],
      ["concurrent", "concurrent"],
      ["function, full", "functionFull"],
    ] as const) {
      const samples: number[] = [];
      const before = await activeMs(stand.bed.connection);
      for (let round = 0; round < rounds * 5; round += 1) samples.push((await WAYS[way]?.(stand)) ?? 0);
      const databaseMs = ((await activeMs(stand.bed.connection)) - before) / samples.length;
      rows.push([
        millions(stand.objects),
        name,
        figuresOf(samples).medianMs.toFixed(1),
        databaseMs.toFixed(2),
      ]);
    }
  }
  print("\nA tick that finds nothing changed");
  print(table(["objects", "", "median ms", "database ms"], rows, 2));
}

/** Once the sessions that were there have told what they did, at their end. */
async function activeMs(connection: ClientConfig): Promise<number> {
  return withClient({ ...connection, database: "postgres" }, async (client) => {
    for (;;) {
      const { rows } = await client.query<{ others: number; ms: number }>(
        `SELECT d.active_time AS ms, (SELECT count(*)::int FROM pg_stat_activity a
                   WHERE a.datname = d.datname AND a.state <> 'idle') AS others
           FROM pg_stat_database d WHERE d.datname = $1`,
        [connection.database],
      );
      await new Promise((resolve) => setTimeout(resolve, 100));
      if (rows[0]?.others === 0) return rows[0].ms;
    }
  });
}

const PHASES = ["idle", "fold", "refresh"] as const;
type Phase = (typeof PHASES)[number] | "between";

const PAGE = "SELECT * FROM public.job_progress WHERE status = 'running' ORDER BY job_id LIMIT 50";

/**
 * Readers who query without a pause, while nothing happens, folds, and concurrent refreshes of the twin, in turn. A
 * query counts for what happened while it was under way.
 */
async function duringFolds(
  [stand]: Stand[],
  { changed, rounds, readers }: IncrementalOptions,
  print: Print,
): Promise<void> {
  if (stand === undefined) return;
  const samples = new Map<Phase, number[]>([...PHASES, "between" as const].map((phase) => [phase, []]));
  const state: { phase: Phase; over: boolean } = { phase: "between", over: false };
  const clients = await Promise.all(
    Array.from({ length: readers }, async () => {
      const client = new Client(stand.bed.connection);
      await client.connect();
      return client;
    }),
  );
  const read = async (client: Client): Promise<void> => {
    while (!state.over) {
      const before = state.phase;
      const ms = await timed(() => client.query(PAGE));
      samples.get(before === "between" ? state.phase : before)?.push(ms);
    }
  };
  const reading = Promise.all(clients.map(read));
  const during = async (phase: Phase, work: () => Promise<unknown>): Promise<void> => {
    state.phase = phase;
    await work();
    state.phase = "between";
  };
  try {
    for (let round = 0; round < rounds * 10; round += 1) {
      await change(stand, changed[0] ?? 1_000, "bulk");
      await withClient(stand.bed.connection, async (client) => {
        await during("idle", () => new Promise((resolve) => setTimeout(resolve, 50)));
        await during("fold", () => fold(client, stand.maintenance));
      });
      if (round % 10 > 0) continue;
      await withClient(stand.bed.connection, (client) => during("refresh", () => client.query(CONCURRENTLY)));
    }
  } finally {
    state.over = true;
    await reading;
    await Promise.all(clients.map((client) => client.end()));
  }
  print(`\n${readers} readers of job_progress, ${millions(stand.objects)} objects`);
  const rows = PHASES.map((phase) => {
    const { medianMs, p99Ms, runs } = figuresOf(samples.get(phase) ?? []);
    return [phase, medianMs.toFixed(2), p99Ms.toFixed(2), runs.toLocaleString("en-US")];
  });
  print(table(["readers during", "p50 ms", "p99 ms", "queries"], rows, 1));
}

const millions = (count: number): string => count.toLocaleString("en-US");

function table(head: string[], rows: string[][], labels: number): string {
  return renderTable(head, rows, {
    isDecorated: false,
    rightAligned: head.flatMap((_, index) => (index < labels ? [] : [index])),
  });
}
