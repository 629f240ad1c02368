/** One group with many small views: what a run takes beside its statements, and what it prints and answers. */
import { quotedName } from "../../handler/names";
import { withClient } from "../../local/postgres/database";
import type { Bed } from "../bed";
import { figuresOf } from "../statistics";
import * as stand from "./stand";

const SLOW_SECONDS = 5;

/** What a run of many views takes, holds and prints; then with one of them slow. */
export async function measureGroup(
  bed: Bed,
  { views, rows, rounds }: { views: number; rows: number; rounds: number },
  print: stand.Print,
): Promise<void> {
  await stand.makeSource(bed, rows);
  const names = stand.viewNames(views);
  await withClient(bed.connection, async (client) => {
    for (const view of names) await stand.makeView(client, view, `SELECT id, value FROM ${stand.SOURCE}`);
  });
  const group = stand.groupOf(bed, "many", names);
  try {
    await group.refresh();
    const [bare, whole, statements]: [number[], number[], number[]] = [[], [], []];
    let last: stand.Run | undefined;
    for (let round = 0; round < rounds; round += 1) {
      bare.push(await stand.bareRefreshMs(bed, names));
      last = await group.refresh();
      whole.push(last.invocation.durationMs);
      const reports = stand.reportsOf(last);
      if (reports.length !== views) throw new Error(`${reports.length} of ${views} views were refreshed`);
      statements.push(reports.reduce((sum, { duration_seconds }) => sum + duration_seconds * 1_000, 0));
    }
    const [bareMs, wholeMs] = [figuresOf(bare).medianMs, figuresOf(whole).medianMs];
    const lines = last?.lines ?? [];
    const metrics = lines.filter((line) => line.includes('"_aws"'));
    stand.printFigures(print, `${views} views of ${stand.counted(rows)} rows, one group, ${rounds} runs`, [
      ["bare statements on an open connection", stand.milliseconds(bareMs, 0)],
      ["a run of the function", stand.milliseconds(wholeMs, 0)],
      ["a run, of each view", stand.milliseconds(wholeMs / views)],
      ["REFRESH within a run", stand.milliseconds(figuresOf(statements).medianMs, 0)],
      ["a run beside the bare statements", `${(wholeMs / bareMs).toFixed(2)}x`],
      [
        "peak memory of the process",
        last?.peakMemoryMb === undefined ? "unknown" : `${last.peakMemoryMb} MB`,
      ],
      [
        "lines of log",
        `${lines.length - metrics.length}, ${stand.kilobytes(bytesOf(lines) - bytesOf(metrics))}`,
      ],
      ["lines of metrics", `${metrics.length}, ${stand.kilobytes(bytesOf(metrics))}`],
      ["longest line", `${Math.max(0, ...lines.map((line) => Buffer.byteLength(line)))} bytes`],
      ["the answer", stand.kilobytes(Buffer.byteLength(JSON.stringify(last?.invocation.value)))],
    ]);
    await measureSlowFirst(bed, names, print);
    await measureFailing(bed, group, print);
  } finally {
    await group.stop();
  }
}

/** The first view is slow, of which history knows nothing as yet: its share would not do. */
async function measureSlowFirst(
  bed: Bed,
  names: ReturnType<typeof stand.viewNames>,
  print: stand.Print,
): Promise<void> {
  const [slow] = names;
  if (slow === undefined) return;
  await withClient(bed.connection, async (client) => {
    await client.query(
      `CREATE FUNCTION load.slow() RETURNS integer LANGUAGE sql AS 'SELECT 1 FROM pg_sleep(${SLOW_SECONDS})';
       DROP MATERIALIZED VIEW ${quotedName(slow)}`,
    );
    await stand.makeView(client, slow, `SELECT id, load.slow() AS value FROM ${stand.SOURCE} WHERE id = 1`);
  });
  await stand.forget(bed);
  const group = stand.groupOf(bed, "slow", names);
  try {
    const runs = [await group.run(), await group.run()];
    const history = await stand.outcomes(bed);
    const figures = runs.map(({ invocation, lines }, index): [string, string] => [
      index === 0 ? "without a history" : "with one",
      `${stand.milliseconds(invocation.durationMs, 0)}, ${invocation.outcome}, ` +
        `${lines.filter((line) => line.includes("Put off")).length} put off`,
    ]);
    stand.printFigures(print, `The same, the first view takes ${SLOW_SECONDS} s`, [
      ...figures,
      ["outcomes", JSON.stringify(history)],
    ]);
  } finally {
    await group.stop();
  }
}

/** Every view fails, each for itself: the longest that a run can have to say. */
async function measureFailing(bed: Bed, group: stand.Group, print: stand.Print): Promise<void> {
  await withClient(bed.connection, (client) =>
    client.query("REVOKE ALL ON ALL TABLES IN SCHEMA load FROM matview_refresher"),
  );
  const { invocation, lines } = await group.run();
  stand.printFigures(print, "The same, all fail of a missing right", [
    ["a run", `${stand.milliseconds(invocation.durationMs, 0)}, ${invocation.outcome}`],
    ["its error", stand.kilobytes(Buffer.byteLength(invocation.error?.errorMessage ?? ""))],
    ["its lines", `${lines.length}, ${stand.kilobytes(bytesOf(lines))}`],
  ]);
}

const bytesOf = (lines: string[]): number =>
  lines.reduce((sum, line) => sum + Buffer.byteLength(line) + 1, 0);
