import { tellersOf, type Teller } from "../alarmActions";
import type { AlarmReading } from "../alarmReading";
import { METRIC_NAMESPACE } from "../../handler/metricNames";
import { known, readList, readText } from "../reading";
import { refersTo, type RefreshFunction, type Relation, type StackFacts } from "../relations";
import { TYPE, type Resource } from "../resource";
import { defineRule } from "../rule";
import { stageOf, stageSchema, type StageConfig } from "../stages";
import type { Verdicts } from "../verdict";
import { viewsOf } from "../views";

/** In production somebody has to hear an alarm: an action, and a subscriber behind its topic. */
export const alarmSubscribers = defineRule<StageConfig>({
  name: "alarm-subscribers",
  description: "In production every alarm of a refresh tells somebody.",
  remedy: "Set alarmEmails or alarmTopicArns; give a topic of your own a subscription.",
  severity: "high",
  schema: stageSchema,
  judgeStack(facts, config, verdicts) {
    for (const fn of facts.refreshes) {
      const stage = stageOf(fn.resource, config);
      if (stage === "unknown")
        verdicts.judgedAtUpdate(`whether ${fn.name} is in production`, fn.resource.urn);
      if (stage !== "production") continue;
      for (const alarm of alarmsOf(fn, facts)) judge(alarm, facts, verdicts);
    }
  },
});

/** Alarms on Lambda's metrics of the function, and on the handler's of its group. */
function alarmsOf(fn: RefreshFunction, facts: StackFacts): AlarmReading[] {
  const group = known(viewsOf(fn.resource.props))?.group;
  const ofGroup = facts.alarms.filter(({ resource, metrics }) =>
    metrics.some(
      ({ namespace, dimensionsPath }) =>
        group !== undefined &&
        known(namespace) === METRIC_NAMESPACE &&
        known(readText(resource.props, ...dimensionsPath, "group")) === group,
    ),
  );
  return [...new Set([...fn.alarms, ...ofGroup])];
}

function judge({ resource, name }: AlarmReading, facts: StackFacts, verdicts: Verdicts): void {
  const tellers = tellersOf(resource, facts).filter(({ actions }) => actions !== "none");
  if (tellers.length === 0) {
    return verdicts.refuse(
      `Alarm ${name} has no action that is enabled: in production nobody hears it.`,
      resource.urn,
    );
  }
  const heard = tellers.map((teller) => hears(teller, facts));
  if (heard.includes("yes")) return;
  if (heard.includes("unclear")) return verdicts.judgedAtUpdate(`whom alarm ${name} tells`, resource.urn);
  const message = `Alarm ${name} tells only topics of this stack that have no subscription: nobody hears it.`;
  verdicts.refuse(message, resource.urn);
}

/** Whether somebody hears one of the resources that act for an alarm. */
function hears({ resource, actions, relation }: Teller, facts: StackFacts): Relation {
  const heard = hearsActions(resource, facts);
  return heard === "yes" && (actions === "unknown" || relation === "unclear") ? "unclear" : heard;
}

function hearsActions(resource: Resource, facts: StackFacts): Relation {
  const list = readList(resource.props, "alarmActions");
  const topics = facts.ofType(TYPE.topic);
  if (list.state !== "known") {
    const sources = resource.propertyDependencies.alarmActions ?? [];
    const own = topics.filter((topic) => sources.some(({ urn }) => urn === topic.urn));
    return own.some((topic) => subscribed(topic, facts) === "yes") ? "yes" : "unclear";
  }
  const heard = list.value.map((_, index): Relation => {
    const relations = topics.map((topic) => ({
      topic,
      to: refersTo(resource, ["alarmActions", index], topic),
    }));
    const own = relations.find(({ to }) => to === "yes")?.topic;
    if (own !== undefined) return subscribed(own, facts);
    // A topic or another action from outside this stack has its subscribers there.
    return relations.some(({ to }) => to === "unclear") ? "unclear" : "yes";
  });
  return heard.find((relation) => relation === "yes") ?? heard.find((r) => r === "unclear") ?? "no";
}

/** Whether a topic of the stack has a subscription. */
function subscribed(topic: Resource, facts: StackFacts): Relation {
  const relations = facts
    .ofType(TYPE.subscription)
    .map((subscription) => refersTo(subscription, ["topic"], topic));
  return relations.find((relation) => relation === "yes") ?? relations.find((r) => r === "unclear") ?? "no";
}
