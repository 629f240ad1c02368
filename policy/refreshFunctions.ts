/**
 * Which functions the rules are about. This is the one place that decides it; an unrelated Lambda is left alone.
 *
 * A function is a refresh function when it says so itself: a tag of this product, a variable of the handler
 * (MATVIEW_…), a REFRESH MATERIALIZED VIEW statement in its environment, or a name that matches the configured
 * pattern. It is one too when what triggers it says so (see relations).
 */
import type { PolicyConfigSchema } from "@pulumi/policy";
import { GROUP_TAG } from "../components/plan/plan";
import { REFRESH_USER_VARIABLE } from "../migrations/contract";
import { known, read, readNames, readText, type Properties } from "./reading";

/** The part of every rule's configuration that says which functions it is about. */
export interface RefreshFunctionConfig {
  /** Regular expression, without regard to case, over names and descriptions of functions and rules. */
  refreshNamePattern: string;
}

export const REFRESH_NAME_PATTERN = "matview|materiali[sz]ed[-_ ]?view";

/** What one key of a rule's configuration may be. */
export type ConfigKeySchema = PolicyConfigSchema["properties"][string];

export const refreshFunctionSchema: Record<keyof RefreshFunctionConfig, ConfigKeySchema> = {
  refreshNamePattern: {
    type: "string",
    minLength: 1,
    format: "regex",
    default: REFRESH_NAME_PATTERN,
    description:
      "Functions and rules whose name or description matches this (regular expression, case ignored) are judged, " +
      "beside those that carry this product's tags or variables.",
  },
};

/**
 * `refresh`: refreshes views on a schedule. `migration`: applies this product's migrations; it has no schedule,
 * but a role, a log and a connection. `unclear`: a preview does not know enough. `none`: not ours to judge.
 */
export type FunctionKind = "refresh" | "migration" | "unclear" | "none";

/** What a function says of itself. */
export function functionKind(properties: Properties, pattern: RegExp): FunctionKind {
  const variables = readNames(properties, "environment", "variables");
  const names = known(variables) ?? [];
  if (names.includes(REFRESH_USER_VARIABLE)) return "migration";
  if (names.some((name) => name.startsWith("MATVIEW_"))) return "refresh";
  const tag = read(properties, "tags", GROUP_TAG);
  if (tag.state === "known") return "refresh";
  if (saysRefresh(properties, pattern, "name", "description")) return "refresh";
  let isUnclear = variables.state === "unknown" || tag.state === "unknown";
  for (const name of names) {
    const value = readText(properties, "environment", "variables", name);
    if (value.state === "known" && /refresh\s+materialized\s+view/i.test(value.value)) return "refresh";
    if (value.state === "unknown" && /sql|query|statement|command/i.test(name)) isUnclear = true;
  }
  return isUnclear ? "unclear" : "none";
}

/** Whether a text property of a resource matches the pattern. */
export function saysRefresh(properties: Properties, pattern: RegExp, ...names: string[]): boolean {
  return names.some((name) => pattern.test(known(readText(properties, name)) ?? ""));
}
