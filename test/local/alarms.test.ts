import assert from "node:assert/strict";
import { makePlan } from "../../components/plan/plan";
import { parseSettings } from "../../components/settings/parseSettings";
import { METRIC, METRIC_NAMESPACE, metricDimensions } from "../../handler/metricNames";
import { AlarmWatch } from "../../local/alarms";
import { readEmbeddedMetrics, type Datapoint } from "../../local/metrics";

const view = { schema: "public", name: "job_progress" };
const settings = parseSettings({ refreshRate: "rate(15 seconds)", timeoutSeconds: 20 }, "local");
const plan = makePlan(settings);

/** What one run leaves; a run that timed out is stamped with its start and known at its end. */
function run(startMs: number, outcome: "refreshed" | "timed out" | "skipped"): Datapoint[] {
  const lambda = { namespace: "AWS/Lambda", dimensions: { FunctionName: plan.names.function } };
  const errors = { ...lambda, name: "Errors", epochMs: startMs, value: outcome === "timed out" ? 1 : 0 };
  if (outcome !== "refreshed") return [errors];
  const dimensions = metricDimensions(plan.group, view);
  const success = { namespace: METRIC_NAMESPACE, name: METRIC.succeeded, dimensions, value: 1 };
  return [errors, { ...success, epochMs: startMs + 300 }];
}

/** Feeds a watch with the ticks of some minutes, a second at a time. @returns changes as text */
function changes(minutes: number, isBroken: (second: number) => boolean): string[] {
  // Metrics are forgotten by the clock of this machine, so the run is one that has just been.
  const startMs = Date.now() - minutes * 60_000;
  const watch = new AlarmWatch(plan.alarms, startMs);
  const seen: string[] = [];
  const arriving = new Map<number, Datapoint[]>();
  let heldUntil = -1;
  for (let second = 0; second <= minutes * 60; second += 1) {
    for (const { alarm, state } of watch.evaluate(startMs + second * 1_000)) {
      seen.push(`${state} ${alarm.kind} ${Math.floor(second / 60)}`);
    }
    if (second % 15 === 0) {
      const outcome = second < heldUntil ? "skipped" : isBroken(second) ? "timed out" : "refreshed";
      if (outcome === "timed out") heldUntil = second + 20;
      const knownAt = outcome === "timed out" ? second + 20 : second;
      arriving.set(knownAt, [...(arriving.get(knownAt) ?? []), ...run(startMs + second * 1_000, outcome)]);
    }
    watch.add(arriving.get(second) ?? []);
  }
  return seen;
}

describe("alarms of a local run", () => {
  it("stay quiet while every tick succeeds", () => {
    assert.deepEqual(
      changes(20, () => false),
      [],
    );
  });

  it("tell of runs that time out while the ticks between are skipped: failing, then stale, then both over", () => {
    const seen = changes(30, (second) => second >= 300 && second < 1_200);
    const kinds = seen.map((change) => change.replace(/ \d+$/, ""));
    assert.deepEqual(kinds, ["ALARM failing", "ALARM stale", "OK failing", "OK stale"], seen.join());
  });

  it("wait for their windows before they judge a run that never succeeds", () => {
    const seen = changes(8, () => true);
    assert.equal(seen.length, 2, seen.join());
    const [failing = "", stale = ""] = seen;
    assert.match(failing, /^ALARM failing 3$/);
    assert.match(stale, /^ALARM stale 4$/);
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
