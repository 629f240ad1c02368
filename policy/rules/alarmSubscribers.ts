/** Rule: alarms reach somebody. */
import { readFlag, readList, readText, withDefault } from "../reading";
import type { StackFacts } from "../refreshFunctions";
import { refersTo, strongest, type Relation } from "../relations";
import { TYPE, type Resource } from "../resource";
import { defineRule } from "../rule";

/** An alarm that goes off and reaches nobody is no alarm. */
export const alarmSubscribers = defineRule<{ developmentPattern: string }>({
  name: "alarm-subscribers",
  description:
    "Every alarm of a refresh has an action, and its topic a subscriber; in development it may not.",
  remedy:
    "Set alarmEmails or alarmTopicArns; give a topic of your own a subscription. An alarm that acts through a " +
    "composite alarm alone needs an action of its own, or this rule set to advisory.",
  severity: "critical",
  schema: {
    developmentPattern: {
      type: "string",
      minLength: 1,
      format: "regex",
      default: "^(dev|development|sandbox|local)($|[-_.0-9])",
      description:
        "Development: the function's tag environment, or without one the stack's name, matches this (regular " +
        "expression, case ignored).",
    },
  },
  judgeFunction({ resource, name, alarms }, { developmentPattern }, verdicts, facts) {
    const silent: string[] = [];
    for (const alarm of alarms) {
      const told = tellsSomebody(alarm.resource, facts);
      if (told === "no") silent.push(alarm.name);
      if (told === "unclear") verdicts.judgedAtUpdate(`whom alarm ${alarm.name} tells`, alarm.resource.urn);
    }
    if (silent.length === 0) return;
    const message =
      `Alarms of ${name} tell nobody: ${silent.join(", ")}. They have no action that is enabled, or only topics of this ` +
      "stack without a subscription. Set alarmEmails or alarmTopicArns.";
    const tag = readText(resource.props, "tags", "environment");
    const stage = tag.state === "known" ? tag.value : stackOf(resource.urn);
    if (tag.state === "unknown") verdicts.judgedAtUpdate(`the environment tag of ${name}`);
    else if (!new RegExp(developmentPattern, "i").test(stage)) verdicts.refuse(message);
    else verdicts.remark(`${message} Allowed in a development stack.`);
  },
});

/** The stack's name out of a URN, `urn:pulumi:<stack>::…`. */
function stackOf(urn: string): string {
  return urn.split("::", 1)[0]?.split(":")[2] ?? "";
}

/** Whether an alarm has an action that somebody gets. */
function tellsSomebody(alarm: Resource, { ofType }: StackFacts): Relation {
  const enabled = withDefault(readFlag(alarm.props, "actionsEnabled"), true);
  const actions = readList(alarm.props, "alarmActions");
  if (enabled.state === "known" && !enabled.value) return "no";
  if (enabled.state === "unknown") return "unclear";
  const isSubscribed = (topic: Resource): Relation =>
    strongest(ofType(TYPE.subscription).map((subscription) => refersTo(subscription, ["topic"], topic)));
  const topics = ofType(TYPE.topic);
  if (actions.state === "unknown") {
    const sources = alarm.propertyDependencies.alarmActions ?? [];
    const own = topics.filter((topic) => sources.some(({ urn }) => urn === topic.urn));
    return strongest(own.map(isSubscribed)) === "yes" ? "yes" : "unclear";
  }
  if (actions.state === "absent") return "no";
  return strongest(
    actions.value.map((_, index) => {
      const relations = topics.map((topic) => refersTo(alarm, ["alarmActions", index], topic));
      const own = topics[relations.indexOf("yes")];
      if (own !== undefined) return isSubscribed(own);
      // A topic or another action from outside this stack has its subscribers there.
      return relations.includes("unclear") ? "unclear" : "yes";
    }),
  );
}
