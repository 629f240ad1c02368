/** Values in, settings or the full list of faults out. */
import { distance } from "fastest-levenshtein";
import type { z } from "zod";
import {
  quoteValue,
  renameCommand,
  SECRET_KEY,
  setCommand,
  SettingsFaults,
  unsetCommand,
  writeStep,
  type Fault,
  type Purpose,
} from "./faults";
import type { FaultHint } from "./readers";
import { ruleFaults } from "./rules";
import { SETTINGS, type SettingKey, type Settings } from "./schema";

const KEYS = Object.keys(SETTINGS) as SettingKey[];

/**
 * Reads settings and fills in the defaults. null is the same as absent.
 * @param region the stack's, where it is known: what alarms tell must be in it.
 * @throws SettingsFaults with every fault there is.
 */
export function parseSettings(values: Record<string, unknown>, purpose: Purpose, region?: string): Settings {
  const faults = unknownKeys("", values, KEYS, purpose);
  const read: Partial<Settings> = {};
  // Key by key, so that one wrong value does not hide the next.
  for (const key of KEYS) {
    const given = values[key] ?? undefined;
    const result = SETTINGS[key].safeParse(given);
    if (result.success) Object.assign(read, result.data === undefined ? {} : { [key]: result.data });
    else for (const issue of result.error.issues) faults.push(...issueFaults(key, given, issue, purpose));
  }
  for (const { key, value, problem, limit, example } of ruleFaults(read, purpose, region)) {
    const remedy = example === undefined ? unsetCommand(purpose, key) : setCommand(purpose, key, example);
    faults.push({ key, value: quoteValue(values[key] ?? value), problem, limit, remedy });
  }
  if (faults.length > 0) throw new SettingsFaults(faults);
  return read as Settings;
}

/** One zod issue as faults; an object with several unknown keys is one issue and several faults. */
function issueFaults(key: SettingKey, given: unknown, issue: z.core.$ZodIssue, purpose: Purpose): Fault[] {
  const path = issue.path.reduce<string>((text, part) => text + writeStep(part), key);
  const value = valueAt(given, issue.path);
  if (issue.code === "unrecognized_keys") {
    const inside = Object.fromEntries(
      issue.keys.map((unknown) => [unknown, (value as Record<string, unknown> | undefined)?.[unknown]]),
    );
    return unknownKeys(path, inside, issue.message.split(", "), purpose);
  }
  const hint = (issue.code === "custom" ? (issue.params ?? {}) : {}) as FaultHint;
  const noun = issue.code === "invalid_type" ? (NOUNS[issue.expected] ?? issue.expected) : undefined;
  const example = issue.code === "invalid_type" ? (issue.expected === "array" ? [] : {}) : hint.example;
  return [
    {
      key: path,
      value: quoteValue(value),
      problem: noun === undefined ? issue.message : `is not ${noun}`,
      limit: hint.limit ?? noun ?? "",
      remedy: setCommand(purpose, path, example),
    },
  ];
}

const NOUNS: Record<string, string> = {
  array: "a list",
  object: "an object",
  record: "an object",
  string: "text",
};

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

/** A fault for each key of `values` that is not among the known ones. */
function unknownKeys(
  parent: string,
  values: Record<string, unknown>,
  known: string[],
  purpose: Purpose,
): Fault[] {
  const within = (name: string): string => (parent === "" ? name : parent + writeStep(name));
  return Object.entries(values)
    .filter(([key]) => !known.includes(key))
    .map(([key, value]) => {
      const nearest = nearestKey(key, known);
      const meant = nearest === undefined ? undefined : within(nearest);
      const path = within(key);
      return {
        key: path,
        // Whoever mistypes a key may have put a password there.
        value: SECRET_KEY.test(key) ? "(not shown)" : quoteValue(value),
        problem: meant === undefined ? "is not a setting" : `is not a setting; perhaps ${meant} is meant`,
        limit: `one of ${known.join(", ")}`,
        remedy:
          meant === undefined ? unsetCommand(purpose, path) : renameCommand(purpose, path, meant, value),
      };
    });
}

/** Keys of earlier versions, which had one for a queue or a topic. */
const RENAMED: Record<string, string> = { failureDestinationArn: "failureQueueArn" };

/** The known key that differs least; none where even that has little in common. */
function nearestKey(key: string, known: string[]): string | undefined {
  const renamed = RENAMED[key];
  if (renamed !== undefined && known.includes(renamed)) return renamed;
  const scored = known
    .map((candidate) => ({ candidate, edits: distance(key.toLowerCase(), candidate.toLowerCase()) }))
    .sort((a, b) => a.edits - b.edits);
  const best = scored[0];
  if (best === undefined) return undefined;
  return best.edits <= Math.max(2, Math.ceil(best.candidate.length / 3)) ? best.candidate : undefined;
}
