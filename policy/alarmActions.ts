/** What an alarm does when it goes off. */
import type { AlarmReading } from "./alarmReading";
import { readFlag, readList, withDefault } from "./reading";
import { TYPE } from "./resource";

/** Whether an alarm that goes off does anything. A list made of topics of the stack is never empty. */
export function actionsOf({ resource }: AlarmReading): "some" | "none" | "unknown" {
  const enabled = withDefault(readFlag(resource.props, "actionsEnabled"), true);
  if (enabled.state === "known" && !enabled.value) return "none";
  const actions = readList(resource.props, "alarmActions");
  if (enabled.state === "unknown") return "unknown";
  if (actions.state === "unknown") {
    const sources = resource.propertyDependencies.alarmActions ?? [];
    return sources.some(({ type }) => type === TYPE.topic) ? "some" : "unknown";
  }
  return actions.state === "known" && actions.value.length > 0 ? "some" : "none";
}
