import { defaultStalenessSeconds, firesWithinSeconds } from "../../components/plan/alarmWindows";
import { MAX_STALENESS_TAG } from "../../components/plan/plan";
import { METRIC, METRIC_NAMESPACE, metricDimensions } from "../../handler/metricNames";
import type { QualifiedName } from "../../handler/settings";
import type { AlarmReading, WatchedMetric } from "../alarmReading";
import { known, readNumber, readText, type Reading } from "../reading";
import { watches, type RefreshFunction, type StackFacts } from "../relations";
import { defineRule } from "../rule";
import { densestSchedule, ticksOf } from "../ticks";
import type { Verdicts } from "../verdict";
import { viewsOf } from "../views";

/**
 * Periods that CloudWatch looks further back when data is missing and nothing fills the gaps: AWS's own example
 * shows a range of 5 for 3 evaluation periods, and says that it may be another number.
 */
const LOOK_BACK_PERIODS = 2;

interface StaleConfig {
  /** 0: what the component would promise. */
  maxStalenessSeconds: number;
}

/** Only the absence of success shows a dead schedule, a function that cannot start, a network that is gone. */
export const staleAlarm = defineRule<StaleConfig>({
  name: "stale-alarm",
  description:
    "Every view has an alarm that goes off, in the promised time, when refreshes stop for any reason.",
  remedy:
    "Take the component's stale alarm. By hand: fewer than 1 success (or invocation) in a window, missing data " +
    "breaching, periods that fit the promise.",
  severity: "critical",
  schema: {
    maxStalenessSeconds: {
      type: "integer",
      minimum: 0,
      default: 0,
      description:
        "The promise of hand-written functions, in seconds; 0 takes what the component would promise for their " +
        "schedule and timeout. The component's own promise is in its rule's tag.",
    },
  },
  judgeStack(facts, { maxStalenessSeconds }, verdicts) {
    for (const fn of facts.refreshes) judge(fn, facts, maxStalenessSeconds, verdicts);
  },
});

function judge(fn: RefreshFunction, facts: StackFacts, configuredSeconds: number, verdicts: Verdicts): void {
  const views = viewsOf(fn.resource.props);
  const { urn } = fn.resource;
  if (views.state === "unknown") return verdicts.judgedAtUpdate(`the views of ${fn.name}`, urn);
  const promise = promiseOf(fn, configuredSeconds);
  if (promise.state === "unknown") {
    return verdicts.judgedAtUpdate(`the promised staleness of ${fn.name} (${promise.path})`, urn);
  }
  if (views.state === "absent") {
    // A function of another make: its runs are all that can be watched.
    const isSilence = ({ namespace, name }: WatchedMetric) =>
      known(namespace) === "AWS/Lambda" && known(name) === "Invocations";
    const candidates = fn.alarms.filter(({ metrics }) => metrics.some(isSilence));
    const missing = `${fn.name} has no alarm that goes off when it stops running (Invocations of AWS/Lambda below 1).`;
    return judgeCandidates(candidates, { fn, facts, missing, promise }, verdicts);
  }
  for (const view of views.value.views) {
    const candidates = facts.alarms.filter((alarm) => watchesView(alarm, views.value.group, view));
    const missing =
      `View ${view.schema}.${view.name} has no stale alarm ` +
      `(${METRIC_NAMESPACE} ${METRIC.succeeded}, group and view as dimensions, below 1).`;
    judgeCandidates(candidates, { fn, facts, missing, promise }, verdicts);
  }
}

/** The promise: what the rule's tag says, else what the component would promise for this schedule and timeout. */
function promiseOf(fn: RefreshFunction, configuredSeconds: number): Reading<number> {
  for (const { rule } of fn.triggers) {
    const tag = readNumber(rule.props, "tags", MAX_STALENESS_TAG);
    if (tag.state !== "absent") return tag;
  }
  if (configuredSeconds > 0) return { state: "known", value: configuredSeconds, path: "" };
  const ticks = ticksOf(fn);
  const timeout = readNumber(fn.resource.props, "timeout");
  if (ticks.state === "unknown") return { state: "unknown", path: ticks.path };
  if (timeout.state === "unknown") return timeout;
  if (ticks.state === "none") return { state: "absent", path: "" };
  const { intervalSeconds } = densestSchedule(ticks.triggers);
  // Nobody promised this; an alarm whose gaps are not filled has the time that takes on top.
  const lookBackSeconds = LOOK_BACK_PERIODS * 60;
  const value = defaultStalenessSeconds(intervalSeconds, known(timeout) ?? 3) + lookBackSeconds;
  return { state: "known", value, path: "" };
}

function watchesView(alarm: AlarmReading, group: string, view: QualifiedName): boolean {
  const wanted = metricDimensions(group, view);
  return alarm.metrics.some(
    ({ namespace, name, dimensionsPath }) =>
      known(namespace) === METRIC_NAMESPACE &&
      known(name) === METRIC.succeeded &&
      Object.entries(wanted).every(
        ([dimension, value]) => known(readText(alarm.resource.props, ...dimensionsPath, dimension)) === value,
      ),
  );
}

interface Judged {
  fn: RefreshFunction;
  facts: StackFacts;
  /** What to say where there is no alarm. */
  missing: string;
  promise: Reading<number>;
}

function judgeCandidates(candidates: AlarmReading[], judged: Judged, verdicts: Verdicts): void {
  const { urn } = judged.fn.resource;
  if (candidates.length === 0) {
    const isUnclear = judged.facts.alarms.some(
      (alarm) =>
        alarm.form === "unknown" ||
        watches(alarm, judged.fn.resource) === "unclear" ||
        alarm.metrics.some(
          ({ namespace, name }) => namespace.state === "unknown" || name.state === "unknown",
        ),
    );
    if (isUnclear) verdicts.judgedAtUpdate(`which alarm watches that ${judged.fn.name} goes on`, urn);
    else verdicts.refuse(judged.missing, urn);
    return;
  }
  // One good alarm is enough; of several bad ones, each is named.
  const problems = candidates.map((alarm) => ({ alarm, problem: problemOf(alarm, judged) }));
  if (problems.some(({ problem }) => problem.kind === "none")) return;
  for (const { alarm, problem } of problems) {
    if (problem.kind === "unknown")
      verdicts.judgedAtUpdate(`${problem.text} of alarm ${alarm.name}`, alarm.resource.urn);
    if (problem.kind === "wrong")
      verdicts.refuse(`Stale alarm ${alarm.name} ${problem.text}`, alarm.resource.urn);
  }
}

type Problem = { kind: "none" } | { kind: "unknown" | "wrong"; text: string };

function problemOf(alarm: AlarmReading, { promise }: Judged): Problem {
  const metric = alarm.metrics[0];
  const { comparison, threshold, evaluationPeriods, datapointsToAlarm, treatMissingData } = alarm;
  const readings = [comparison, threshold, evaluationPeriods, datapointsToAlarm, treatMissingData];
  if (metric === undefined) return { kind: "unknown", text: "the metric" };
  for (const reading of [...readings, metric.periodSeconds, metric.statistic]) {
    if (reading.state === "unknown") return { kind: "unknown", text: reading.path };
  }
  const wrong = (text: string): Problem => ({ kind: "wrong", text });
  if (alarm.form === "math")
    return wrong("reads an expression that this rule cannot follow; use FILL(m, 0).");
  const missing = known(treatMissingData);
  if (missing !== "breaching") {
    return wrong(
      `treats missing data as ${missing}: a dead schedule leaves no data and raises nothing. Use breaching.`,
    );
  }
  const limit = known(threshold) ?? NaN;
  const breaches =
    (known(comparison) === "LessThanThreshold" && limit > 0) ||
    (known(comparison) === "LessThanOrEqualToThreshold" && limit >= 0);
  if (!breaches || (alarm.form === "filled" && (alarm.fillWith ?? 0) > limit)) {
    return wrong(`does not breach when there is no success (${known(comparison)} ${limit}).`);
  }
  const isCount = ["Sum", "SampleCount"].includes(known(metric.statistic) ?? "");
  if (!isCount && limit > 1)
    return wrong(`has a threshold of ${limit} and does not count (${known(metric.statistic)}).`);
  return lateness(alarm, known(metric.periodSeconds) ?? NaN, promise);
}

/** Whether the alarm keeps the promise. */
function lateness(alarm: AlarmReading, periodSeconds: number, promise: Reading<number>): Problem {
  const datapoints = known(alarm.datapointsToAlarm) ?? 1;
  const lookBack = alarm.form === "filled" ? 0 : LOOK_BACK_PERIODS;
  const withinSeconds = firesWithinSeconds(periodSeconds, datapoints + lookBack);
  if (promise.state !== "known" || withinSeconds <= promise.value) return { kind: "none" };
  const unfilled =
    lookBack === 0 ? "" : `, ${lookBack} of them because nothing fills gaps (FILL(m, 0) would)`;
  return {
    kind: "wrong",
    text:
      `fires within ${withinSeconds} s (${datapoints + lookBack} periods of ${periodSeconds} s${unfilled}, the one in ` +
      `which refreshes stop, and the evaluation); promised are ${promise.value} s.`,
  };
}
