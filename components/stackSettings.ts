/** A stack's settings, read from its Pulumi config; faults end the program with the list and no stack trace. */
import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import { parseSettings } from "./parseSettings";
import type { Settings } from "./settings";
import { CONFIG_NAMESPACE, SettingsFaults } from "./settingsFaults";

/**
 * Every key of the project's namespace, known or not: a mistyped one is a fault, which Pulumi itself would not tell.
 * @throws RunError with all faults.
 */
export function stackSettings(): Settings {
  const prefix = `${CONFIG_NAMESPACE}:`;
  const values = Object.entries(pulumi.runtime.allConfig())
    .filter(([key]) => key.startsWith(prefix))
    .map(([key, value]) => [key.slice(prefix.length), value]);
  return refusingFaults(() => parseSettings(Object.fromEntries(values) as Record<string, string>, "deploy"));
}

/** Runs a check; turns its faults into the one kind of error that Pulumi prints without a stack trace. */
export function refusingFaults<T>(check: () => T): T {
  try {
    return check();
  } catch (error) {
    if (error instanceof SettingsFaults) throw new pulumi.RunError(error.message);
    throw error;
  }
}

/**
 * The region of the default provider: `aws:region` of the stack, else AWS_REGION.
 * @throws RunError where there is none.
 */
export function providerRegion(): string {
  const { region } = aws.config;
  if (region !== undefined) return region;
  throw new pulumi.RunError("No AWS region is set. Set one: pulumi config set aws:region us-west-2");
}
