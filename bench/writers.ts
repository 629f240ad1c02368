import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "pg";
import { inSchema } from "../handler/maintained";
import { renderTable } from "../cli/table";
import type { Maintenance } from "../incremental/maintenance";
import { withClient } from "../local/postgres/database";
import { describeMachine, makeBed, type Bed } from "./bed";
import { BULK, Changes, fillEvenly, makeIncremental, SINGLE } from "./maintained";
import { figuresOf } from "./statistics";

/** What `writers` is asked to measure. */
export interface WritersOptions {
  objects: number;
  rounds: number;
  /** Of writing without, and again with maintenance, in each round. */
  seconds: number;
  writers: number[];
}

/** So many jobs that a thousand objects in a row can each be of another. */
const JOBS = 1_000;
const BULK_ROWS = 1_000;

/** What one transaction does. Where objects are spread, each of a row of them is of another job. */
const WORK = {
  "one row": { rows: 1, isSpread: true },
  "1,000 rows, 2 groups": { rows: BULK_ROWS, isSpread: false },
  "1,000 rows, 1,000 groups": { rows: BULK_ROWS, isSpread: true },
};
type Work = (typeof WORK)[keyof typeof WORK];

/** Latencies, and transactions a second, of one way of writing. */
interface Measured {
  samplesMs: number[];
  perSecond: number[];
}

/**
 * What maintenance costs those who write: the same transactions with the triggers of the logs disabled and enabled, in
 * turn, with and without a wait for the disk at their end.
 */
export async function writers(options: WritersOptions, print: (line: string) => void): Promise<void> {
  const bed = await makeBed();
  const stopped = (): void => void bed.stop().finally(() => process.exit(130));
  process.once("SIGINT", stopped);
  process.once("SIGTERM", stopped);
  try {
    print(`Machine: ${describeMachine(bed.serverVersion)}`);
    await fillEvenly(bed.connection, options.objects, JOBS);
    const maintenance = await makeIncremental(bed.connection);
    const rows: string[][] = [];
    for (const isSynchronous of [true, false]) {
      for (const [name, work] of Object.entries(WORK)) {
        for (const count of options.writers) {
          const measured = await measure(bed, maintenance, { ...options, work, count, isSynchronous });
          rows.push([isSynchronous ? "on" : "off", name, String(count), ...figures(measured)]);
        }
      }
    }
    print(`\nUPDATE of job_objects, ${options.objects.toLocaleString("en-US")} objects, ${JOBS} jobs`);
    print(
      renderTable(
        [
          ...["synchronous commit", "a transaction", "writers", "p50 ms", "maintained", "added", "ratio"],
          ...["p99 ms", "maintained", "a second", "maintained", "ratio"],
        ],
        rows,
        { isDecorated: false, rightAligned: [2, 3, 4, 5, 6, 7, 8, 9, 10, 11] },
      ),
    );
  } finally {
    process.off("SIGINT", stopped);
    process.off("SIGTERM", stopped);
    await bed.stop();
  }
}

interface Case extends WritersOptions {
  work: Work;
  count: number;
  isSynchronous: boolean;
}

async function measure(
  bed: Bed,
  maintenance: Maintenance,
  { objects, rounds, seconds, work, count, isSynchronous }: Case,
): Promise<[Measured, Measured]> {
  const measured: [Measured, Measured] = [
    { samplesMs: [], perSecond: [] },
    { samplesMs: [], perSecond: [] },
  ];
  const half = Math.floor(objects / 2);
  const share = Math.floor(half / count);
  const clients = await Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const client = new Client(bed.connection);
      await client.connect();
      await client.query(`SET synchronous_commit = ${isSynchronous ? "on" : "off"}`);
      return { client, changes: new Changes(1 + index * share + (work.isSpread ? 0 : half), share) };
    }),
  );
  try {
    for (let round = 0; round < rounds; round += 1) {
      for (const isMaintained of round % 2 === 0 ? [false, true] : [true, false]) {
        await setTriggers(bed, maintenance, isMaintained);
        const { samplesMs, perSecond } = measured[isMaintained ? 1 : 0];
        // The first statements of a session plan, and read what they need for it.
        for (const { client, changes } of clients) await write(client, changes, work);
        const state = { isOver: false };
        const started = performance.now();
        const writing = clients.map(async ({ client, changes }) => {
          let written = 0;
          for (; !state.isOver; written += 1) {
            const before = performance.now();
            await write(client, changes, work);
            samplesMs.push(performance.now() - before);
          }
          return written;
        });
        await Promise.race([sleep(seconds * 1_000), Promise.all(writing)]);
        state.isOver = true;
        const written = (await Promise.all(writing)).reduce((sum, each) => sum + each, 0);
        perSecond.push((written * 1_000) / (performance.now() - started));
      }
      await emptyLogs(bed, maintenance);
    }
  } finally {
    await Promise.all(clients.map(({ client }) => client.end()));
  }
  return measured;
}

async function write(client: Client, changes: Changes, { rows }: Work): Promise<void> {
  const [first, last] = changes.take(rows);
  await client.query(
    rows === 1
      ? { name: "single", text: SINGLE, values: [first] }
      : { name: "bulk", text: BULK, values: [first, last] },
  );
}

/** Disabled triggers cost nothing; all else about the tables stays the same. */
async function setTriggers({ connection }: Bed, { logs }: Maintenance, isOn: boolean): Promise<void> {
  const statements = logs.flatMap(({ triggers }) =>
    triggers.map(
      ({ relation, name }) =>
        `ALTER TABLE ${relation.schema}.${relation.name} ${isOn ? "ENABLE" : "DISABLE"} TRIGGER ${name}`,
    ),
  );
  await withClient(connection, (client) => client.query(statements.join(";")));
}

/** As folds would. */
async function emptyLogs({ connection }: Bed, { logs }: Maintenance): Promise<void> {
  await withClient(connection, async (client) => {
    for (const { name } of logs) await client.query(`TRUNCATE ${inSchema(name)}`);
    await client.query("VACUUM public.job_objects");
  });
}

function figures([without, maintained]: [Measured, Measured]): string[] {
  const [before, after] = [figuresOf(without.samplesMs), figuresOf(maintained.samplesMs)];
  const [beforeRate, afterRate] = [without, maintained].map(({ perSecond }) => figuresOf(perSecond).medianMs);
  const rate = (value = 0): string => Math.round(value).toLocaleString("en-US");
  return [
    ...[before.medianMs, after.medianMs, after.medianMs - before.medianMs].map((ms) => ms.toFixed(3)),
    (after.medianMs / before.medianMs).toFixed(2),
    ...[before.p99Ms, after.p99Ms].map((ms) => ms.toFixed(2)),
    ...[rate(beforeRate), rate(afterRate)],
    ((afterRate ?? 0) / (beforeRate ?? 1)).toFixed(2),
  ];
}
