import assert from "node:assert/strict";
import { makePlan } from "../../components/plan/plan";
import type { Plan } from "../../components/plan/planTypes";
import { parseSettings } from "../../components/settings/settings";
import { METRIC, METRIC_NAMESPACE, metricDimensions } from "../../handler/metricNames";
import { AlarmWatch } from "../../local/alarms";
import { readEmbeddedMetrics, type Datapoint } from "../../local/metrics";

const startMs = Math.ceil(Date.now() / 3_600_000) * 3_600_000;
const view = { schema: "public", name: "job_progress" };

/** The metrics of one tick, as Lambda and the handler report them. */
function tick(plan: Plan, epochMs: number, succeeded: boolean, durationMs = 100): Datapoint[] {
  const lambda = { namespace: "AWS/Lambda", dimensions: { FunctionName: plan.names.function }, epochMs };
  return [
    { ...lambda, name: "Errors", value: succeeded ? 0 : 1 },
    { ...lambda, name: "Duration", value: durationMs },
    { ...lambda, name: "Throttles", value: 0 },
    {
      namespace: METRIC_NAMESPACE,
      name: succeeded ? METRIC.succeeded : METRIC.failed,
      dimensions: metricDimensions("job_progress", view),
      epochMs,
      value: 1,
    },
  ];
}

/** Runs ticks through the alarms of a plan; `at` says what each tick comes to. @returns changes as text */
function changes(
  refreshRate: string,
  minutes: number,
  at: (minute: number) => { succeeded: boolean; durationMs?: number } | undefined,
): string[] {
  const settings = parseSettings({ refreshRate, timeoutSeconds: 60 }, "local");
  const plan = makePlan(settings, { region: "us-east-1" });
  const watch = new AlarmWatch(plan.alarms, startMs);
  const stepSeconds = settings.schedule.intervalSeconds;
  const seen: string[] = [];
  for (let second = 0; second <= minutes * 60; second += 1) {
    const epochMs = startMs + second * 1000;
    for (const { alarm, state } of watch.evaluate(epochMs)) {
      seen.push(`${state} ${alarm.kind} ${Math.floor(second / 60)}`);
    }
    const outcome = second % stepSeconds === 0 ? at(second / 60) : undefined;
    if (outcome) watch.add(tick(plan, epochMs, outcome.succeeded, outcome.durationMs));
  }
  return seen;
}

describe("alarms of a local run", () => {
  it("stay quiet while every tick succeeds", () => {
    for (const rate of ["rate(15 seconds)", "rate(1 minute)", "rate(5 minutes)"]) {
      assert.deepEqual(
        changes(rate, 60, () => ({ succeeded: true })),
        [],
        rate,
      );
    }
  });

  it("forgive a single failure, raise on three in a row, and come back", () => {
    const single = changes("rate(1 minute)", 20, (minute) => ({ succeeded: minute !== 5 }));
    assert.deepEqual(single, []);
    const broken = changes("rate(1 minute)", 30, (minute) => ({ succeeded: minute < 5 || minute >= 15 }));
    assert.ok(
      broken.includes("ALARM failing 8"),
      `the third failed minute is over at minute 8: ${broken.join()}`,
    );
    assert.ok(
      broken.some((change) => change.startsWith("ALARM stale")),
      broken.join(),
    );
    for (const kind of ["failing", "stale"]) {
      assert.ok(
        broken.some((change) => change.startsWith(`OK ${kind}`)),
        broken.join(),
      );
    }
  });

  it("notice a schedule that died without an error", () => {
    const silent = changes("rate(1 minute)", 30, (minute) => (minute < 5 ? { succeeded: true } : undefined));
    assert.deepEqual(
      silent.map((change) => change.replace(/ \d+$/, "")),
      ["ALARM stale"],
    );
  });

  it("tell of a run that nearly timed out", () => {
    const slow = changes("rate(1 minute)", 10, (minute) => ({
      succeeded: true,
      durationMs: minute === 3 ? 55_000 : 100,
    }));
    assert.deepEqual(slow, ["ALARM slow 4", "OK slow 5"]);
  });

  it("read the handler's embedded metrics and leave other lines alone", () => {
    const line = JSON.stringify({
      _aws: {
        Timestamp: 5,
        CloudWatchMetrics: [
          { Namespace: "N", Dimensions: [["group", "view"]], Metrics: [{ Name: "M", Unit: "Count" }] },
        ],
      },
      group: "g",
      view: "v",
      M: 2,
    });
    assert.deepEqual(readEmbeddedMetrics(line), [
      { namespace: "N", name: "M", dimensions: { group: "g", view: "v" }, epochMs: 5, value: 2 },
    ]);
    assert.equal(readEmbeddedMetrics("[2025-11-09 10:00:00] Connecting to database..."), undefined);
    assert.equal(readEmbeddedMetrics('{"level":"INFO"}'), undefined);
  });
});
