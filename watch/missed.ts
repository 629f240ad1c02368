/** Ticks that were wanted and of which no run is recorded. Pure. */
import { nextTick, type Schedule } from "../components/time/schedule";

/** What is expected of a view: the plan's schedule, or the rhythm that was seen where there is no plan. */
export type Expected =
  { kind: "schedule"; schedule: Schedule; timeoutSeconds: number } | { kind: "rhythm"; everySeconds: number };

/** Ticks within a slice that never came. */
export interface Missed {
  atMs: number;
  runs: number;
}

/** A tick may come so much later than it was due. */
const LATENESS_SECONDS = 60;

/** Ticks of one view that are counted one by one. */
const MOST_TICKS = 50_000;

/** So many runs are needed to speak of a rhythm, so many of which have to keep it. */
const LEAST_RUNS = 12;
const LEAST_SHARE = 0.8;
const RHYTHM_TOLERANCE = 0.25;

/** The step of a rhythm; undefined for runs without one. @param starts in milliseconds, the newest first. */
export function rhythmOf(starts: number[]): number | undefined {
  const steps = starts.slice(1).map((start, index) => ((starts[index] ?? 0) - start) / 1_000);
  if (steps.length < LEAST_RUNS - 1) return undefined;
  const median = [...steps].sort((a, b) => a - b)[Math.floor(steps.length / 2)] ?? 0;
  const isKept = (step: number): boolean => Math.abs(step - median) <= median * RHYTHM_TOLERANCE;
  if (median < 1 || steps.filter(isKept).length < steps.length * LEAST_SHARE) return undefined;
  // Rounded, so that what was measured with it once holds while the rhythm does.
  const unit = median < 120 ? 1 : 10;
  return Math.max(1, Math.round(median / unit) * unit);
}

/** Seconds that two runs are apart before a tick can be missing between them. */
export function gapSecondsOf(expected: Expected | undefined): number | null {
  if (expected === undefined) return null;
  if (expected.kind === "rhythm") return expected.everySeconds * 1.5;
  const { ticks } = expected.schedule;
  return ticks.kind === "rate" ? ticks.everySeconds * 1.5 : LATENESS_SECONDS * 1.5;
}

/**
 * Ticks without a run, put together by slices.
 * @param gaps where runs began far apart, in seconds since 1970.
 * @param lastStarted when the last run began; a run is recorded when it ends, so the next may still be under way.
 */
export function missedTicks(
  expected: Expected,
  gaps: [fromSeconds: number, toSeconds: number][],
  lastStarted: number | null,
  { nowSeconds, sliceSeconds }: { nowSeconds: number; sliceSeconds: number },
): Missed[] {
  const found = new Map<number, Missed>();
  let left = MOST_TICKS;
  const add = (seconds: number): void => {
    left -= 1;
    const slice = Math.floor(seconds / sliceSeconds);
    const missed = found.get(slice);
    if (missed === undefined) found.set(slice, { atMs: Math.round(seconds * 1_000), runs: 1 });
    else missed.runs += 1;
  };
  const graceSeconds =
    expected.kind === "rhythm" ? expected.everySeconds : expected.timeoutSeconds + LATENESS_SECONDS / 4;
  const tail: typeof gaps = lastStarted === null ? [] : [[lastStarted, Infinity]];
  for (const [from, to] of [...gaps, ...tail]) {
    for (const seconds of dueBetween(expected, from, to)) {
      if (left <= 0 || (to === Infinity && seconds > nowSeconds - graceSeconds)) break;
      add(seconds);
    }
  }
  return [...found.values()].sort((a, b) => a.atMs - b.atMs);
}

/** Ticks that were due after one run and before the next. */
function* dueBetween(expected: Expected, from: number, to: number): Generator<number> {
  if (expected.kind === "schedule" && expected.schedule.ticks.kind === "cron") {
    for (let at = nextTick(expected.schedule, from * 1_000 + 1_000); at !== undefined;) {
      if (at / 1_000 >= to - LATENESS_SECONDS) return;
      yield at / 1_000;
      at = nextTick(expected.schedule, at);
    }
    return;
  }
  // AWS counts a rate from the moment at which the rule was made: from the run before, then.
  const step = stepOf(expected);
  for (let at = from + step; at < to - step / 2; at += step) yield at;
}

function stepOf(expected: Expected): number {
  if (expected.kind === "rhythm") return expected.everySeconds;
  return expected.schedule.ticks.kind === "rate" ? expected.schedule.ticks.everySeconds : 60;
}
