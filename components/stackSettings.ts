/** A stack's settings, read from its Pulumi config; faults end the program with the list and no stack trace. */
import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import { parseSettings } from "./settings/parseSettings";
import type { Settings } from "./settings/settings";
import { CONFIG_NAMESPACE, SettingsFaults, unsetCommand, type Fault } from "./settings/settingsFaults";

/**
 * Every key of the project's namespace, known or not: a mistyped one is a fault, which Pulumi itself would not tell.
 * The namespace is the project's name, and a project made by `pulumi new` has one of its own.
 * @throws RunError with all faults.
 */
export function stackSettings(): Settings {
  const prefix = `${pulumi.getProject()}:`;
  const keys = Object.keys(pulumi.runtime.allConfig()).filter((key) => key.startsWith(prefix));
  const values = keys.map((key) => [key.slice(prefix.length), pulumi.runtime.allConfig()[key]]);
  const secrets = keys.filter(isSecret).map((key) => key.slice(prefix.length));
  return refusingFaults(() => {
    const { settings, faults } = readSettings(Object.fromEntries(values) as Record<string, string>);
    // What else is wrong with a secret would quote it.
    const others = faults.filter(({ key }) => !secrets.includes(key.split(/[.[]/, 1)[0] ?? key));
    const unread = [...foreignFaults(), ...secrets.map(secretFault)];
    if (settings === undefined || unread.length > 0) throw new SettingsFaults([...unread, ...others]);
    return settings;
  });
}

function readSettings(values: Record<string, string>): { settings?: Settings; faults: Fault[] } {
  try {
    return { settings: parseSettings(values, "deploy", aws.config.region), faults: [] };
  } catch (error) {
    if (error instanceof SettingsFaults) return { faults: error.faults };
    throw error;
  }
}

/** A project made by `pulumi new` takes this repository's stack files along, whose keys are not its own. */
function foreignFaults(): Fault[] {
  const project = pulumi.getProject();
  const foreign = Object.keys(pulumi.runtime.allConfig()).find((key) =>
    key.startsWith(`${CONFIG_NAMESPACE}:`),
  );
  if (project === CONFIG_NAMESPACE || foreign === undefined) return [];
  return [
    {
      key: foreign,
      value: "(not read)",
      problem: `is a setting of a project named ${CONFIG_NAMESPACE}, and this one is ${project}`,
      limit: `keys that begin with ${project}:`,
      remedy: `edit Pulumi.${pulumi.getStack()}.yaml: write ${project}: for ${CONFIG_NAMESPACE}:`,
    },
  ];
}

/** Whether the stack keeps the key's value encrypted; the SDK knows, and leaves the function out of its types. */
function isSecret(key: string): boolean {
  return (pulumi.runtime as unknown as { isConfigSecret(key: string): boolean }).isConfigSecret(key);
}

/** Settings are plain values, so an encrypted one would stand in the state in plain text: better not at all. */
function secretFault(key: string): Fault {
  return {
    key,
    value: "(a secret)",
    problem: "is set as a secret, and settings stand in names, tags, alarms and environment, for all to read",
    limit: "plain values; a password belongs into Secrets Manager (database.auth secret, database.secretArn)",
    remedy: unsetCommand("deploy", key),
  };
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
