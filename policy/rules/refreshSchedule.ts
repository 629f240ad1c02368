/** Rule: a schedule reaches the function. */
import { nameOf } from "../resource";
import { defineRule } from "../rule";

/** A refresh that nothing triggers is the most silent of failures; the other rules count its ticks from here. */
export const refreshSchedule = defineRule({
  name: "refresh-schedule",
  description: "Every refresh function is reached by a schedule that AWS accepts.",
  remedy:
    "Give the function an EventBridge rule with a schedule expression and a target on the function (or on a queue mapped to it).",
  severity: "critical",
  judgeFunction({ name, triggers }, _config, verdicts) {
    for (const { rule, schedule, fault } of triggers.found) {
      const what = `schedule of ${nameOf(rule)}, which triggers ${name}`;
      if (fault !== undefined) verdicts.refuse(`The ${what}: ${fault}`, rule.urn);
      else if (schedule.state === "unknown") verdicts.judgedAtUpdate(`the ${what}`, rule.urn);
    }
    if (triggers.found.length > 0) return;
    if (triggers.isUnclear) return verdicts.judgedAtUpdate(`what triggers ${name}`);
    verdicts.refuse(
      `No schedule of this stack reaches ${name}, so its views grow old unseen. Give it an EventBridge rule and a ` +
        "target; where another stack has them, make refresh-schedule advisory.",
    );
  },
});
