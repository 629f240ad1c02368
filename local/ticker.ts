/** The clock of a run. */
import { setTimeout as sleep } from "node:timers/promises";
import { nextTick, type Schedule } from "../components/time/schedule";

/** A timer is never set for longer: the wall clock may be moved, and a laptop may sleep. */
const longestSleepMs = 30_000;

/**
 * Calls `onTick` at every tick of the schedule until `endEpochMs` (a tick at that very moment included), until
 * the schedule has no more ticks, or until `stop`. A tick does not wait for what the one before it began. Ticks
 * that went by while the machine slept are lost, as a late tick is worthless.
 */
export async function runTicks(
  schedule: Schedule,
  endEpochMs: number,
  stop: AbortSignal,
  onTick: (tickEpochMs: number) => void,
): Promise<void> {
  let tickEpochMs = nextTick(schedule, Date.now());
  while (tickEpochMs !== undefined && tickEpochMs <= endEpochMs) {
    await sleepUntil(tickEpochMs, stop);
    if (stop.aborted) return;
    onTick(tickEpochMs);
    const missedUntilMs = Date.now() - schedule.intervalSeconds * 1000;
    tickEpochMs = nextTick(schedule, Math.max(tickEpochMs, missedUntilMs));
  }
  await sleepUntil(endEpochMs, stop);
}

/** Resolves at the time by the wall clock, or as soon as `stop` is given; never rejects. */
export async function sleepUntil(epochMs: number, stop: AbortSignal): Promise<void> {
  while (!stop.aborted && Date.now() < epochMs) {
    // A timer may fire a millisecond early by the wall clock: the loop waits out the rest.
    const waitMs = Math.min(epochMs - Date.now(), longestSleepMs);
    await sleep(Math.max(1, waitMs), undefined, { signal: stop }).catch(() => undefined);
  }
}
