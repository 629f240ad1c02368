import { replayTrouble, type Datapoint } from "../../components/time/replay";
import { actionsOf } from "../alarmActions";
import { ruleOf, type AlarmReading, type ReplayableRule } from "../alarmReading";
import { known, readNumber, withDefault, type Reading } from "../reading";
import { invokeConfigOf, watches, type RefreshFunction, type StackFacts } from "../relations";
import { defineRule } from "../rule";
import { stageOf, stageSchema, type StageConfig } from "../stages";
import { describeTicks, tickSource, ticksOf, type Ticking } from "../ticks";
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
  const beyond = ownAlarms.filter((alarm) => ruleOf(alarm).state === "beyond");
  const followed = ownAlarms.filter((alarm) => !beyond.includes(alarm));
  const firings = followed.map((alarm) => judgeFiring(alarm, fn, facts, verdicts));
  for (const alarm of beyond) judgeMath(alarm, fn, firings, hasUnclearAlarm(fn, facts), verdicts);
  // Whether metric math goes off is not known, so its action does not stand in for that of an alarm which does.
  judgeActions(followed.length > 0 ? followed : beyond, fn, facts, config, verdicts);
}

function readsErrors({ metrics }: AlarmReading): boolean {
  return metrics.some(({ name }) => known(name) === "Errors");
}

/** Whether an alarm of the stack may watch the function's errors, which a preview cannot tell. */
function hasUnclearAlarm(fn: RefreshFunction, facts: StackFacts): boolean {
  return facts.alarms.some(
    (alarm) =>
      alarm.isUnclear ||
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
    verdicts.refuse(`${problem}; read Errors itself, or by FILL, IF, comparisons, AND and OR.`, urn);
  }
}

function judgeFiring(
  alarm: AlarmReading,
  fn: RefreshFunction,
  facts: StackFacts,
  verdicts: Verdicts,
): Firing {
  const { urn } = alarm.resource;
  const ticks = ticksOf(fn);
  if (ticks.state === "none") return "unjudged";
  const rule = ruleOf(alarm);
  const asyncRetries = asyncRetriesOf(facts, fn);
  for (const reading of [rule, ticks, asyncRetries]) {
    if (reading.state !== "unknown") continue;
    verdicts.judgedAtUpdate(`whether alarm ${alarm.name} can fire (${reading.path})`, urn);
    return "unknown";
  }
  if (rule.state !== "known" || ticks.state !== "known") return "unjudged";
  const problem = firingProblem(rule, ticks.triggers, known(asyncRetries) ?? DEFAULT_ASYNC_RETRIES);
  if (problem === undefined) return "can";
  verdicts.refuse(`Alarm ${alarm.name} of ${fn.name} ${problem}`, urn);
  return "never";
}

/** The retries of a function's asynchronous invocations. */
export function asyncRetriesOf(facts: StackFacts, fn: RefreshFunction): Reading<number> {
  const config = invokeConfigOf(facts, fn.resource);
  if (config === undefined) return { state: "known", value: DEFAULT_ASYNC_RETRIES, path: "" };
  return withDefault(readNumber(config.props, "maximumRetryAttempts"), DEFAULT_ASYNC_RETRIES);
}

/** When Lambda runs a failed tick again: a minute after the failure, then two. */
const RETRIES_AFTER_SECONDS = [60, 120];

/** What is wrong with an alarm that stays silent when every tick fails, with the numbers; undefined where it fires. */
function firingProblem(alarm: ReplayableRule, triggers: Ticking[], asyncRetries: number): string | undefined {
  const { rule } = alarm;
  const { comparison, threshold, periodSeconds, evaluationPeriods, datapointsToAlarm } = rule;
  if (!Number.isFinite(threshold)) return "can never fire: it has no threshold.";
  const retries = RETRIES_AFTER_SECONDS.slice(0, asyncRetries);
  const { transitions, points } = replayTrouble(
    rule,
    tickSource(triggers),
    { kind: "failed", seconds: 0 },
    {
      seriesOf: alarm.seriesOf,
      retriesAfterSeconds: retries,
    },
  );
  if (transitions.some(({ state }) => state === "ALARM")) return undefined;
  const most = mostErrors(points, periodSeconds);
  return (
    `can never fire: it needs ${comparison} ${threshold} in ${datapointsToAlarm} of ${evaluationPeriods} periods of ` +
    `${periodSeconds} s, and when every tick of ${describeTicks(triggers)} fails (with ${asyncRetries} retries), a ` +
    `period holds at most ${most} ${most === 1 ? "error" : "errors"}.`
  );
}

/** The most errors in so many seconds, beginning at any of them. */
function mostErrors(points: Datapoint[], seconds: number): number {
  const stamps = points.flatMap(({ series, value, stampSeconds }) =>
    series === "errors" && value > 0 ? [stampSeconds] : [],
  );
  let most = 0;
  let first = 0;
  stamps.forEach((stamp, index) => {
    while ((stamps[first] ?? 0) <= stamp - seconds) first += 1;
    most = Math.max(most, index - first + 1);
  });
  return most;
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
