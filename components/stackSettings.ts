/** A stack's settings, read from its Pulumi config; faults end the program with the list and no stack trace. */
import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import { defaultPrefix, refusingFaults } from "./checkedPlan";
import {
  CONFIG_NAMESPACE,
  scalars,
  SECRET_KEY,
  SettingsFaults,
  unsetCommand,
  type Fault,
} from "./settings/faults";
import { parseSettings } from "./settings/parseSettings";
import type { Settings } from "./settings/schema";

/**
 * Every key of the project's namespace, known or not: a mistyped one is a fault, which Pulumi itself would not tell.
 * The namespace is the project's name, and a project made by `pulumi new` has one of its own.
 * @throws RunError with all faults, a missing region among them.
 */
export function stackSettings(): Settings {
  const prefix = `${pulumi.getProject()}:`;
  const config = pulumi.runtime.allConfig();
  const keys = Object.keys(config).filter((key) => key.startsWith(prefix));
  const values = Object.fromEntries(keys.map((key) => [key.slice(prefix.length), config[key]]));
  const secrets = keys.filter(isSecret).map((key) => key.slice(prefix.length));
  return refusingFaults(() => {
    const { settings, faults } = readSettings({ namePrefix: defaultPrefix("matview"), ...values });
    // What else is wrong with a secret would quote it.
    const others = faults.filter(({ key }) => !secrets.includes(key.split(/[.[]/, 1)[0] ?? key));
    const unread = [
      ...(aws.config.region === undefined ? [NO_REGION] : []),
      ...foreignFaults(config),
      ...secrets.map((key) => secretFault(key, values[key] ?? "")),
    ];
    if (settings === undefined || unread.length > 0) throw new SettingsFaults([...unread, ...others]);
    warnOfPlaceholders(settings);
    return settings;
  });
}

const NO_REGION: Fault = {
  key: "aws:region",
  value: "absent",
  problem: "is missing, and AWS_REGION is not set either",
  limit: "an AWS region",
  remedy: "pulumi config set aws:region us-west-2",
};

/** What Pulumi.prod.yaml has in the places of ids that only its reader knows; AWS has never given one of them. */
const PLACEHOLDER =
  /0a1b2c3d4e5f60718|0b2c3d4e5f6071829|c0ffee12abcd|:123456789012:|-ABCDEFGHIJKLMNOPQRSTUVWXYZ|@example\.com$/;

/** They have the right form, so that a preview passes; an update would fail halfway. */
function warnOfPlaceholders(settings: Settings): void {
  const keys = Object.entries(settings)
    .flatMap(([key, value]) => scalars(key, value ?? {}))
    .flatMap(([path, value]) => (value !== undefined && PLACEHOLDER.test(value) ? [path] : []));
  if (keys.length === 0) return;
  void pulumi.log.warn(
    `These settings are placeholders: ${keys.join(", ")}. Put your own in before pulumi up.`,
  );
}

/** The region of the stack, which {@link stackSettings} has asked for. */
export function stackRegion(): string {
  return aws.config.region ?? "";
}

function readSettings(values: Record<string, string | undefined>): { settings?: Settings; faults: Fault[] } {
  try {
    return { settings: parseSettings(values, "deploy", aws.config.region), faults: [] };
  } catch (error) {
    if (error instanceof SettingsFaults) return { faults: error.faults };
    throw error;
  }
}

/** A project made by `pulumi new` takes this repository's stack files along, whose keys are not its own. */
function foreignFaults(config: Record<string, string>): Fault[] {
  const project = pulumi.getProject();
  const foreign = Object.keys(config).find((key) => key.startsWith(`${CONFIG_NAMESPACE}:`));
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
function secretFault(key: string, value: string): Fault {
  return {
    key,
    value: "(a secret)",
    problem: "is set as a secret, and settings stand in names, tags, alarms and environment, for all to read",
    limit: "plain values; a password belongs into Secrets Manager (database.auth secret, database.secretArn)",
    remedy: secretRemedy(key, value),
  };
}

/** Takes nothing away but what looks like a secret: the rest of an object is worth keeping. */
function secretRemedy(key: string, value: string): string {
  const parts = partsOf(value);
  if (parts === undefined) {
    return `pulumi config set --plaintext ${key} <value>, or ${unsetCommand("deploy", key)}`;
  }
  const suspects = scalars(key, parts)
    .map(([path]) => path)
    .filter((path) => {
      const name = path.slice(path.lastIndexOf(".") + 1);
      return SECRET_KEY.test(name);
    });
  if (suspects.length > 0) return suspects.map((path) => unsetCommand("deploy", path)).join(" && ");
  const path = Array.isArray(parts) ? `${key}[<index>]` : `${key}.<key>`;
  return `pulumi config set --plaintext --path "${path}" <value>, for the value that is encrypted`;
}

/** The object or list that the value is as JSON; the error of reading another would quote it. */
function partsOf(value: string): object | undefined {
  try {
    const parts = JSON.parse(value) as unknown;
    return typeof parts === "object" && parts !== null ? parts : undefined;
  } catch {
    return undefined;
  }
}
