import { actionsOf } from "../alarmActions";
import type { AlarmReading } from "../alarmReading";
import { METRIC_NAMESPACE } from "../../handler/metricNames";
import { known, readList, readText } from "../reading";
import { refersTo, type RefreshFunction, type StackFacts } from "../relations";
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

function judge(alarm: AlarmReading, facts: StackFacts, verdicts: Verdicts): void {
  const { resource, name } = alarm;
  const actions = actionsOf(alarm);
  if (actions === "none") {
    return verdicts.refuse(
      `Alarm ${name} has no action that is enabled: in production nobody hears it.`,
      resource.urn,
    );
  }
  const list = readList(resource.props, "alarmActions");
  const topics = facts.ofType(TYPE.topic);
  if (list.state !== "known") {
    const sources = resource.propertyDependencies.alarmActions ?? [];
    const own = topics.filter((topic) => sources.some(({ urn }) => urn === topic.urn));
    if (own.some((topic) => hasSubscriber(topic, facts))) return;
    return verdicts.judgedAtUpdate(`whom alarm ${name} tells`, resource.urn);
  }
  const heard = list.value.map((_, index) => {
    const own = topics.find((topic) => refersTo(resource, ["alarmActions", index], topic) === "yes");
    // A topic or another action from outside this stack has its subscribers there.
    return own === undefined || hasSubscriber(own, facts);
  });
  if (heard.includes(true)) return;
  const message = `Alarm ${name} tells only topics of this stack that have no subscription: nobody hears it.`;
  verdicts.refuse(message, resource.urn);
}

function hasSubscriber(topic: Resource, facts: StackFacts): boolean {
  return facts
    .ofType(TYPE.subscription)
    .some((subscription) => refersTo(subscription, ["topic"], topic) === "yes");
}
