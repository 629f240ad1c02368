/** The component's arguments, checked, and the plan that they make. */
import * as pulumi from "@pulumi/pulumi";
import type { MaterializedViewRefreshArgs } from "./args";
import { makePlan, type Plan } from "./plan/plan";
import { SettingsFaults } from "./settings/faults";
import { resourceNamePart } from "./settings/names";
import { parseSettings } from "./settings/parseSettings";
import { KNOWN_LATER } from "./settings/readers";

/** Named after component and stack, so that no two of an account share a name without having asked for it. */
export function defaultPrefix(name: string): string {
  return `${resourceNamePart(name)}-${resourceNamePart(pulumi.getStack())}`;
}

/**
 * Checks the arguments as settings. What another resource gives is known later: it is marked, and a setting that the
 * plan needs does not take the mark.
 * @throws RunError with every fault, each with the argument that puts it right.
 */
export function checkedPlan(name: string, args: MaterializedViewRefreshArgs): Plan {
  const { region, ...values } = marked(args) as Record<string, unknown>;
  const given = { namePrefix: defaultPrefix(name), ...values };
  return refusingFaults(() =>
    makePlan(parseSettings(given, "component", typeof region === "string" ? region : undefined)),
  );
}

/**
 * The one kind of error that Pulumi prints without a stack trace. It has none either: Node 20 takes 15 seconds to
 * colour a stack with a file right below a scope (`node_modules/@pulumi/output.ts`), as Pulumi has it done for each
 * error in an `apply`.
 */
export function runError(message: string): pulumi.RunError {
  return Object.assign(new pulumi.RunError(message), { stack: "" });
}

/** Runs a check; turns its faults into the one kind of error that Pulumi prints without a stack trace. */
export function refusingFaults<T>(check: () => T): T {
  try {
    return check();
  } catch (error) {
    if (error instanceof SettingsFaults) throw runError(error.message);
    throw error;
  }
}

/** The values at any depth, with the mark for those that are known later. */
function marked(value: unknown): unknown {
  if (pulumi.Output.isInstance(value) || value instanceof Promise) return KNOWN_LATER;
  if (Array.isArray(value)) return value.map(marked);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, inside]) => inside !== undefined)
      .map(([key, inside]) => [key, marked(inside)]),
  );
}
