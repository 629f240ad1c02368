/** What changed between two sets of inputs, property by property, as a provider's detailed diff tells it. */
import type { Properties } from "../answers";

/** How one property differs. */
export type Change = "add" | "delete" | "update";

/** The key and value by which an asset or archive is known in the engine's plain values. */
const signatureKey = "4dabf18193072939515e22adb298388d";
const archiveSignature = "0def7320c3a5731c473e5ecbe6d01bc7";
const assetSignature = "c44067f5952c0a294b673a41bacd8c17";

/** The value that stands for "not known yet" in a preview. */
export const unknownValue = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

/**
 * The paths that differ (`memorySize`, `environment.variables.MATVIEW_VIEWS`, `subnetIds[1]`), each with its change.
 * Absent and null are the same; assets and archives differ when their content hash does, wherever they lie.
 */
export function differences(before: Properties, after: Properties): Map<string, Change> {
  const changes = new Map<string, Change>();
  compareObjects("", before, after, changes);
  return changes;
}

/** The top-level property that a path belongs to. */
export function propertyOf(path: string): string {
  return path.split(/[.[]/, 1)[0] ?? path;
}

function compareObjects(
  prefix: string,
  before: Properties,
  after: Properties,
  changes: Map<string, Change>,
): void {
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
    // The engine keeps a marker of its own among the inputs of bridged providers.
    if (key.startsWith("__")) continue;
    compare(join(prefix, key), before[key], after[key], changes);
  }
}

function compare(path: string, before: unknown, after: unknown, changes: Map<string, Change>): void {
  if (before === undefined || before === null) {
    if (after !== undefined && after !== null) changes.set(path, "add");
  } else if (after === undefined || after === null) {
    changes.set(path, "delete");
  } else if (Array.isArray(before) && Array.isArray(after)) {
    for (let i = 0; i < Math.max(before.length, after.length); i++) {
      compare(`${path}[${i}]`, before[i], after[i], changes);
    }
  } else if (isObject(before) && isObject(after)) {
    if (isAsset(before) || isAsset(after)) {
      if (before.hash !== after.hash) changes.set(path, "update");
    } else {
      compareObjects(path, before, after, changes);
    }
  } else if (before !== after) {
    changes.set(path, "update");
  }
}

function join(prefix: string, key: string): string {
  const plain = /^[A-Za-z_$][\w$]*$/.test(key);
  if (!plain) return `${prefix}[${JSON.stringify(key)}]`;
  return prefix ? `${prefix}.${key}` : key;
}

function isObject(value: unknown): value is Properties {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isAsset(value: Properties): boolean {
  return value[signatureKey] === archiveSignature || value[signatureKey] === assetSignature;
}
