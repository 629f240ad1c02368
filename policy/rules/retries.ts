import { mostEventAgeSeconds } from "../../components/time/limits";
import { known, readNumber, withDefault } from "../reading";
import { invokeConfigOf, refersTo, type RefreshFunction, type StackFacts } from "../relations";
import { TYPE } from "../resource";
import { defineRule } from "../rule";
import { densestSchedule, describeTicks, ticksOf } from "../ticks";
import type { Verdicts } from "../verdict";
import { DEFAULT_ASYNC_RETRIES } from "./errorsAlarm";

/** Lambda's default and longest age of an event. */
const DEFAULT_EVENT_AGE_SECONDS = 21_600;

/** The next tick is the retry; a tick from hours ago refreshes nothing that the last one did not. */
export const retries = defineRule({
  name: "retries",
  description: "A failed tick is not run again, and a late one is dropped: the next tick is the retry.",
  remedy:
    "Give the function a FunctionEventInvokeConfig with maximumRetryAttempts 0 and maximumEventAgeInSeconds of one " +
    "interval (60 at the least).",
  severity: "high",
  judgeStack(facts, _config, verdicts) {
    for (const fn of facts.refreshes) judge(fn, facts, verdicts);
  },
});

function judge(fn: RefreshFunction, facts: StackFacts, verdicts: Verdicts): void {
  const config = invokeConfigOf(facts, fn.resource);
  if (config === undefined) {
    const { urn } = fn.resource;
    const isUnclear = facts
      .ofType(TYPE.invokeConfig)
      .some((candidate) => refersTo(candidate, ["functionName"], fn.resource) === "unclear");
    if (isUnclear)
      return verdicts.judgedAtUpdate(`which FunctionEventInvokeConfig is that of ${fn.name}`, urn);
    return verdicts.refuse(
      `${fn.name} has no FunctionEventInvokeConfig, so Lambda runs a failed tick ${DEFAULT_ASYNC_RETRIES} times more ` +
        `and keeps a late one for ${DEFAULT_EVENT_AGE_SECONDS} s.`,
      urn,
    );
  }
  const attempts = withDefault(readNumber(config.props, "maximumRetryAttempts"), DEFAULT_ASYNC_RETRIES);
  if (attempts.state === "unknown") verdicts.judgedAtUpdate(`the retries of ${fn.name}`, config.urn);
  else if (known(attempts) !== 0) {
    const number = known(attempts);
    verdicts.refuse(
      `Lambda runs a failed tick of ${fn.name} ${number} times more; it must be 0.`,
      config.urn,
    );
  }
  const age = withDefault(readNumber(config.props, "maximumEventAgeInSeconds"), DEFAULT_EVENT_AGE_SECONDS);
  const ticks = ticksOf(fn);
  if (age.state === "unknown" || ticks.state === "unknown") {
    return verdicts.judgedAtUpdate(`the age at which events of ${fn.name} are dropped`, config.urn);
  }
  if (age.state === "absent" || ticks.state === "none") return;
  const most = mostEventAgeSeconds(densestSchedule(ticks.triggers));
  if (age.value <= most) return;
  verdicts.refuse(
    `An event of ${fn.name} may wait ${age.value} s; at ${describeTicks(ticks.triggers)} the next tick is there after ` +
      `at most ${most} s.`,
    config.urn,
  );
}
