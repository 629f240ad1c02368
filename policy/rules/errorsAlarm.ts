import { canHoldErrors } from "../../components/plan/alarmPlan";
import type { AlarmReading, WatchedMetric } from "../alarmReading";
import { actionsOf } from "../alarmActions";
import { stageOf, stageSchema, type StageConfig } from "../stages";
import { known, readNumber, withDefault, type Reading } from "../reading";
import { invokeConfigOf, watches, type RefreshFunction, type StackFacts } from "../relations";
import { defineRule } from "../rule";
import { describeTicks, mostErrorsIn, mostTicksIn, ticksOf, type Ticking } from "../ticks";
import type { Verdicts } from "../verdict";

/** Lambda's default for an asynchronous invocation that fails. */
export const DEFAULT_ASYNC_RETRIES = 2;

/** An alarm that can never fire is worse than none: it looks like safety. */
export const errorsAlarm = defineRule<StageConfig>({
  name: "errors-alarm",
  description: "Every refresh function has an alarm on its own Errors that tells somebody and can fire.",
  remedy:
    "Take the component's own alarm (alarms.failedTicks), or lower threshold and periods until the errors of a " +
    "period can pass them; give the alarm an action.",
  severity: "critical",
  schema: stageSchema,
  judgeStack(facts, config, verdicts) {
    for (const fn of facts.refreshes) judge(fn, facts, config, verdicts);
  },
});

function judge(fn: RefreshFunction, facts: StackFacts, config: StageConfig, verdicts: Verdicts): void {
  const { urn } = fn.resource;
  const ownAlarms = fn.alarms.filter(readsErrors);
  if (ownAlarms.length === 0) {
    if (hasUnclearAlarm(fn, facts))
      verdicts.judgedAtUpdate(`which alarm watches the errors of ${fn.name}`, urn);
    else verdicts.refuse(`${fn.name} has no alarm on its Errors (AWS/Lambda, FunctionName=${fn.name}).`, urn);
    return;
  }
  const math = ownAlarms.filter(({ form }) => form === "math");
  const followed = ownAlarms.filter(({ form }) => form !== "math");
  const firings = followed.map((alarm) => judgeFiring(alarm, fn, facts, verdicts));
  for (const alarm of math) judgeMath(alarm, fn, firings, hasUnclearAlarm(fn, facts), verdicts);
  // Whether metric math goes off is not known, so its action does not stand in for that of an alarm which does.
  judgeActions(followed.length > 0 ? followed : math, fn, facts, config, verdicts);
}

function readsErrors({ metrics }: AlarmReading): boolean {
  return metrics.some(({ name }) => known(name) === "Errors");
}

/** Whether an alarm of the stack may watch the function's errors, which a preview cannot tell. */
function hasUnclearAlarm(fn: RefreshFunction, facts: StackFacts): boolean {
  return facts.alarms.some(
    (alarm) =>
      alarm.form === "unknown" ||
      watches(alarm, fn.resource) === "unclear" ||
      (fn.alarms.includes(alarm) && alarm.metrics.some((metric) => metric.name.state === "unknown")),
  );
}

/** `unjudged`: no ticks of this stack reach the function, so its errors cannot be counted. */
type Firing = "can" | "never" | "unknown" | "unjudged";

/** An expression is not computed here. Beside an alarm that can fire it does no harm, alone it may be silent. */
function judgeMath(
  alarm: AlarmReading,
  fn: RefreshFunction,
  others: Firing[],
  isOtherUnclear: boolean,
  verdicts: Verdicts,
): void {
  const { urn } = alarm.resource;
  const problem = `Alarm ${alarm.name} of ${fn.name} reads an expression that this rule cannot follow`;
  if (others.includes("can") || others.includes("unjudged")) {
    verdicts.remark(`${problem}; another alarm on Errors is the one that is judged.`, urn);
  } else if (others.includes("unknown") || isOtherUnclear) {
    verdicts.judgedAtUpdate(`whether another errors alarm than ${alarm.name} can fire`, urn);
  } else {
    verdicts.refuse(`${problem}; read Errors itself, or FILL(m, 0).`, urn);
  }
}

function judgeFiring(
  alarm: AlarmReading,
  fn: RefreshFunction,
  facts: StackFacts,
  verdicts: Verdicts,
): Firing {
  const { urn } = alarm.resource;
  const metric = alarm.metrics.find(({ name }) => known(name) === "Errors");
  const ticks = ticksOf(fn);
  if (metric === undefined || ticks.state === "none") return "unjudged";
  const numbers = readNumbers(alarm, metric, asyncRetriesOf(facts, fn));
  if (numbers.unknown !== undefined || ticks.state === "unknown") {
    const path = numbers.unknown ?? (ticks.state === "unknown" ? ticks.path : "");
    verdicts.judgedAtUpdate(`whether alarm ${alarm.name} can fire (${path})`, urn);
    return "unknown";
  }
  const problem = firingProblem(numbers.known, ticks.triggers);
  if (problem === undefined) return "can";
  verdicts.refuse(`Alarm ${alarm.name} of ${fn.name} can never fire: ${problem}`, urn);
  return "never";
}

interface AlarmNumbers {
  comparison: string;
  threshold: number;
  statistic: string;
  periodSeconds: number;
  evaluationPeriods: number;
  datapointsToAlarm: number;
  asyncRetries: number;
}

type Numbers = { unknown: string; known?: undefined } | { unknown?: undefined; known: AlarmNumbers };

function readNumbers(alarm: AlarmReading, metric: WatchedMetric, asyncRetries: Reading<number>): Numbers {
  const { comparison, threshold, evaluationPeriods, datapointsToAlarm } = alarm;
  const { statistic, periodSeconds } = metric;
  const readings = [comparison, threshold, evaluationPeriods, datapointsToAlarm, statistic, periodSeconds];
  for (const reading of [...readings, asyncRetries]) {
    if (reading.state === "unknown") return { unknown: reading.path };
  }
  return {
    known: {
      comparison: known(comparison) ?? "",
      threshold: known(threshold) ?? NaN,
      statistic: known(statistic) ?? "",
      periodSeconds: known(periodSeconds) ?? NaN,
      evaluationPeriods: known(evaluationPeriods) ?? 1,
      datapointsToAlarm: known(datapointsToAlarm) ?? 1,
      asyncRetries: known(asyncRetries) ?? DEFAULT_ASYNC_RETRIES,
    },
  };
}

/** The retries of a function's asynchronous invocations. */
export function asyncRetriesOf(facts: StackFacts, fn: RefreshFunction): Reading<number> {
  const config = invokeConfigOf(facts, fn.resource);
  if (config === undefined) return { state: "known", value: DEFAULT_ASYNC_RETRIES, path: "" };
  return withDefault(readNumber(config.props, "maximumRetryAttempts"), DEFAULT_ASYNC_RETRIES);
}

/** Why an alarm can never fire, with the numbers; undefined where it can. */
function firingProblem(alarm: AlarmNumbers, triggers: Ticking[]): string | undefined {
  const { comparison, threshold, statistic, periodSeconds, evaluationPeriods, datapointsToAlarm } = alarm;
  if (!Number.isFinite(threshold) || !Number.isFinite(periodSeconds))
    return "it has no threshold or no period.";
  const errorsPerPeriod = errorsNeeded(comparison, threshold);
  if (errorsPerPeriod === undefined) return `${comparison || "its comparison"} is not about too many errors.`;
  if (datapointsToAlarm > evaluationPeriods) {
    return `it wants ${datapointsToAlarm} datapoints of ${evaluationPeriods} periods.`;
  }
  const counts = statistic === "Sum";
  if (!counts && !["Average", "Maximum"].includes(statistic))
    return `the statistic ${statistic} does not count errors.`;
  // A run counts 0 or 1 error, so any other statistic than the sum is at most 1.
  const mostIn = (seconds: number) => {
    const most = mostErrorsIn(triggers, seconds, alarm.asyncRetries);
    return counts ? most : Math.min(Math.ceil(seconds / periodSeconds), most);
  };
  if (canHoldErrors(mostIn, { errorsPerPeriod, periodSeconds, evaluationPeriods, datapointsToAlarm }))
    return undefined;
  const ticks = mostTicksIn(triggers, periodSeconds);
  return (
    `it needs at least ${errorsPerPeriod} errors (${comparison} ${threshold}) in each of ${datapointsToAlarm} of ` +
    `${evaluationPeriods} periods of ${periodSeconds} s, and at ${describeTicks(triggers)} a period holds at most ` +
    `${mostIn(periodSeconds)} (${ticks} ${ticks === 1 ? "tick" : "ticks"} x (1 + ${alarm.asyncRetries} retries), ` +
    `${statistic}), all periods together ${mostIn(periodSeconds * evaluationPeriods)}.`
  );
}

/** Errors in a period that breach; undefined for a comparison that few errors breach. */
function errorsNeeded(comparison: string, threshold: number): number | undefined {
  if (comparison === "GreaterThanThreshold") return Math.max(0, Math.floor(threshold) + 1);
  if (comparison === "GreaterThanOrEqualToThreshold") return Math.max(0, Math.ceil(threshold));
  return undefined;
}

function judgeActions(
  alarms: AlarmReading[],
  fn: RefreshFunction,
  facts: StackFacts,
  config: StageConfig,
  verdicts: Verdicts,
): void {
  const { urn } = fn.resource;
  const actions = alarms.map(({ resource }) => actionsOf(resource, facts));
  if (actions.includes("some")) return;
  if (actions.includes("unknown")) {
    return verdicts.judgedAtUpdate(`the actions of the errors alarm of ${fn.name}`, urn);
  }
  const message = `No alarm on the Errors of ${fn.name} has an action that is enabled: it goes off and nobody hears it.`;
  const stage = stageOf(fn.resource, config);
  if (stage === "development") verdicts.remark(`${message} Allowed in a development stack.`, urn);
  else if (stage === "unknown") verdicts.judgedAtUpdate(`the environment tag of ${fn.name}`, urn);
  else verdicts.refuse(message, urn);
}
