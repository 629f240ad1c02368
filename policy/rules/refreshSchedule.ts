import { nameOf, refersTo, type RefreshFunction, type StackFacts } from "../relations";
import { TYPE } from "../resource";
import { defineRule } from "../rule";
import type { Verdicts } from "../verdict";

/** A refresh that nothing triggers is the most silent of failures; the other rules count its ticks from here. */
export const refreshSchedule = defineRule({
  name: "refresh-schedule",
  description: "Every refresh function is reached by a schedule that AWS accepts.",
  remedy:
    "Give the function an EventBridge rule with a schedule expression and a target on the function (or on a queue mapped to it).",
  severity: "critical",
  judgeStack(facts, _config, verdicts) {
    for (const resource of facts.unclearFunctions) {
      verdicts.judgedAtUpdate(
        `whether ${nameOf(resource)} is a refresh function (its tags or variables)`,
        resource.urn,
      );
    }
    for (const fn of facts.refreshes) judge(fn, facts, verdicts);
  },
});

function judge(fn: RefreshFunction, facts: StackFacts, verdicts: Verdicts): void {
  for (const { rule, schedule } of fn.triggers) {
    if (schedule.state === "faulty") {
      verdicts.refuse(
        `The schedule of ${nameOf(rule)}, which triggers ${fn.name}: ${schedule.problem}`,
        rule.urn,
      );
    } else if (schedule.state === "unknown") {
      verdicts.judgedAtUpdate(`the schedule of ${nameOf(rule)}, which triggers ${fn.name}`, rule.urn);
    }
  }
  if (fn.triggers.length === 0) judgeUntriggered(fn, facts, verdicts);
}

/** A function that no schedule is known to reach. */
function judgeUntriggered(fn: RefreshFunction, facts: StackFacts, verdicts: Verdicts): void {
  const { resource, name, unclearTrigger } = fn;
  if (unclearTrigger !== undefined) {
    return verdicts.judgedAtUpdate(
      `what ${unclearTrigger.name} joins, a rule and ${name} perhaps`,
      unclearTrigger.urn,
    );
  }
  const rules = facts.ofType(TYPE.rule);
  const isOutside = facts
    .ofType(TYPE.target)
    .filter((target) => refersTo(target, ["arn"], resource) === "yes")
    .some((target) => rules.every((rule) => refersTo(target, ["rule"], rule) === "no"));
  if (isOutside) {
    const where = `The rule that triggers ${name} is not in this stack`;
    return verdicts.remark(`${where}; what depends on its schedule is not judged.`, resource.urn);
  }
  verdicts.refuse(`No schedule of this stack reaches ${name}, so its views grow old unseen.`, resource.urn);
}
