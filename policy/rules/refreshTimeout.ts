/** Rule: the timeout fits the schedule. */
import { mostTimeoutSeconds } from "../../components/time/limits";
import { defineRule } from "../rule";

/** Too long a timeout lets a hung run hold the lock over many ticks. */
export const refreshTimeout = defineRule({
  name: "refresh-timeout",
  description: "A refresh function's timeout fits its schedule.",
  remedy:
    "Set timeoutSeconds (the function's timeout) to at most two intervals (two minutes for shorter ones).",
  severity: "high",
  judgeFunction({ name, timeoutSeconds, ticks }, _config, verdicts) {
    if (timeoutSeconds.state === "unknown" || ticks.state === "unknown") {
      return verdicts.judgedAtUpdate(`whether the timeout of ${name} fits its schedule`);
    }
    if (timeoutSeconds.state === "absent" || ticks.state === "absent") return;
    const { schedule, description } = ticks.value;
    const most = mostTimeoutSeconds(schedule);
    if (timeoutSeconds.value <= most) return;
    verdicts.refuse(
      `The timeout of ${name} is ${timeoutSeconds.value} s; ${description} allows ${most} s at the most: a hung run ` +
        `would hold back more than one further tick. Set timeoutSeconds to ${most} or less, or a slower refreshRate.`,
    );
  },
});
