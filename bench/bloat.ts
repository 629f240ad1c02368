import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "pg";
import { inSchema } from "../handler/maintained";
import { renderTable } from "../cli/table";
import { inFreshSession, fold, makeIncremental, VIEW } from "./maintained";
import { withClient } from "../local/postgres/database";
import { BackgroundLoad } from "../local/workload/load";
import type { Maintenance } from "../incremental/maintenance";
import { describeMachine, makeBed, type Bed } from "./bed";
import { figuresOf } from "./statistics";

/** What `bloat` is asked to measure. */
export interface BloatOptions {
  objects: number;
  folds: number;
  /** Between two folds. */
  everySeconds: number;
  objectsPerMinute: number;
}

/** How large the tables of maintenance became, and how long folds took. */
interface Stretch {
  name: string;
  largestKb: { logs: number; states: number; published: number };
  foldsMs: number[];
  changes: number;
}

/**
 * What becomes of the change tables, which folds empty by DELETE, under a busy writer: with autovacuum as the server
 * has it, then with a transaction held open, which keeps every deleted row, then when it has ended.
 */
export async function bloat(options: BloatOptions, print: (line: string) => void): Promise<void> {
  const bed = await makeBed();
  const stop = new AbortController();
  const stopped = (): void => void bed.stop().finally(() => process.exit(130));
  process.once("SIGINT", stopped);
  process.once("SIGTERM", stopped);
  let working: Promise<void> = Promise.resolve();
  const holder = new Client(bed.connection);
  try {
    print(`Machine: ${describeMachine(bed.serverVersion)}`);
    await bed.refill(options.objects);
    const maintenance = await makeIncremental(bed.connection);
    const load = new BackgroundLoad(bed.connection, options.objectsPerMinute, options.objects);
    working = load.run(stop.signal);
    const stretches = [await stretch("autovacuum", bed, maintenance, options)];
    await holder.connect();
    await holder.query("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT");
    stretches.push(await stretch("a transaction held open", bed, maintenance, options));
    await holder.query("ROLLBACK");
    stretches.push(await stretch("after its end", bed, maintenance, options));
    print(
      `\n${options.folds} folds, one every ${options.everySeconds} s, ` +
        `${options.objectsPerMinute.toLocaleString("en-US")} objects a minute`,
    );
    print(tableOf(stretches));
  } finally {
    stop.abort();
    await working;
    await holder.end().catch(() => undefined);
    process.off("SIGINT", stopped);
    process.off("SIGTERM", stopped);
    await bed.stop();
  }
}

async function stretch(
  name: string,
  bed: Bed,
  maintenance: Maintenance,
  { folds, everySeconds }: BloatOptions,
): Promise<Stretch> {
  const result: Stretch = { name, largestKb: { logs: 0, states: 0, published: 0 }, foldsMs: [], changes: 0 };
  let due = performance.now();
  for (let number = 0; number < folds; number += 1) {
    due += everySeconds * 1_000;
    await sleep(Math.max(0, due - performance.now()));
    result.foldsMs.push(
      await inFreshSession(bed.connection, async (client) => {
        result.changes += (await fold(client, maintenance)).changes;
      }),
    );
    const sizes = await sizesKb(bed, maintenance);
    for (const kind of ["logs", "states", "published"] as const)
      result.largestKb[kind] = Math.max(result.largestKb[kind], sizes[kind]);
  }
  return result;
}

async function sizesKb({ connection }: Bed, { logs, states }: Maintenance): Promise<Stretch["largestKb"]> {
  const size = (names: string[]): string =>
    ["0", ...names.map((name) => `pg_total_relation_size('${name}'::regclass)`)].join(" + ");
  return withClient(connection, async (client) => {
    const { rows } = await client.query<Stretch["largestKb"]>(
      `SELECT ((${size(logs.map(({ name }) => inSchema(name)))}) / 1024)::int AS logs,
              ((${size(states.map(({ name }) => inSchema(name)))}) / 1024)::int AS states,
              ((${size([`${VIEW.schema}.${VIEW.name}`])}) / 1024)::int AS published`,
    );
    return rows[0] as Stretch["largestKb"];
  });
}

function tableOf(stretches: Stretch[]): string {
  const rows = stretches.map(({ name, largestKb, foldsMs, changes }) => {
    const tenth = Math.max(1, Math.floor(foldsMs.length / 10));
    const median = (samples: number[]): string => figuresOf(samples).medianMs.toFixed(1);
    return [
      name,
      changes.toLocaleString("en-US"),
      ...[largestKb.logs, largestKb.states, largestKb.published].map((kb) => kb.toLocaleString("en-US")),
      ...[
        median(foldsMs.slice(0, tenth)),
        median(foldsMs.slice(-tenth)),
        figuresOf(foldsMs).p99Ms.toFixed(1),
      ],
    ];
  });
  const head = ["", "changes", "logs KB", "states KB", "published KB", "fold ms: first tenth", "last", "p99"];
  return renderTable(head, rows, { isDecorated: false, rightAligned: [1, 2, 3, 4, 5, 6, 7] });
}
