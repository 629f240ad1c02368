import { Client } from "pg";
import { LambdaFunction } from "../local/lambda/lambdaFunction";
import type { Invocation } from "../local/lambda/lambdaProcess";
import { renderTable } from "../cli/table";
import { describeMachine, makeBed, type Bed } from "./bed";
import { hasPsql, psql } from "./psql";
import { figuresOf, interleave, timed, type Series } from "./statistics";

/** The statement whose time is compared with a whole run of the function. */
const statement = "REFRESH MATERIALIZED VIEW CONCURRENTLY public.job_progress";

/** What `overhead` is asked to measure. */
export interface OverheadOptions {
  objects: number[];
  rounds: number;
  /** For all measurements of one size together. */
  secondsPerSize: number;
}

/** A scheduled event in the form the function takes. */
const event = { source: "aws.events", "detail-type": "Scheduled Event", detail: {} };

/**
 * Times one refresh through the bundle, in a warm process and from a cold start, and through a bare client:
 * the statement on a connection that is open already, connect and statement, and psql where it is installed.
 */
export async function overhead(options: OverheadOptions, print: (line: string) => void): Promise<void> {
  const bed = await makeBed();
  const stopped = (): void => void bed.stop().finally(() => process.exit(130));
  process.once("SIGINT", stopped);
  process.once("SIGTERM", stopped);
  const warm = new LambdaFunction(bed.configuration);
  const bare = new Client(bed.connection);
  try {
    await bare.connect();
    const { version, initMs } = await probe(warm);
    print(`Machine: ${describeMachine(bed.serverVersion)}`);
    print(
      `Bundle: ${(bed.bundle.bytes / 1024).toFixed(0)} KB, loads in ${initMs.toFixed(0)} ms (${version})`,
    );
    for (const objects of options.objects) {
      await bed.refill(objects);
      const ways = await waysOf(bed, warm, bare);
      for (const way of ways) await way.run();
      const series = await interleave(ways, options.rounds, Date.now() + options.secondsPerSize * 1000);
      print("");
      print(`150 jobs, ${objects.toLocaleString("en-US")} objects, ${statement}`);
      print(tableOf(series));
    }
  } finally {
    process.off("SIGINT", stopped);
    process.off("SIGTERM", stopped);
    await bare.end();
    await warm.stop();
    await bed.stop();
  }
}

async function probe(fn: LambdaFunction): Promise<{ version: string; initMs: number }> {
  const invocation = await fn.invoke(event);
  requireRefresh(invocation);
  return { version: "first run of a process", initMs: invocation.initMs ?? 0 };
}

async function waysOf(
  bed: Bed,
  warm: LambdaFunction,
  bare: Client,
): Promise<{ name: string; run: () => Promise<number> }[]> {
  const ways = [
    { name: "statement, open connection", run: () => timed(() => bare.query(statement)) },
    { name: "connect + statement", run: () => timed(() => connectAndRefresh(bed)) },
    { name: "bundle, warm process", run: () => timed(async () => requireRefresh(await warm.invoke(event))) },
    { name: "bundle, cold process", run: () => coldRun(bed) },
  ];
  if (await hasPsql()) ways.push({ name: "psql -c", run: () => timed(() => psql(bed, statement)) });
  return ways;
}

async function connectAndRefresh(bed: Bed): Promise<void> {
  const client = new Client(bed.connection);
  await client.connect();
  await client.query(statement);
  await client.end();
}

/** From the start of the process to the answer. */
async function coldRun(bed: Bed): Promise<number> {
  const fn = new LambdaFunction(bed.configuration);
  try {
    return await timed(async () => requireRefresh(await fn.invoke(event)));
  } finally {
    await fn.stop();
  }
}

function requireRefresh(invocation: Invocation): void {
  const body = (invocation.value as { body?: string } | undefined)?.body ?? "";
  if (invocation.outcome !== "succeeded" || !body.includes('"refresh_type":"concurrent"')) {
    throw new Error(`a run did not refresh: ${invocation.error?.errorMessage ?? body}`);
  }
}

/** Every series against the first. */
function tableOf(series: Series[]): string {
  const base = figuresOf(series[0]?.samplesMs ?? []);
  const rows = series.map(({ name, samplesMs }) => {
    const { medianMs, p99Ms, runs } = figuresOf(samplesMs);
    const isBase = samplesMs === series[0]?.samplesMs;
    return [
      name,
      medianMs.toFixed(1),
      p99Ms.toFixed(1),
      isBase ? "" : (medianMs - base.medianMs).toFixed(1),
      isBase ? "" : (medianMs / base.medianMs).toFixed(3),
      String(runs),
    ];
  });
  return renderTable(["", "median ms", "p99 ms", "added ms", "ratio", "runs"], rows, {
    isDecorated: false,
    rightAligned: [1, 2, 3, 4, 5],
  });
}
