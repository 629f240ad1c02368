import { Client, type ClientConfig } from "pg";
import { renderTable } from "../cli/table";
import { describeMachine, makeBed } from "./bed";
import { figuresOf } from "./statistics";

/** What `readers` is asked to measure. */
export interface ReadersOptions {
  objects: number;
  rounds: number;
  readers: number;
}

type Phase = "no refresh" | "concurrent refresh" | "plain refresh";

const refreshes: Record<Exclude<Phase, "no refresh">, string> = {
  "concurrent refresh": "REFRESH MATERIALIZED VIEW CONCURRENTLY public.job_progress",
  "plain refresh": "REFRESH MATERIALIZED VIEW public.job_progress",
};
const idleMs = 500;

/** A query as a page of the scanner would send it. */
const query = "SELECT * FROM public.job_progress WHERE status = 'running' ORDER BY job_id";

/**
 * Several readers query the view without a pause while, in turn, nothing, a concurrent and a plain refresh runs.
 * A query counts for the phase in which it was sent.
 */
export async function readers(options: ReadersOptions, print: (line: string) => void): Promise<void> {
  const bed = await makeBed();
  const stopped = (): void => void bed.stop().finally(() => process.exit(130));
  process.once("SIGINT", stopped);
  process.once("SIGTERM", stopped);
  const clients: Client[] = [];
  try {
    print(`Machine: ${describeMachine(bed.serverVersion)}`);
    await bed.refill(options.objects);
    const measured = await measure(bed.connection, options, clients);
    print(
      `\n${options.readers} readers of job_progress, ${options.objects.toLocaleString("en-US")} objects, ` +
        `${options.rounds} refreshes of each kind in turn`,
    );
    const rows = [...measured].map(([phase, samplesMs]) => {
      const { medianMs, p99Ms, runs } = figuresOf(samplesMs);
      const worstMs = samplesMs.reduce((worst, sample) => Math.max(worst, sample), 0);
      return [phase, medianMs.toFixed(2), p99Ms.toFixed(2), worstMs.toFixed(1), runs.toLocaleString("en-US")];
    });
    print(
      renderTable(["readers during", "p50 ms", "p99 ms", "worst ms", "queries"], rows, {
        isDecorated: false,
        rightAligned: [1, 2, 3, 4],
      }),
    );
  } finally {
    process.off("SIGINT", stopped);
    process.off("SIGTERM", stopped);
    await Promise.all(clients.map((client) => client.end().catch(() => undefined)));
    await bed.stop();
  }
}

async function measure(
  connection: ClientConfig,
  { rounds, readers: readerCount }: ReadersOptions,
  clients: Client[],
): Promise<Map<Phase, number[]>> {
  const open = async (): Promise<Client> => {
    const client = new Client(connection);
    await client.connect();
    clients.push(client);
    return client;
  };
  const refresher = await open();
  const measured = new Map<Phase, number[]>([
    ["no refresh", []],
    ["concurrent refresh", []],
    ["plain refresh", []],
  ]);
  const state: { phase: Phase; over: boolean } = { phase: "no refresh", over: false };
  const read = async (client: Client): Promise<void> => {
    while (!state.over) {
      const samples = measured.get(state.phase);
      const started = performance.now();
      await client.query(query);
      samples?.push(performance.now() - started);
    }
  };
  const reading = Promise.all((await Promise.all(Array.from({ length: readerCount }, open))).map(read));
  try {
    for (let round = 0; round < rounds; round += 1) {
      const kinds = Object.entries(refreshes) as [Exclude<Phase, "no refresh">, string][];
      for (const [phase, statement] of round % 2 === 0 ? kinds : kinds.reverse()) {
        state.phase = "no refresh";
        await Promise.race([reading, new Promise((resolve) => setTimeout(resolve, idleMs))]);
        state.phase = phase;
        await refresher.query(statement);
      }
    }
  } finally {
    state.over = true;
    await reading;
  }
  return measured;
}
