import Table from "cli-table3";
import { makePlan, type Plan } from "../components/plan/plan";
import { parseSettings } from "../components/settings/parseSettings";
import { mostTimeoutSeconds } from "../components/time/limits";
import { datapointsOf, replayAlarm, type Course } from "../components/time/replay";
import { parseRefreshRate, sampleTicksWithin } from "../components/time/schedule";

const RATES = ["12 seconds", "30 seconds", "1 minute", "5 minutes", "15 minutes", "1 hour", "1 day"];
const TIMEOUTS_SECONDS = [10, 60, 120, 300, 600];

/** What every tick comes to from some moment on, given the timeout. */
const TROUBLES: Record<string, (timeoutSeconds: number) => Course> = {
  "fails at once": () => ({ kind: "failed", seconds: 0.2 }),
  "no server": () => ({ kind: "unreachable" }),
  "times out": (timeoutSeconds) => ({ kind: "failed", seconds: timeoutSeconds }),
  "no ticks": () => ({ kind: "lost" }),
};

/** Prints how long after the last refresh an alarm goes off at the most: the worst of many replays, in seconds. */
export function alarms(print: (line: string) => void): void {
  const kinds = Object.keys(TROUBLES);
  const table = new Table({
    head: ["rate", "timeout", "failedTicks", ...kinds, "promised silence", "promised age"],
    style: { head: [], border: [], compact: true },
  });
  for (const rate of RATES) {
    for (const timeoutSeconds of TIMEOUTS_SECONDS) {
      const refreshRate = `rate(${rate})`;
      if (timeoutSeconds > mostTimeoutSeconds(parseRefreshRate(refreshRate))) continue;
      const plan = makePlan(parseSettings({ refreshRate, timeoutSeconds }, "local"));
      const age = plan.maxStalenessSeconds;
      table.push([
        rate,
        timeoutSeconds,
        plan.failedTicks,
        ...Object.values(TROUBLES).map((trouble) => worst(plan, trouble(timeoutSeconds))),
        age - timeoutSeconds,
        age,
      ]);
    }
  }
  print(
    "Seconds from the last refresh to the alarms failing / stale; the worst of 20 phases with metrics up to a",
  );
  print("minute late. slow stayed silent in all of them.");
  print(table.toString());
}

function worst(plan: Plan, course: Course): string {
  const { schedule, maxStalenessSeconds, settings } = plan;
  const { timeoutSeconds } = settings;
  const troubleSeconds = maxStalenessSeconds + 2 * schedule.intervalSeconds;
  const ticks = sampleTicksWithin(schedule, 3 * troubleSeconds);
  const fromSeconds = ticks[0] ?? 0;
  const seconds: Record<string, number | undefined> = {};
  for (let phase = 0; phase < 20; phase += 1) {
    const points = datapointsOf(
      ticks.map((tick) => ({
        atSeconds: tick + phase * 3,
        course: tick - fromSeconds < troubleSeconds ? { kind: "refreshed", seconds: 0.3 } : course,
      })),
      { timeoutSeconds, lateSeconds: () => (phase * 3) % 61 },
    );
    const lastSuccess = points.filter(({ series }) => series === "success").at(-1)?.stampSeconds ?? 0;
    for (const alarm of plan.alarms) {
      const span = {
        fromSeconds: fromSeconds + ((phase * 7) % 60),
        toSeconds: fromSeconds + 3 * troubleSeconds,
      };
      const told = replayAlarm(alarm, points, span).find(({ state }) => state === "ALARM");
      if (told === undefined) continue;
      if (alarm.kind === "slow") throw new Error(`slow goes off at ${schedule.refreshRate}`);
      seconds[alarm.kind] = Math.max(seconds[alarm.kind] ?? 0, Math.round(told.atSeconds - lastSuccess));
    }
  }
  return `${seconds.failing ?? "-"} / ${seconds.stale ?? "-"}`;
}
