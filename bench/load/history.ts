/** A history of a million rows: what a tick's statements about it take, and what asks it for the ages. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { Budget } from "../../handler/budget";
import { Session } from "../../handler/connect";
import { pruneHistory, readLongest } from "../../handler/history";
import { textReport } from "../../handler/report";
import type { QualifiedName } from "../../handler/settings";
import { withClient } from "../../local/postgres/database";
import type { Bed } from "../bed";
import { figuresOf, timed } from "../statistics";
import * as stand from "./stand";

const run = promisify(execFile);
const NEVER_REFRESHED = 20;

/** Rows of 30 days, as many of each view; one view always fails, one is always skipped, and of the others one run in 100 fails. */
const PLANT = `
INSERT INTO public.matview_refresh_history
  (view_schema, view_name, view_oid, outcome, refresh_type, as_of, started_at, finished_at, duration_seconds, sqlstate,
   reason, run_id, handler_version)
SELECT 'load', name, ('load.' || name)::regclass::oid, outcome, CASE outcome WHEN 'refreshed' THEN 'concurrent' END,
       CASE outcome WHEN 'refreshed' THEN at END, at, at + seconds * interval '1 second', seconds,
       CASE outcome WHEN 'failed' THEN '55P03' END, CASE outcome WHEN 'failed' THEN 'waited 5.0s for a lock' END,
       'run ' || n, '0.2.0'
  FROM (SELECT n, 'view_' || lpad(v::text, 3, '0'), now() - interval '30 days' * (1 - n::float8 / $1), 0.01 + random() * 0.01,
               CASE WHEN v = 1 THEN 'failed' WHEN v = 2 THEN 'skipped' WHEN random() < 0.01 THEN 'failed' ELSE 'refreshed' END
          FROM generate_series(1, $1) n, generate_series(1, $2) v) AS runs (n, name, at, seconds, outcome)
 ORDER BY n, name`;

/** The same group with a short history and with a long one; then who reads the long one. */
export async function measureHistory(
  bed: Bed,
  { views, rows, historyRows, rounds }: { views: number; rows: number; historyRows: number; rounds: number },
  print: stand.Print,
): Promise<void> {
  await stand.makeSource(bed, rows);
  const names = stand.viewNames(views);
  const never = stand.viewNames(NEVER_REFRESHED, "never");
  await withClient(bed.connection, async (client) => {
    for (const view of [...names, ...never])
      await stand.makeView(client, view, `SELECT id, value FROM ${stand.SOURCE}`);
  });
  const group = stand.groupOf(bed, "long", names, { historyRetentionDays: 29 });
  try {
    const shortMs = await medianRun(group, rounds);
    await withClient(bed.connection, async (client) => {
      await client.query("TRUNCATE public.matview_refresh_history");
      await client.query(PLANT, [Math.ceil(historyRows / views), views]);
      await client.query("VACUUM ANALYZE public.matview_refresh_history");
    });
    const readers = await readersOf(bed, names, rounds);
    const longMs = await medianRun(group, rounds);
    const days = "30 days, one view always failing, one always skipped";
    stand.printFigures(print, `${stand.counted(historyRows)} rows of history, ${views} views, ${days}`, [
      ["a run, with hardly any history", stand.milliseconds(shortMs, 0)],
      ["a run, with all of it", `${stand.milliseconds(longMs, 0)}, ${(longMs / shortMs).toFixed(2)}x`],
      ...readers,
    ]);
  } finally {
    await group.stop();
  }
}

async function medianRun(group: stand.Group, rounds: number): Promise<number> {
  await group.refresh();
  const samples: number[] = [];
  for (let round = 0; round < rounds; round += 1) samples.push((await group.refresh()).invocation.durationMs);
  return figuresOf(samples).medianMs;
}

async function readersOf(bed: Bed, names: QualifiedName[], rounds: number): Promise<[string, string][]> {
  const session = await Session.open(bed.connection, new Budget(600_000));
  const median = async (work: () => Promise<unknown>): Promise<string> => {
    await work();
    const samples: number[] = [];
    for (let round = 0; round < rounds; round += 1) samples.push(await timed(work));
    return stand.milliseconds(figuresOf(samples).medianMs);
  };
  const [view] = names.slice(-1);
  const age = `SELECT age FROM public.matview_freshness WHERE view_schema = 'load' AND view_name = '${view?.name}'`;
  try {
    return [
      ["the last durations of all views", await median(() => readLongest(session, names))],
      [
        "deleting 1,000 old rows",
        await median(() =>
          pruneHistory(
            session,
            textReport(() => undefined),
            29,
          ),
        ),
      ],
      [
        `matview_freshness, and ${NEVER_REFRESHED} views without a run`,
        await median(() => session.query("SELECT * FROM public.matview_freshness")),
      ],
      ["matview_freshness, one view", await median(() => session.query(age))],
      ["npm run status", await median(() => command(bed, "status"))],
      ["npm run doctor", await median(() => command(bed, "doctor"))],
    ];
  } finally {
    await session.close();
  }
}

/** One of the product's commands; whatever it finds. */
async function command({ connection }: Bed, name: string): Promise<void> {
  const main = join(__dirname, "..", "..", "cli", "main.ts");
  const { host, port, user, password, database } = connection;
  const url = `postgres://${user}:${encodeURIComponent(String(password))}@${host}:${port}/${database}?sslmode=disable`;
  const env = { ...process.env, DATABASE_URL: url };
  const { stdout } = await run(process.execPath, ["-r", "tsx/cjs", main, name, "--json"], {
    env,
    maxBuffer: 2 ** 26,
  }).catch((error: unknown) => error as { stdout: string });
  const notSeen = /"not_seen": \[\s*\{[^]*?"what": "([^"]*)"/.exec(stdout)?.[1];
  if (!stdout.includes("view_")) throw new Error(`${name} does not know the views: ${stdout.slice(0, 500)}`);
  if (notSeen !== undefined) throw new Error(`${name} did not see ${notSeen}`);
}
