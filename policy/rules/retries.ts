/** Rule: a failed tick is not run again, and a late one is dropped. */
import { mostEventAgeSeconds } from "../../components/time/limits";
import { defineRule } from "../rule";

/** The next tick is the retry; a tick from hours ago refreshes nothing that the last one did not. */
export const retries = defineRule({
  name: "retries",
  description: "A failed tick is not run again, and a late one is dropped: the next tick is the retry.",
  remedy:
    "Give the function a FunctionEventInvokeConfig with maximumRetryAttempts 0 and maximumEventAgeInSeconds of one " +
    "interval (60 at the least).",
  severity: "high",
  judgeFunction({ name, asyncInvocation, ticks }, _config, verdicts) {
    const { retries: attempts, eventAgeSeconds } = asyncInvocation;
    if ([attempts, eventAgeSeconds, ticks].some(({ state }) => state === "unknown")) {
      verdicts.judgedAtUpdate(`what happens to failed and late ticks of ${name}`);
    }
    if (attempts.state === "known" && attempts.value !== 0) {
      verdicts.refuse(
        `Lambda runs a failed tick of ${name} ${attempts.value} times more. Give it a FunctionEventInvokeConfig with ` +
          "maximumRetryAttempts 0.",
      );
    }
    if (eventAgeSeconds.state !== "known" || ticks.state !== "known") return;
    const { schedule, description } = ticks.value;
    const most = mostEventAgeSeconds(schedule);
    if (eventAgeSeconds.value <= most) return;
    verdicts.refuse(
      `An event of ${name} may wait ${eventAgeSeconds.value} s; at ${description} the next tick is there after at ` +
        `most ${most} s. Give it a FunctionEventInvokeConfig with maximumEventAgeInSeconds ${most}.`,
    );
  },
});
