import { quantile } from "simple-statistics";

/** Milliseconds of one way of doing something, in the order they were measured. */
export interface Series {
  name: string;
  samplesMs: number[];
}

/** Middle and far end of a series. */
export interface Figures {
  medianMs: number;
  p99Ms: number;
  runs: number;
}

/** @throws Error when nothing was measured */
export function figuresOf(samplesMs: number[]): Figures {
  return {
    medianMs: quantile(samplesMs, 0.5),
    p99Ms: quantile(samplesMs, 0.99),
    runs: samplesMs.length,
  };
}

/**
 * Measures every way once in each round, beginning with another one each time, so that what changes on the
 * machine meanwhile touches all alike and none always comes first.
 * @param deadlineEpochMs no round is begun after this moment, once there were three
 */
export async function interleave(
  ways: { name: string; run: () => Promise<number> }[],
  rounds: number,
  deadlineEpochMs: number,
): Promise<Series[]> {
  const series = ways.map(({ name }): Series => ({ name, samplesMs: [] }));
  for (let round = 0; round < rounds; round += 1) {
    if (round >= 3 && Date.now() > deadlineEpochMs) break;
    for (let offset = 0; offset < ways.length; offset += 1) {
      const index = (round + offset) % ways.length;
      series[index]?.samplesMs.push(await (ways[index] as (typeof ways)[number]).run());
    }
  }
  return series;
}

/** Milliseconds that a piece of work takes. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}
