/** Rule: each view has an alarm on refreshes that do not come. */
import { MAX_STALENESS_TAG } from "../../components/plan/plan";
import { replayTrouble } from "../../components/time/replay";
import { METRIC, METRIC_NAMESPACE, metricDimensions } from "../../handler/metricNames";
import type { QualifiedName } from "../../handler/settings";
import { ruleOf, type AlarmReading } from "../alarms";
import { known, readNumber, readText, type Reading } from "../reading";
import type { RefreshFunction } from "../refreshFunctions";
import { defineRule } from "../rule";
import { isSwitchedOff } from "../triggers";

/** Only the absence of success shows a dead schedule, a function that cannot start, a network that is gone. */
export const staleAlarm = defineRule({
  name: "stale-alarm",
  description:
    "Every view has an alarm that goes off, in the promised time, when refreshes stop for any reason.",
  remedy:
    "Take the component's stale alarm. By hand: fewer than 1 success in a window, missing data breaching, periods " +
    "that fit maxStalenessSeconds.",
  severity: "critical",
  judgeFunction(fn, _config, verdicts) {
    const { name, views, group, triggers, alarms, hasUnclearAlarm } = fn;
    if (isSwitchedOff(triggers)) return;
    if (views.state === "unknown" || group.state === "unknown") {
      return verdicts.judgedAtUpdate(`the views of ${name}`);
    }
    for (const view of known(views) ?? []) {
      const candidates = alarms.filter((alarm) => watchesView(alarm, known(group) ?? "", view));
      for (const alarm of candidates) {
        const { unknown, problem } = replayed(alarm, fn);
        if (unknown) verdicts.judgedAtUpdate(`${unknown} (alarm ${alarm.name})`, alarm.resource.urn);
        if (problem) verdicts.refuse(`Stale alarm ${alarm.name} ${problem}`, alarm.resource.urn);
      }
      if (candidates.length > 0) continue;
      if (hasUnclearAlarm) verdicts.judgedAtUpdate(`which alarm watches view ${view.name}`);
      else {
        verdicts.refuse(
          `View ${view.schema}.${view.name} has no stale alarm. Take the component's, or make one on ` +
            `${METRIC.succeeded} of ${METRIC_NAMESPACE} with group and view as dimensions, below 1, missing data breaching.`,
        );
      }
    }
  },
});

/** The promised age of the data, which the component writes into a tag of its rule. */
function promiseOf({ triggers }: RefreshFunction): Reading<number> {
  const tags = triggers.found.map(({ rule }) => readNumber(rule.props, "tags", MAX_STALENESS_TAG));
  return tags.find(({ state }) => state !== "absent") ?? { state: "absent", path: "tags" };
}

/** Whether an alarm is about the successes of a view and nothing else. */
function watchesView({ metrics, resource }: AlarmReading, group: string, view: QualifiedName): boolean {
  const dimensions = Object.entries(metricDimensions(group, view));
  return metrics.every(
    ({ name, dimensionsPath }) =>
      known(name) === METRIC.succeeded &&
      dimensions.every(
        ([dimension, value]) => known(readText(resource.props, ...dimensionsPath, dimension)) === value,
      ),
  );
}

/** Replays a schedule that dies: what is wrong with the alarm and its promise, or what of it is not known yet. */
function replayed(alarm: AlarmReading, fn: RefreshFunction): { problem?: string; unknown?: string } {
  const { ticks, timeoutSeconds } = fn;
  const reading = ruleOf(alarm);
  const promise = promiseOf(fn);
  const unknown = [reading, ticks, timeoutSeconds, promise].find(({ state }) => state === "unknown");
  if (unknown) return { unknown: unknown.path };
  if (reading.state !== "known") {
    return { problem: "cannot be replayed. Use one metric, or FILL, IF, comparisons, AND and OR." };
  }
  if (ticks.state !== "known") return {};
  const { rule, seriesOf } = reading.value;
  const { transitions, lastSuccessSeconds } = replayTrouble(
    rule,
    ticks.value,
    { kind: "lost" },
    { seriesOf },
  );
  const told = transitions.find(({ state }) => state === "ALARM");
  const { comparison, threshold, treatMissingData } = rule;
  if (told === undefined || treatMissingData !== "breaching") {
    const problem =
      `does not go off when refreshes stop, or goes off before (${comparison} ${threshold}, missing data ` +
      `${treatMissingData}). Use below 1 and breaching: a dead schedule leaves no data.`;
    return { problem };
  }
  const silentSeconds = Math.ceil(told.atSeconds - lastSuccessSeconds);
  const ageSeconds = silentSeconds + (known(timeoutSeconds) ?? 0);
  if (ageSeconds <= (known(promise) ?? Infinity)) return {};
  const problem =
    `goes off when data may be ${ageSeconds} s old (${silentSeconds} s after the last refresh); promised are ` +
    `${known(promise)} s. Shorten its periods, or raise maxStalenessSeconds.`;
  return { problem };
}
