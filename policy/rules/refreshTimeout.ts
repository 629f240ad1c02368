import { LONGEST_TIMEOUT_SECONDS, mostTimeoutSeconds } from "../../components/time/limits";
import { readNumber, withDefault, type Properties, type Reading } from "../reading";
import type { RefreshFunction } from "../relations";
import { defineRule } from "../rule";
import { densestSchedule, describeTicks, ticksOf } from "../ticks";
import type { Verdicts } from "../verdict";

interface TimeoutConfig {
  leastSeconds: number;
  mostSeconds: number;
}

/** Lambda's own default. */
const DEFAULT_TIMEOUT_SECONDS = 3;

/** Too short a timeout kills every refresh; too long a one lets a hung run hold the lock over many ticks. */
export const refreshTimeout = defineRule<TimeoutConfig>({
  name: "refresh-timeout",
  description: "A refresh function's timeout fits its schedule.",
  remedy:
    "Set timeoutSeconds (the function's timeout) to at most two intervals (two minutes for shorter ones).",
  severity: "high",
  schema: {
    leastSeconds: {
      type: "integer",
      minimum: 1,
      maximum: LONGEST_TIMEOUT_SECONDS,
      default: 3,
      description: "Shortest timeout of a refresh function, in seconds.",
    },
    mostSeconds: {
      type: "integer",
      minimum: 0,
      maximum: LONGEST_TIMEOUT_SECONDS,
      default: 0,
      description: "Longest timeout, in seconds; 0: what its schedule allows, as for the settings.",
    },
  },
  judgeFunction({ name, props }, { leastSeconds, mostSeconds }, verdicts) {
    const timeout = timeoutOf(props);
    if (timeout.state === "unknown") return verdicts.judgedAtUpdate(`the timeout of ${name}`);
    if (timeout.state === "absent") return;
    const most = mostSeconds > 0 ? mostSeconds : LONGEST_TIMEOUT_SECONDS;
    if (timeout.value >= leastSeconds && timeout.value <= most) return;
    verdicts.refuse(
      `The timeout of ${name} is ${timeout.value} s; ${leastSeconds} to ${most} s are allowed.`,
    );
  },
  judgeStack(facts, _config, verdicts) {
    for (const fn of facts.refreshes) judgeSchedule(fn, verdicts);
  },
});

function timeoutOf(props: Properties): Reading<number> {
  return withDefault(readNumber(props, "timeout"), DEFAULT_TIMEOUT_SECONDS);
}

function judgeSchedule(fn: RefreshFunction, verdicts: Verdicts): void {
  const timeout = timeoutOf(fn.resource.props);
  const ticks = ticksOf(fn);
  if (timeout.state === "unknown" || ticks.state === "unknown") {
    verdicts.judgedAtUpdate(`whether the timeout of ${fn.name} fits its schedule`, fn.resource.urn);
    return;
  }
  if (timeout.state === "absent" || ticks.state === "none") return;
  const mostSeconds = mostTimeoutSeconds(densestSchedule(ticks.triggers));
  if (timeout.value <= mostSeconds) return;
  verdicts.refuse(
    `The timeout of ${fn.name} is ${timeout.value} s; ${describeTicks(ticks.triggers)} allows ${mostSeconds} s ` +
      "at the most: a hung run would hold back more than one further tick.",
    fn.resource.urn,
  );
}
