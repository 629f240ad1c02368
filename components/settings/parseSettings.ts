/** Values in, settings or the full list of faults out. */
import { distance } from "fastest-levenshtein";
import type { z } from "zod";
import { defaultFailedTicks, keepableStalenessSeconds } from "../time/alarmTiming";
import { databasePlace, networkPlace } from "./places";
import type { Settings } from "./settings";
import {
  quoteValue,
  setCommand,
  SettingsFaults,
  unsetCommand,
  writeStep,
  renameCommand,
  SECRET_KEY,
  type Fault,
  type Purpose,
} from "./settingsFaults";
import type { FaultHint } from "./settingsReaders";
import { ruleFaults } from "./settingsRules";
import { NESTED_KEYS, SETTING_SHAPES, type SettingKey, type ShapedSettings } from "./settingsShapes";

const KEYS = Object.keys(SETTING_SHAPES) as SettingKey[];

/**
 * Reads settings, from Pulumi config (text) or YAML (values), and fills in the defaults. null is the same as
 * absent; so are "" (and 0 or -1 for some numbers) where Pulumi.yaml declares that as the default of a key that
 * may be left out.
 * @param region the stack's, where it is known: what alarms tell must be in it.
 * @throws SettingsFaults with every fault there is.
 */
export function parseSettings(values: Record<string, unknown>, purpose: Purpose, region?: string): Settings {
  const faults = unknownKeyFaults(values, purpose);
  const shaped = shapeAll(values, purpose, faults);
  faults.push(...ruleFaults(shaped, values, purpose, region));
  if (faults.length > 0) throw new SettingsFaults(faults);
  return settle(shaped as ShapedSettings);
}

/** Settings from shapes that passed every rule. */
function settle(shaped: ShapedSettings): Settings {
  const { groupName, refreshRate: schedule, maxStalenessSeconds, database, network, ...rest } = shaped;
  const { timeoutSeconds, views, alarms } = shaped;
  const timing = { schedule, timeoutSeconds };
  const failedTicks = alarms.failedTicks ?? defaultFailedTicks(timing, maxStalenessSeconds);
  const settings: Settings = {
    ...rest,
    group: groupName ?? views[0]?.name.name ?? "",
    views: views.map(({ name, ...view }) => ({ ...name, ...view })),
    schedule,
    maxStalenessSeconds: maxStalenessSeconds ?? keepableStalenessSeconds(timing, failedTicks),
    alarms: { ...alarms, failedTicks },
    database: databasePlace(database),
    network: networkPlace(network),
  };
  delete (settings as { refreshRate?: unknown }).refreshRate;
  return settings;
}

/** Reads key by key, so that one wrong value does not hide the next. */
function shapeAll(
  values: Record<string, unknown>,
  purpose: Purpose,
  faults: Fault[],
): Partial<ShapedSettings> {
  const shaped: Record<string, unknown> = {};
  for (const key of KEYS) {
    const given = isAbsent(key, values[key]) ? undefined : values[key];
    const result = SETTING_SHAPES[key].shape.safeParse(given);
    if (result.success) {
      if (result.data !== undefined) shaped[key] = result.data;
      continue;
    }
    for (const issue of result.error.issues) faults.push(...issueFaults(key, given, issue, purpose));
  }
  return shaped;
}

function isAbsent(key: SettingKey, value: unknown): boolean {
  if (value === undefined || value === null) return true;
  const { absent } = SETTING_SHAPES[key] as { absent?: unknown[] };
  return absent?.includes(value) ?? false;
}

/** One zod issue as faults; an object with several unknown keys is one issue and several faults. */
function issueFaults(key: SettingKey, given: unknown, issue: z.core.$ZodIssue, purpose: Purpose): Fault[] {
  const path = writePath(key, issue.path);
  const value = valueAt(given, issue.path);
  if (issue.code === "unrecognized_keys") {
    const parent = writePath(key, issue.path);
    const known = NESTED_KEYS[parent.replaceAll(/\[\d+\]/g, "")] ?? [];
    return issue.keys.map((unknown) => {
      const inside = (value as Record<string, unknown> | undefined)?.[unknown];
      return unknownKeyFault(unknown, inside, parent, known, purpose);
    });
  }
  const hint = (issue.code === "custom" ? (issue.params ?? {}) : {}) as FaultHint;
  const isShape = issue.code === "invalid_type";
  return [
    {
      key: path,
      value: quoteValue(value),
      problem: isShape ? `is not ${article(issue.expected)}` : issue.message,
      limit: hint.limit ?? (isShape ? article(issue.expected) : "see the README's table of settings"),
      remedy: setCommand(purpose, path, "example" in hint ? hint.example : exampleOf(key, issue)),
    },
  ];
}

function exampleOf(key: SettingKey, issue: z.core.$ZodIssue): unknown {
  if (issue.code !== "invalid_type") return undefined;
  if (issue.expected === "array") return [];
  if (issue.expected === "object" || issue.expected === "record") return {};
  return key;
}

function article(expected: string): string {
  const nouns: Record<string, string> = {
    array: "a list",
    object: "an object",
    record: "an object",
    string: "text",
  };
  return nouns[expected] ?? expected;
}

function writePath(key: string, path: PropertyKey[]): string {
  return path.reduce<string>((text, part) => text + writeStep(part), key);
}

/** The value at a path of what was given, where text is JSON. */
function valueAt(given: unknown, path: PropertyKey[]): unknown {
  let value = given;
  if (path.length > 0 && typeof value === "string") {
    try {
      value = JSON.parse(value);
    } catch {
      return given;
    }
  }
  for (const part of path) {
    // A view given as a bare name is its own `name`.
    if (typeof value !== "object" || value === null) return part === "name" ? value : undefined;
    value = (value as Record<PropertyKey, unknown>)[part];
  }
  return value;
}

function unknownKeyFaults(values: Record<string, unknown>, purpose: Purpose): Fault[] {
  return Object.entries(values)
    .filter(([key]) => !(KEYS as string[]).includes(key))
    .map(([key, value]) => unknownKeyFault(key, value, "", KEYS, purpose));
}

function unknownKeyFault(
  key: string,
  value: unknown,
  parent: string,
  known: string[],
  purpose: Purpose,
): Fault {
  const within = (name: string): string => (parent === "" ? name : parent + writeStep(name));
  const nearest = nearestKey(key, known);
  const meant = nearest === undefined ? undefined : within(nearest);
  const path = within(key);
  return {
    key: path,
    // Whoever mistypes a key may have put a password there.
    value: SECRET_KEY.test(key) ? "(not shown)" : quoteValue(value),
    problem: meant === undefined ? "is not a setting" : `is not a setting; perhaps ${meant} is meant`,
    limit: `one of ${known.join(", ")}`,
    remedy: meant === undefined ? unsetCommand(purpose, path) : renameCommand(purpose, path, meant, value),
  };
}

/** The known key that differs least; none where even that has little in common. */
export function nearestKey(key: string, known: string[]): string | undefined {
  const scored = known
    .map((candidate) => ({ candidate, edits: distance(key.toLowerCase(), candidate.toLowerCase()) }))
    .sort((a, b) => a.edits - b.edits);
  const best = scored[0];
  if (best === undefined) return undefined;
  return best.edits <= Math.max(2, Math.ceil(best.candidate.length / 3)) ? best.candidate : undefined;
}
