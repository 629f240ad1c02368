import { MAX_STALENESS_TAG } from "../../components/plan/plan";
import { defaultFailedTicks, keepableStalenessSeconds } from "../../components/time/alarmTiming";
import { replayTrouble } from "../../components/time/replay";
import { METRIC, METRIC_NAMESPACE, metricDimensions } from "../../handler/metricNames";
import type { QualifiedName } from "../../handler/settings";
import { ruleOf, type AlarmReading, type WatchedMetric } from "../alarmReading";
import { known, readNumber, readText, withDefault, type Reading } from "../reading";
import { watches, type RefreshFunction, type StackFacts } from "../relations";
import { defineRule } from "../rule";
import { densestSchedule, isSwitchedOff, tickSource, ticksOf } from "../ticks";
import type { Verdicts } from "../verdict";
import { viewsOf } from "../views";

/** Lambda's own default. */
const DEFAULT_TIMEOUT_SECONDS = 3;

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
  if (isSwitchedOff(fn)) {
    return verdicts.remark(
      `Every schedule of ${fn.name} is switched off, so no view is promised to be fresh.`,
      urn,
    );
  }
  if (views.state === "unknown") return verdicts.judgedAtUpdate(`the views of ${fn.name}`, urn);
  const promise = promiseOf(fn, configuredSeconds);
  if (promise.state === "unknown") {
    return verdicts.judgedAtUpdate(`the promised staleness of ${fn.name} (${promise.path})`, urn);
  }
  if (views.state === "absent") {
    // A function of another make: its runs are all that can be watched.
    const isSilence = ({ namespace, name }: WatchedMetric) =>
      known(namespace) === "AWS/Lambda" && known(name) === "Invocations";
    const candidates = fn.alarms.filter(({ metrics }) => metrics.length > 0 && metrics.every(isSilence));
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

/** The promised age: what the rule's tag says, else what the component would promise for this schedule and timeout. */
function promiseOf(fn: RefreshFunction, configuredSeconds: number): Reading<number> {
  for (const { rule } of fn.triggers) {
    const tag = readNumber(rule.props, "tags", MAX_STALENESS_TAG);
    if (tag.state !== "absent") return tag;
  }
  if (configuredSeconds > 0) return { state: "known", value: configuredSeconds, path: "" };
  const ticks = ticksOf(fn);
  const timeout = timeoutOf(fn);
  if (ticks.state === "unknown") return { state: "unknown", path: ticks.path };
  if (timeout.state === "unknown") return timeout;
  if (ticks.state === "none") return { state: "absent", path: "" };
  const timing = {
    schedule: densestSchedule(ticks.triggers),
    timeoutSeconds: known(timeout) ?? DEFAULT_TIMEOUT_SECONDS,
  };
  return { state: "known", value: keepableStalenessSeconds(timing, defaultFailedTicks(timing)), path: "" };
}

function timeoutOf({ resource }: RefreshFunction): Reading<number> {
  return withDefault(readNumber(resource.props, "timeout"), DEFAULT_TIMEOUT_SECONDS);
}

/** Whether an alarm is about the successes of a view and nothing else. */
function watchesView({ metrics, resource }: AlarmReading, group: string, view: QualifiedName): boolean {
  const wanted = Object.entries(metricDimensions(group, view));
  return (
    metrics.length > 0 &&
    metrics.every(
      ({ namespace, name, dimensionsPath }) =>
        known(namespace) === METRIC_NAMESPACE &&
        known(name) === METRIC.succeeded &&
        wanted.every(
          ([dimension, value]) => known(readText(resource.props, ...dimensionsPath, dimension)) === value,
        ),
    )
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
        alarm.isUnclear ||
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

/** Replays a schedule that dies, and holds the alarm against the promise. */
function problemOf(alarm: AlarmReading, { fn, promise }: Judged): Problem {
  const rule = ruleOf(alarm);
  if (rule.state === "unknown") return { kind: "unknown", text: rule.path };
  const wrong = (text: string): Problem => ({ kind: "wrong", text });
  if (rule.state === "beyond") {
    return wrong("reads an expression that this rule cannot follow; use FILL, IF, comparisons, AND and OR.");
  }
  const missing = rule.rule.treatMissingData;
  if (missing !== "breaching") {
    return wrong(
      `treats missing data as ${missing}: a dead schedule leaves no data and raises nothing. Use breaching.`,
    );
  }
  const ticks = ticksOf(fn);
  if (ticks.state !== "known") return { kind: "none" };
  const { transitions, lastSuccessSeconds } = replayTrouble(
    rule.rule,
    tickSource(ticks.triggers),
    { kind: "lost" },
    {
      seriesOf: rule.seriesOf,
    },
  );
  const told = transitions.find(({ state }) => state === "ALARM");
  if (told === undefined) {
    const { comparison, threshold } = rule.rule;
    return wrong(`does not go off when refreshes stop (${comparison} ${threshold}), or has gone off before.`);
  }
  if (promise.state !== "known") return { kind: "none" };
  const timeout = timeoutOf(fn);
  if (timeout.state === "unknown") return { kind: "unknown", text: timeout.path };
  const ageSeconds = Math.ceil(told.atSeconds - lastSuccessSeconds) + (known(timeout) ?? 0);
  if (ageSeconds <= promise.value) return { kind: "none" };
  return wrong(
    `goes off when data may be ${ageSeconds} s old (${ageSeconds - (known(timeout) ?? 0)} s after the last refresh); ` +
      `promised are ${promise.value} s.`,
  );
}
