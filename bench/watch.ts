/** What the page asks of a database whose history is long. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "pg";
import { connectorFor } from "../handler/connect";
import { databaseSettings, startEmbeddedDatabase } from "../local/postgres/database";
import { migrate } from "../migrations/runner";
import { ALL_MIGRATIONS } from "../migrations/sets";
import { RANGES, type RangeName } from "../watch/contract";
import { Watch } from "../watch/watch";

export interface WatchOptions {
  rows: number;
  views: number;
}

/** Rows of the last 30 days, as many of each view, evenly apart; one run of a hundred fails. */
const PLANT = `
INSERT INTO public.matview_refresh_history
  (view_schema, view_name, view_oid, outcome, refresh_type, as_of, started_at, finished_at, duration_seconds, sqlstate,
   reason, run_id, handler_version)
SELECT 'public', 'v' || v, ('public.v' || v)::regclass::oid, outcome, CASE WHEN outcome = 'refreshed' THEN 'concurrent' END,
       CASE WHEN outcome = 'refreshed' THEN at END, at, at + seconds * interval '1 second', seconds,
       CASE WHEN outcome = 'failed' THEN '55P03' END, CASE WHEN outcome = 'failed' THEN 'waited 5.0s for a lock' END,
       'run ' || n, '0.2.0'
  FROM (SELECT n, v, now() - interval '30 days' * (1 - n::float8 / $1), 0.3 + random() * 0.5,
               CASE WHEN random() < 0.01 THEN 'failed' ELSE 'refreshed' END
          FROM generate_series(1, $1) n, generate_series(1, $2) v) AS runs (n, v, at, seconds, outcome)
 ORDER BY n, v`;

/** Prints a line for each range: what its first look takes, and what a poll takes from then on. */
export async function watch({ rows, views }: WatchOptions, print: (line: string) => void): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "matview-refresh-bench-"));
  const { connection, server } = await startEmbeddedDatabase(join(folder, "server"), false, () => undefined);
  try {
    await migrate(connection, { directories: ALL_MIGRATIONS });
    const client = new Client(connection);
    await client.connect();
    for (let view = 1; view <= views; view += 1) {
      await client.query(`CREATE MATERIALIZED VIEW public.v${view} AS SELECT 1 AS id`);
    }
    await client.query(PLANT, [Math.ceil(rows / views), views]);
    await client.query("VACUUM ANALYZE public.matview_refresh_history");
    await client.end();
    const connector = connectorFor(
      databaseSettings(connection, server.user, server.passwordFile, { tls: "disable" }),
    );
    print(`${rows.toLocaleString("en-US")} rows of history, ${views} views, 30 days`);
    print("range   first look   longest statement   all read   statements   a poll");
    for (const name of Object.keys(RANGES) as RangeName[]) print(await measure(name, connector));
  } finally {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

async function measure(name: RangeName, connector: ReturnType<typeof connectorFor>): Promise<string> {
  const statements: number[] = [];
  const onStatement = (tookMs: number): void => void statements.push(tookMs);
  const page = new Watch({ connector, plan: undefined, maxAgeSeconds: 300, onStatement });
  const startedMs = performance.now();
  let firstMs = 0;
  try {
    await new Promise<void>((resolve, reject) => {
      const stop = page.subscribe(name, (event) => {
        firstMs ||= performance.now() - startedMs;
        if (event.type === "disconnected") reject(new Error(event.reason));
        else if (event.snapshot.notes.some((note) => note.includes("is being read"))) return;
        stop();
        resolve();
      });
    });
    const [allMs, longestMs, count] = [
      performance.now() - startedMs,
      Math.max(...statements),
      statements.length,
    ];
    const polledMs = performance.now();
    await page.once(name);
    const pollMs = performance.now() - polledMs;
    const cell = (ms: number, width: number): string => `${ms.toFixed(0)} ms`.padStart(width);
    return [
      name.padEnd(5),
      cell(firstMs, 12),
      cell(longestMs, 19),
      cell(allMs, 10),
      String(count).padStart(12),
      cell(pollMs, 8),
    ].join(" ");
  } finally {
    await page.close();
  }
}
