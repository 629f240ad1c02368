/**
 * Which resource names which. In a preview the ARN that joins two resources is often not known; the engine then
 * still tells which resource it comes from.
 */
import { known, readText } from "./reading";
import type { Resource } from "./resource";

/** `unclear`: the value is not known yet and nothing tells where it comes from. */
export type Relation = "yes" | "no" | "unclear";

/** Whether a property of one resource names another: by ARN or name, or by where its value comes from. */
export function refersTo(from: Resource, path: (string | number)[], to: Resource): Relation {
  const value = readText(from.props, ...path);
  if (value.state === "absent") return "no";
  if (value.state === "known") return isNameOf(value.value, to);
  const sources = from.propertyDependencies[String(path[0])] ?? [];
  if (sources.length === 0) return "unclear";
  return sources.some(({ urn }) => urn === to.urn) ? "yes" : "no";
}

/** Whether a text is a resource's name or ARN, or the ARN of a version of it. */
export function isNameOf(text: string, { props }: Resource): Relation {
  const name = readText(props, "name");
  const arn = readText(props, "arn");
  if (!text.startsWith("arn:") || arn.state === "absent") {
    return name.state === "unknown" ? "unclear" : known(name) === text ? "yes" : "no";
  }
  if (arn.state === "known") return text === arn.value || text.startsWith(`${arn.value}:`) ? "yes" : "no";
  if (name.state !== "known") return "unclear";
  return [":", "/"].some((mark) => text.endsWith(mark + known(name))) ? "yes" : "no";
}

/** `yes` where one relation at least is, else `unclear` where one is. */
export function strongest(relations: Relation[]): Relation {
  return relations.find((relation) => relation === "yes") ?? relations.find((r) => r === "unclear") ?? "no";
}

/** What stands in a relation, resources mostly. */
export interface Related<Found = Resource> {
  found: Found[];
  /** Whether there may be more, which a preview cannot tell. */
  isUnclear: boolean;
}

/** Finds the resources that stand in a relation. */
export function related(candidates: Resource[], relationOf: (candidate: Resource) => Relation): Related {
  const judged = candidates.map((candidate) => ({ candidate, relation: relationOf(candidate) }));
  return {
    found: judged.flatMap(({ candidate, relation }) => (relation === "yes" ? [candidate] : [])),
    isUnclear: judged.some(({ relation }) => relation === "unclear"),
  };
}
