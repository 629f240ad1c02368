/** Values in, settings or the full list of faults out. */
import { distance } from "fastest-levenshtein";
import type { z } from "zod";
import {
  quoteValue,
  renameCommand,
  replaceCommand,
  setCommand,
  SettingsFaults,
  unsetCommand,
  writeStep,
  type Fault,
  type Purpose,
} from "./faults";
import { isObject, type FaultHint } from "./readers";
import { ruleFaults } from "./rules";
import { SETTINGS, type DatabaseSetting, type SettingKey, type Settings } from "./schema";

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
  for (const { key, value, problem, limit, example, remedy } of ruleFaults(read, purpose, region)) {
    const command = example === undefined ? unsetCommand(purpose, key) : setCommand(purpose, key, example);
    const quoted = quoteValue(key, values[key] ?? value);
    faults.push({ key, value: quoted, problem, limit, remedy: remedy ?? command });
  }
  if (faults.length > 0) throw new SettingsFaults(faults);
  return read as Settings;
}

/**
 * Checks a value of `database` that was known later, as soon as it is there, as if it had been given at once.
 * @throws SettingsFaults with what is wrong with it; an absent value is right.
 */
export function checkArrived(name: keyof DatabaseSetting, value: unknown): void {
  const given = { [name]: value };
  const { error } = SETTINGS.database.safeParse(given);
  const faults = error?.issues.flatMap((issue) => issueFaults("database", given, issue, "component")) ?? [];
  if (faults.length > 0) throw new SettingsFaults(faults);
}

/** One zod issue as faults; an object with several unknown keys is one issue and several faults. */
function issueFaults(key: SettingKey, given: unknown, issue: z.core.$ZodIssue, purpose: Purpose): Fault[] {
  const steps = isBareView(given, issue.path) ? issue.path.slice(0, -1) : issue.path;
  const path = steps.reduce<string>((text, part) => text + writeStep(part), key);
  const value = valueAt(given, steps);
  if (issue.code === "unrecognized_keys") {
    const inside = Object.fromEntries(
      issue.keys.map((unknown) => [unknown, (value as Record<string, unknown> | undefined)?.[unknown]]),
    );
    const known = issue.message.split(", ");
    return unknownKeys(path, inside, known, purpose, isObject(value) ? value : {});
  }
  const hint = (issue.code === "custom" ? (issue.params ?? {}) : {}) as FaultHint;
  const write = hint.isWhole === true ? replaceCommand : setCommand;
  const { example } = hint;
  return [
    {
      key: path,
      value: quoteValue(path, value),
      problem: issue.message,
      limit: hint.limit ?? "",
      remedy: example === undefined ? unsetCommand(purpose, path) : write(purpose, path, example),
    },
  ];
}

/** Whether the path leads to the name of a view that was given as its name alone: a path does not go into it. */
function isBareView(given: unknown, path: PropertyKey[]): boolean {
  return path.length === 2 && path[1] === "name" && !isObject(valueAt(given, path.slice(0, 1)));
}

/** The value at a path of what was given, where text is JSON, at any depth. */
function valueAt(given: unknown, path: PropertyKey[]): unknown {
  let value = given;
  for (const part of path) {
    if (typeof value === "string") {
      try {
        value = JSON.parse(value);
      } catch {
        return value;
      }
    }
    if (typeof value !== "object" || value === null) return undefined;
    value = Object.hasOwn(value, part) ? (value as Record<PropertyKey, unknown>)[part] : undefined;
  }
  return value;
}

/** A fault for each key of `values` that is not among the known ones. */
function unknownKeys(
  parent: string,
  values: Record<string, unknown>,
  known: string[],
  purpose: Purpose,
  /** What stands beside them. */
  given = values,
): Fault[] {
  const within = (name: string): string => (parent === "" ? name : parent + writeStep(name));
  return Object.entries(values)
    .filter(([key]) => !known.includes(key))
    .map(([key, value]) => {
      const nearest = renamedKey(key, value, known) ?? nearestKey(key, known);
      const meant = nearest === undefined ? undefined : within(nearest);
      const isFree = nearest !== undefined && (given[nearest] ?? undefined) === undefined;
      const path = within(key);
      return {
        key: path,
        // Whoever mistypes a key may have put a password there.
        value: quoteValue(path, value),
        problem: meant === undefined ? "is not a setting" : `is not a setting; perhaps ${meant} is meant`,
        limit: `one of ${known.join(", ")}`,
        remedy:
          meant !== undefined && isFree
            ? renameCommand(purpose, path, meant, value)
            : unsetCommand(purpose, path, false),
      };
    });
}

/** What a key of earlier versions is now: they had one for a queue or a topic. */
function renamedKey(key: string, value: unknown, known: string[]): string | undefined {
  if (key !== "failureDestinationArn" || !known.includes("failureQueueArn")) return undefined;
  return typeof value === "string" && /^arn:[^:]*:sns:/.test(value) ? "failureTopicArn" : "failureQueueArn";
}

/** The known key that differs least; none where even that has little in common. */
function nearestKey(key: string, known: string[]): string | undefined {
  const scored = known
    .map((candidate) => ({ candidate, edits: distance(key.toLowerCase(), candidate.toLowerCase()) }))
    .sort((a, b) => a.edits - b.edits);
  const best = scored[0];
  if (best === undefined) return undefined;
  return best.edits <= Math.max(2, Math.ceil(best.candidate.length / 3)) ? best.candidate : undefined;
}
