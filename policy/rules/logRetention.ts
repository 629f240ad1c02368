/** Rule: a log group of the stack, with a retention. */
import { known, readNumber, readText } from "../reading";
import { isNameOf, refersTo, related } from "../relations";
import { TYPE } from "../resource";
import { defineRule } from "../rule";

/** A log group that Lambda makes by itself is kept, and billed, for ever. */
export const logRetention = defineRule({
  name: "log-retention",
  description: "The log group of every refresh function is made by the stack and has a retention.",
  remedy: "Set logRetentionDays, or make a LogGroup named /aws/lambda/<function> with retentionInDays.",
  severity: "medium",
  isAboutMigrations: true,
  judgeFunction({ resource, name }, _config, verdicts, { ofType }) {
    const path = ["loggingConfig", "logGroup"];
    const stated = readText(resource.props, ...path);
    const lambdaGroup = `/aws/lambda/${name}`;
    const groups = related(ofType(TYPE.logGroup), (group) =>
      stated.state === "absent" ? isNameOf(lambdaGroup, group) : refersTo(resource, path, group),
    );
    const [group] = groups.found;
    const days = group && readNumber(group.props, "retentionInDays");
    const isUnclear = groups.isUnclear || readText(resource.props, "name").state === "unknown";
    if (days?.state === "unknown" || (group === undefined && (isUnclear || stated.state === "unknown"))) {
      return verdicts.judgedAtUpdate(`the log group of ${name}`);
    }
    // A group that is named and not in the stack is there already, with a retention of its own.
    if (group === undefined && stated.state === "known") return;
    // 0 is how AWS's provider writes "never expires".
    if (days && known(days)) return;
    verdicts.refuse(
      `The log of ${name} has no retention: it is kept, and billed, for ever. Set logRetentionDays, or make a LogGroup ` +
        `named ${lambdaGroup} with retentionInDays.`,
    );
  },
});
