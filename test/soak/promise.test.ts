import assert from "node:assert/strict";
import fc from "fast-check";
import { makePlan, type AlarmPlan, type Plan } from "../../components/plan/plan";
import { parseSettings } from "../../components/settings/parseSettings";
import { METRIC, METRIC_NAMESPACE, groupDimensions, metricDimensions } from "../../handler/metricNames";
import type { Datapoint } from "../../local/metrics";
import { Dice } from "../../soak/dice";
import { judgePromises, type Judgement } from "../../soak/judge/alarms/promise";
import { Recorder, type Facts } from "../../soak/judge/alarms/record";
import type { HistoryRow } from "../../soak/judge/historyRows";
import { plantedRun } from "./runs";

const views = ["soak.balance", "soak.summary"];

const planOf = (fullEvery: string): Plan =>
  makePlan(
    parseSettings(
      {
        ...{ refreshRate: "rate(1 minute)", timeoutSeconds: 8, groupName: "soak" },
        views: views.map((name) => ({ name, incremental: { fullEvery } })),
      },
      "local",
    ),
  );
const plan = planOf("rate(1 day)");

/** What becomes of a tick: of the run, and of the first view where that is another matter. */
type Course =
  | "refreshed"
  | "full"
  | "slow"
  | "failed"
  | "timed out"
  | "throttled"
  | "lost"
  /** The run is killed when all is committed and nothing told. */
  | "killed late"
  | "drift found"
  /** COMMIT's answer is lost; what is tried again finds no drift. */
  | "drift not known"
  /** The first view is refreshed, the second fails. */
  | "half";

const START_SECONDS = 1_800_000_000;
const SPAN = { fromSeconds: START_SECONDS + 17, toSeconds: START_SECONDS + 120 * 60 };

/** Two hours of ticks. */
function world(courseOf: (tick: number) => Course, of = plan, seed = 7): Facts {
  const recorder = new Recorder(of, { virtualOf: (ms) => ms }, new Dice(seed));
  for (let tick = 0; tick < 120; tick += 1) {
    const startMs = (START_SECONDS + tick * 60 + 1) * 1_000;
    const course = courseOf(tick);
    if (course === "lost") continue;
    if (course === "throttled") recorder.throttled(startMs);
    else live(recorder, of, startMs, course);
  }
  return recorder.facts;
}

function live(recorder: Recorder, of: Plan, startMs: number, course: Course): void {
  const takesMs = course === "slow" ? 7_500 : course === "timed out" ? 8_000 : 300;
  const endMs = startMs + takesMs;
  const isDone = course !== "failed" && course !== "timed out";
  const done = isDone ? (course === "half" ? views.slice(0, 1) : views) : [];
  const isTold = course !== "killed late" && course !== "timed out";
  const outcome = {
    "killed late": "crashed",
    "timed out": "timedOut",
    failed: "failed",
    half: "failed",
  } as const;
  const run = plantedRun(
    {
      outcome: course in outcome ? outcome[course as keyof typeof outcome] : "succeeded",
      ...{ startedEpochMs: startMs, durationMs: takesMs },
    },
    (report) => {
      for (const view of done.map(named)) {
        report.refreshing(view);
        if (isTold)
          report.finished({
            ...{ view: { ...view, allowBlocking: false }, outcome: "refreshed", refreshType: "incremental" },
            ...{ durationSeconds: 0.1, asOf: undefined, stalenessSeconds: undefined, statistics: {} },
          });
      }
    },
  );
  const isFull = course === "full" || course.startsWith("drift");
  const drift = course === "drift found" ? 3 : 0;
  recorder.run({
    ...run,
    endedEpochMs: endMs,
    metrics: isTold ? metricsOf(of, done, endMs, { isFull, drift, runSeconds: takesMs / 1_000 }) : [],
  });
  const row = (view: string, rowDrift: number): HistoryRow => ({
    ...{ id: startMs + views.indexOf(view), view, oid: 1, outcome: "refreshed" },
    ...{ refreshType: isFull ? "full" : "incremental", drift: isFull ? rowDrift : null, sqlstate: null },
    ...{
      asOfUs: (startMs + 10) * 1_000,
      startedUs: (startMs + 10) * 1_000,
      finishedUs: (endMs - 20) * 1_000,
    },
    runId: run.invocation.requestId,
  });
  const lost = course === "drift not known" ? done.map((view) => row(view, 3)) : [];
  recorder.rows([...lost, ...done.map((view) => row(view, drift))]);
}

function metricsOf(
  of: Plan,
  done: string[],
  epochMs: number,
  { isFull, drift, runSeconds }: { isFull: boolean; drift: number; runSeconds: number },
): Datapoint[] {
  const point = (dimensions: Record<string, string>, name: string, value: number): Datapoint => ({
    ...{ namespace: METRIC_NAMESPACE, name, dimensions, epochMs, value },
  });
  return [
    ...done.flatMap((view) => [
      point(metricDimensions(of.group, named(view)), METRIC.succeeded, 1),
      point(metricDimensions(of.group, named(view)), METRIC.fullRuns, isFull ? 1 : 0),
      ...(isFull ? [point(metricDimensions(of.group, named(view)), METRIC.drift, drift)] : []),
    ]),
    ...(done.length === views.length
      ? [point(groupDimensions(of.group), METRIC.runDuration, runSeconds)]
      : []),
  ];
}

function named(view: string): { schema: string; name: string } {
  const [schema = "", name = ""] = view.split(".");
  return { schema, name };
}

/** The plan with one of its alarms spoilt. */
const tampered = (kind: AlarmPlan["kind"], change: Partial<AlarmPlan>, of = plan): Plan => ({
  ...of,
  alarms: of.alarms.map((alarm) => (alarm.kind === kind ? { ...alarm, ...change } : alarm)),
});

const raised = ({ alarms }: Judgement): string[] => [
  ...new Set(
    alarms
      .filter(({ transitions }) => transitions.some(({ state }) => state === "ALARM"))
      .map(({ kind }) => kind),
  ),
];

const convicted = (judgement: Judgement, kind: string, expected: RegExp): void => {
  const texts = judgement.broken.map(({ alarm, what }) => `${alarm}: ${what}`);
  assert.ok(
    texts.some((text) => text.startsWith(kind) && expected.test(text)),
    texts.join("\n") || "nothing broken",
  );
};

const during =
  (from: number, to: number, course: Course) =>
  (tick: number): Course =>
    tick >= from && tick < to ? course : "refreshed";

describe("the judge of the alarms' promises", () => {
  const courses: [string, (tick: number) => Course, string[]][] = [
    ["nothing but success", () => "refreshed", []],
    ["an outage whose runs fail", during(20, 50, "failed"), ["failing", "stale"]],
    ["an outage whose runs time out", during(20, 50, "timed out"), ["failing", "stale"]],
    ["a schedule that is dead", during(20, 50, "lost"), ["stale"]],
    ["ticks that are refused", during(20, 50, "throttled"), ["stale", "throttled"]],
    ["one tick that is refused", during(20, 21, "throttled"), ["throttled"]],
    ["runs that are slow", during(20, 30, "slow"), ["slow"]],
    ["one run that is slow", during(20, 21, "slow"), []],
    ["two failed runs", during(20, 22, "failed"), []],
    ["drift", during(20, 21, "drift found"), ["drift"]],
    ["drift of which its run never knew", during(20, 21, "drift not known"), []],
    ["full runs one after the other", during(20, 60, "full"), ["fullRuns"]],
    ["a view that fails alone", during(20, 50, "half"), ["failing", "stale"]],
    ["no success from the beginning", () => "failed", ["failing", "stale"]],
  ];
  for (const [title, courseOf, expected] of courses) {
    it(`${title}: ${expected.join(", ") || "no alarm"}, and no promise is broken`, () => {
      const judgement = judgePromises(plan, world(courseOf), SPAN);
      assert.deepEqual(judgement.broken, []);
      assert.deepEqual(raised(judgement).sort(), expected);
    });
  }

  it("convicts no alarm of the plan's, whatever comes one after the other", function () {
    this.timeout(60_000);
    const course = fc.constantFrom<Course>(
      ...(["refreshed", "full", "slow", "failed", "timed out", "throttled", "lost", "killed late"] as const),
      ...(["drift found", "drift not known", "half"] as const),
    );
    const episodes = fc.array(fc.record({ course, ticks: fc.integer({ min: 1, max: 12 }) }), {
      maxLength: 20,
    });
    const phase = fc.integer({ min: 0, max: 59 });
    fc.assert(
      fc.property(episodes, phase, fc.nat(), (story, phaseSeconds, seed) => {
        const courses = story.flatMap((each) => Array<Course>(each.ticks).fill(each.course));
        const facts = world((tick) => courses[tick] ?? "refreshed", plan, seed);
        const span = { ...SPAN, fromSeconds: START_SECONDS + phaseSeconds };
        assert.deepEqual(judgePromises(plan, facts, span).broken, []);
      }),
      { numRuns: 60 },
    );
  });

  it("refreshes that nobody could tell of raise alarms, which is no false alarm", () => {
    const judgement = judgePromises(plan, world(during(20, 50, "killed late")), SPAN);
    assert.deepEqual(judgement.broken, []);
    assert.deepEqual(raised(judgement).sort(), ["failing", "stale"]);
    assert.deepEqual(judgement.stretches, [], "readers got new data with every tick");
  });

  it("tells each stretch without a success, and how long its alarms took", () => {
    const judgement = judgePromises(plan, world(during(20, 50, "failed")), SPAN);
    assert.equal(judgement.stretches.length, views.length);
    for (const { fromSeconds, toSeconds, ...after } of judgement.stretches) {
      const { failingAfterSeconds = 0, staleAfterSeconds = 0 } = after;
      assert.ok(Math.abs(toSeconds - fromSeconds - 31 * 60) < 2);
      assert.ok(failingAfterSeconds > 180 && failingAfterSeconds <= staleAfterSeconds);
      assert.ok(staleAfterSeconds < plan.maxStalenessSeconds);
    }
  });

  const outage = during(20, 50, "failed");
  const never: Partial<AlarmPlan> = { threshold: -1, comparison: "LessThanThreshold" };
  const always: Partial<AlarmPlan> = { threshold: 0, comparison: "GreaterThanOrEqualToThreshold" };
  const silent: [AlarmPlan["kind"], (tick: number) => Course, RegExp][] = [
    ["stale", outage, /s without a refresh were not told/],
    ["stale", outage, /data got older than \d+ s, and nobody was told/],
    ["failing", outage, /failed runs were not told/],
    ["slow", during(20, 30, "slow"), /runs that took over 6\.4 s were not told/],
    ["throttled", during(20, 21, "throttled"), /a tick that was refused was not told/],
    ["drift", during(20, 21, "drift found"), /drift that a full run found was not told/],
    ["fullRuns", during(20, 60, "full"), /full runs were not told/],
  ];
  for (const [kind, courseOf, expected] of silent) {
    it(`convicts a ${kind} alarm that never goes off: ${expected.source}`, () => {
      convicted(judgePromises(tampered(kind, never), world(courseOf), SPAN), kind, expected);
    });
  }
  for (const kind of ["stale", "failing", "slow", "throttled", "drift", "fullRuns"] as const) {
    it(`convicts a ${kind} alarm that always goes off`, () => {
      const judgement = judgePromises(
        tampered(kind, { ...always, treatMissingData: "breaching" }),
        world(() => "refreshed"),
        SPAN,
      );
      convicted(judgement, kind, /it (was on|went off)/);
      assert.ok(judgement.broken.every(({ alarm }) => alarm.startsWith(kind)));
    });
  }

  it("convicts a stale alarm that looks back further than it says", () => {
    convicted(
      judgePromises(tampered("stale", { periodSeconds: 600 }), world(outage), SPAN),
      "stale",
      /were not told/,
    );
  });

  it("convicts an alarm that comes before its window was full", () => {
    const { broken } = judgePromises(
      tampered("stale", { warmUpSeconds: 0 }),
      world(during(0, 3, "lost")),
      SPAN,
    );
    assert.match(broken[0]?.what ?? "", /before its window was full/);
  });

  it("convicts an alarm that reads another view's metric", () => {
    const [balance, summary] = plan.alarms.filter(({ kind }) => kind === "stale");
    assert.ok(balance && summary);
    const swapped = {
      ...plan,
      alarms: plan.alarms.map((each) => (each === summary ? { ...summary, metrics: balance.metrics } : each)),
    };
    convicted(
      judgePromises(swapped, world(during(20, 50, "half")), SPAN),
      "stale-soak.summary",
      /were not told/,
    );
  });

  it("convicts a plan without an alarm", () => {
    const without = { ...plan, alarms: plan.alarms.filter(({ kind }) => kind !== "stale") };
    convicted(judgePromises(without, world(outage), SPAN), "stale", /there is none/);
  });

  it("convicts a refresh that no metric tells of, though its run knew", () => {
    const facts = world(() => "refreshed");
    const points = facts.points.filter(
      ({ name, stampSeconds }) =>
        name !== METRIC.succeeded ||
        stampSeconds < START_SECONDS + 6_000 ||
        stampSeconds > START_SECONDS + 6_060,
    );
    convicted(judgePromises(plan, { ...facts, points }, SPAN), "stale of", /was told by no metric/);
  });

  it("convicts alarms of metrics that come later than the plan reckons with, and no others", () => {
    const facts = world(() => "refreshed");
    const late = (seconds: number): Facts => ({
      ...facts,
      points: facts.points.map((point) => ({ ...point, knownAtSeconds: point.stampSeconds + seconds })),
    });
    assert.deepEqual(judgePromises(plan, late(60), SPAN).broken, []);
    assert.deepEqual(raised(judgePromises(plan, late(60), SPAN)), []);
    assert.ok(raised(judgePromises(plan, late(600), SPAN)).includes("stale"));
  });

  it("takes data for as old as the view that it reads, whose own alarm tells of it", () => {
    const facts = world(during(20, 50, "lost"));
    // The second view is refreshed all the while, out of the first, which is not.
    const asOfSeconds = START_SECONDS + 19 * 60 + 1;
    const byHand = Array.from({ length: 30 }, (_, index) => START_SECONDS + (20 + index) * 60 + 1);
    const dimensions = metricDimensions(plan.group, named("soak.summary"));
    const told: Facts = {
      ...facts,
      points: [
        ...facts.points,
        ...byHand.map((at) => ({
          ...{ namespace: METRIC_NAMESPACE, name: METRIC.succeeded, dimensions, value: 1 },
          ...{ stampSeconds: at, knownAtSeconds: at },
        })),
      ],
      refreshes: [
        ...facts.refreshes,
        ...byHand.map((at) => ({
          ...{ view: "soak.summary", finishedSeconds: at, asOfSeconds, type: "incremental", drift: null },
          isKnownToRun: true,
        })),
      ],
    };
    assert.deepEqual(judgePromises(plan, told, SPAN, { "soak.summary": ["soak.balance"] }).broken, []);
    convicted(judgePromises(plan, told, SPAN), "stale-soak.summary", /data got older/);
  });
});
