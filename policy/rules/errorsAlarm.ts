/** Rule: an alarm on errors that can fire. */
import { replayTrouble, type Datapoint } from "../../components/time/replay";
import { ruleOf, type ReplayableRule } from "../alarms";
import { known } from "../reading";
import { defineRule } from "../rule";
import type { Ticks } from "../triggers";

/** An alarm that can never fire is worse than none: it looks like safety. */
export const errorsAlarm = defineRule({
  name: "errors-alarm",
  description: "Every refresh function has an alarm on its own Errors that can fire.",
  remedy:
    "Take the component's own alarm (alarms.failedTicks), or lower threshold and periods until the errors of a " +
    "period can pass them.",
  severity: "critical",
  judgeFunction({ name, alarms, hasUnclearAlarm, ticks, asyncInvocation }, _config, verdicts) {
    const rules = alarms
      .filter(({ metrics }) => metrics.some((metric) => known(metric.name) === "Errors"))
      .map((alarm) => ({ alarm, rule: ruleOf(alarm) }));
    if (rules.every(({ rule }) => rule.state === "absent")) {
      if (hasUnclearAlarm) return verdicts.judgedAtUpdate(`which alarm watches the errors of ${name}`);
      return verdicts.refuse(
        `${name} has no alarm on its Errors (AWS/Lambda, FunctionName=${name}) that can be replayed. Take the ` +
          "component's (alarms.failedTicks), or read Errors by itself or through FILL, IF, comparisons, AND and OR.",
      );
    }
    const { retries } = asyncInvocation;
    for (const { alarm, rule } of rules) {
      const unknown = [rule, ticks, retries].find(({ state }) => state === "unknown");
      const { urn } = alarm.resource;
      if (unknown) verdicts.judgedAtUpdate(`whether alarm ${alarm.name} can fire (${unknown.path})`, urn);
      if (rule.state !== "known" || ticks.state !== "known" || retries.state !== "known") continue;
      const problem = firingProblem(rule.value, ticks.value, retries.value);
      if (problem) verdicts.refuse(`Alarm ${alarm.name} of ${name} can never fire: ${problem}`, urn);
    }
  },
});

/** When Lambda runs a failed tick again: a minute after the failure, then two. */
const RETRIES_AFTER_SECONDS = [60, 120];

/** What keeps an alarm silent when every tick fails, with the numbers; undefined where it goes off. */
function firingProblem(
  { rule, seriesOf }: ReplayableRule,
  ticks: Ticks,
  retries: number,
): string | undefined {
  const retriesAfterSeconds = RETRIES_AFTER_SECONDS.slice(0, retries);
  const failure = { kind: "failed", seconds: 0 } as const;
  const { transitions, points } = replayTrouble(rule, ticks, failure, { seriesOf, retriesAfterSeconds });
  if (transitions.some(({ state }) => state === "ALARM")) return undefined;
  const { comparison, threshold, periodSeconds, evaluationPeriods, datapointsToAlarm } = rule;
  const most = mostErrors(points, periodSeconds);
  return (
    `it needs ${comparison} ${threshold} in ${datapointsToAlarm} of ${evaluationPeriods} periods of ${periodSeconds} s, ` +
    `and when every tick of ${ticks.description} fails (with ${retries} retries), a period holds at most ${most} ` +
    `${most === 1 ? "error" : "errors"}. Lower the threshold below that, with periods that ticks fill, or use ` +
    "alarms.failedTicks."
  );
}

/** The most errors in so many seconds, beginning at any of them. */
function mostErrors(points: Datapoint[], seconds: number): number {
  const errors = points.filter(({ series, value }) => series === "errors" && value > 0);
  const counts = errors.map(({ stampSeconds: from }, index) => {
    const after = errors.slice(index).findIndex(({ stampSeconds }) => stampSeconds >= from + seconds);
    return after === -1 ? errors.length - index : after;
  });
  return Math.max(0, ...counts);
}
