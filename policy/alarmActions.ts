/** What happens when an alarm goes off: its own actions, and those of the composite alarms that name it. */
import { alarmsOfRule } from "./compositeRule";
import { readFlag, readList, readText, withDefault } from "./reading";
import { textRefersTo, type Relation, type StackFacts } from "./relations";
import { TYPE, type Resource } from "./resource";

type Actions = "some" | "none" | "unknown";

/** A resource that acts when an alarm goes off: the alarm, or a composite alarm. */
export interface Teller {
  resource: Resource;
  /** Whether it has actions that are enabled. A list made of topics of the stack is never empty. */
  actions: Actions;
  /** `unclear`: a preview cannot tell whether the composite alarm names this alarm. */
  relation: Exclude<Relation, "no">;
}

/** The alarm itself, and every composite alarm that names it, or that names such a composite alarm. */
export function tellersOf(alarm: Resource, facts: StackFacts): Teller[] {
  const tellers: Teller[] = [{ resource: alarm, actions: ownActionsOf(alarm), relation: "yes" }];
  const composites = facts.ofType(TYPE.compositeAlarm);
  // The list grows while it is walked, by composite alarms that name one already in it.
  for (const { resource: named, relation: outer } of tellers) {
    for (const resource of composites) {
      if (tellers.some((teller) => teller.resource === resource)) continue;
      const inner = relationTo(resource, named);
      if (inner === "no") continue;
      const relation = outer === "yes" ? inner : "unclear";
      tellers.push({ resource, actions: ownActionsOf(resource), relation });
    }
  }
  return tellers;
}

/** Whether anything is done when an alarm goes off. */
export function actionsOf(alarm: Resource, facts: StackFacts): Actions {
  const tellers = tellersOf(alarm, facts).filter(({ actions }) => actions !== "none");
  if (tellers.length === 0) return "none";
  return tellers.some(({ actions, relation }) => actions === "some" && relation === "yes")
    ? "some"
    : "unknown";
}

function ownActionsOf({ props, propertyDependencies }: Resource): Actions {
  const enabled = withDefault(readFlag(props, "actionsEnabled"), true);
  if (enabled.state === "known" && !enabled.value) return "none";
  const actions = readList(props, "alarmActions");
  if (enabled.state === "unknown") return "unknown";
  if (actions.state === "unknown") {
    const sources = propertyDependencies.alarmActions ?? [];
    return sources.some(({ type }) => type === TYPE.topic) ? "some" : "unknown";
  }
  return actions.state === "known" && actions.value.length > 0 ? "some" : "none";
}

/** Whether a composite alarm goes off with another alarm. A rule not known yet may name its sources negated. */
function relationTo(composite: Resource, alarm: Resource): Relation {
  const rule = readText(composite.props, "alarmRule");
  if (rule.state === "absent") return "no";
  if (rule.state === "known") {
    const relations = alarmsOfRule(rule.value).map((text) => textRefersTo(text, alarm));
    return relations.find((relation) => relation === "yes") ?? relations.find((r) => r === "unclear") ?? "no";
  }
  const sources = composite.propertyDependencies.alarmRule ?? [];
  return sources.length === 0 || sources.some(({ urn }) => urn === alarm.urn) ? "unclear" : "no";
}
