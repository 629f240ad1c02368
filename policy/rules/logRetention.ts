import { known, readNumber, readText, type Reading } from "../reading";
import { refersTo, type RefreshFunction, type StackFacts } from "../relations";
import { TYPE, type Resource } from "../resource";
import { defineRule } from "../rule";
import type { Verdicts } from "../verdict";

interface RetentionConfig {
  leastDays: number;
}

/** A log group that Lambda makes by itself is kept, and billed, for ever. */
export const logRetention = defineRule<RetentionConfig>({
  name: "log-retention",
  description: "The log group of every refresh function is made by the stack and has a retention.",
  remedy: "Set logRetentionDays, or make a LogGroup named /aws/lambda/<function> with retentionInDays.",
  severity: "medium",
  schema: {
    leastDays: { type: "integer", minimum: 1, default: 1, description: "Shortest retention, in days." },
  },
  judgeStack(facts, config, verdicts) {
    for (const fn of facts.functions) judge(fn, facts, config, verdicts);
  },
});

function judge(fn: RefreshFunction, facts: StackFacts, config: RetentionConfig, verdicts: Verdicts): void {
  const { resource, name } = fn;
  const stated = readText(resource.props, "loggingConfig", "logGroup");
  const group = facts.ofType(TYPE.logGroup).find((candidate) => isLogGroupOf(candidate, fn, stated));
  if (group !== undefined) return judgeGroup(group, name, config, verdicts);
  const isNameUnclear =
    readText(resource.props, "name").state === "unknown" ||
    facts.ofType(TYPE.logGroup).some(({ props }) => readText(props, "name").state === "unknown");
  if (stated.state === "unknown" || isNameUnclear) {
    verdicts.judgedAtUpdate(`the log group of ${name}`, resource.urn);
  } else if (known(stated) !== undefined && known(stated) !== defaultGroupName(name)) {
    verdicts.remark(
      `Log group ${known(stated)} of ${name} is not in this stack; its retention is not judged.`,
      resource.urn,
    );
  } else {
    verdicts.refuse(
      `${name} has no log group in this stack: Lambda makes ${defaultGroupName(name)} without a retention.`,
      resource.urn,
    );
  }
}

function defaultGroupName(functionName: string): string {
  return `/aws/lambda/${functionName}`;
}

function isLogGroupOf(group: Resource, fn: RefreshFunction, stated: Reading<string>): boolean {
  if (stated.state !== "absent") return refersTo(fn.resource, ["loggingConfig", "logGroup"], group) === "yes";
  return known(readText(group.props, "name")) === defaultGroupName(fn.name);
}

function judgeGroup(
  { props, urn, name }: Resource,
  functionName: string,
  { leastDays }: RetentionConfig,
  verdicts: Verdicts,
): void {
  const days = readNumber(props, "retentionInDays");
  if (days.state === "unknown") return verdicts.judgedAtUpdate(`the retention of log group ${name}`, urn);
  // 0 is how AWS's provider writes "never expires".
  if (days.state === "absent" || days.value === 0) {
    verdicts.refuse(
      `The log group of ${functionName} has no retention: it is kept, and billed, for ever.`,
      urn,
    );
  } else if (days.value < leastDays) {
    verdicts.refuse(
      `The log of ${functionName} is kept ${days.value} days, at least ${leastDays} are asked for.`,
      urn,
    );
  }
}
