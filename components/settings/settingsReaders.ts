/** Building blocks of the settings' shapes: each reads text or a plain value, and says what would be accepted. */
import { z } from "zod";
import type { Pattern } from "./awsIdentifiers";

/** What a reader returns for a value it does not take. */
export class WrongValue {
  constructor(
    readonly problem: string,
    readonly hint: { limit?: string; example?: unknown } = {},
  ) {}
}

export function wrong(problem: string, hint?: { limit?: string; example?: unknown }): WrongValue {
  return new WrongValue(problem, hint);
}

/** The part of a zod issue that carries what a fault needs beyond the message. */
export interface FaultHint {
  limit?: string;
  example?: unknown;
}

/** A shape made of a function; its faults carry the limit and an example. */
export function readBy<Value>(
  limit: string,
  example: unknown,
  read: (value: unknown) => Value | WrongValue,
): z.ZodType<Value> {
  return z.unknown().transform((value, context): Value => {
    const result = value === undefined ? wrong("is missing") : read(value);
    if (!(result instanceof WrongValue)) return result;
    const params: FaultHint = { limit, example, ...result.hint };
    context.issues.push({ code: "custom", message: result.problem, input: value, params: { ...params } });
    return z.NEVER;
  });
}

/** Text of a pattern. */
export function text(pattern: RegExp, problem: string, limit: string, example: string): z.ZodType<string> {
  return readBy(limit, example, (value) =>
    typeof value === "string" && pattern.test(value) ? value : wrong(problem),
  );
}

/** Text of one of AWS's shapes. */
export function matching({ pattern, problem, limit, example }: Pattern): z.ZodType<string> {
  return text(pattern, problem, limit, example);
}

/** A whole number from `least` to `most`, also as text. */
export function whole(least: number, most: number, example: number): z.ZodType<number> {
  return readBy(`a whole number from ${least} to ${most}`, example, (value) => {
    const number = typeof value === "string" && /^-?\d+$/.test(value.trim()) ? Number(value) : value;
    if (typeof number !== "number" || !Number.isInteger(number)) return wrong("is not a whole number");
    if (number < least) return wrong(`is below ${least}`);
    return number > most ? wrong(`is above ${most}`) : number;
  });
}

/** true or false, also as text. */
export function flag(): z.ZodType<boolean> {
  return readBy("true or false", true, (value) => {
    if (value === true || value === "true") return true;
    return value === false || value === "false" ? false : wrong("is neither true nor false");
  });
}

/** One of a few words. */
export function choice<Choice extends string>(choices: readonly Choice[]): z.ZodType<Choice> {
  return readBy(`one of ${choices.join(", ")}`, choices[0], (value) => {
    const chosen = choices.find((candidate) => candidate === String(value));
    return chosen ?? wrong("is not one of those known");
  });
}

/** An object, also as JSON text. */
export function object<Shape extends z.ZodType>(shape: Shape, example: unknown) {
  return structure(shape, "an object", example);
}

/** A list, also as JSON text. */
export function list<Item extends z.ZodType>(item: Item, of: string, example: unknown, least = 0) {
  const noun = `a list of ${of}`;
  const limited = z.array(item).superRefine((items, context) => {
    if (items.length >= least) return;
    context.addIssue({ code: "custom", message: "is empty", params: { limit: of, example } });
  });
  return structure(limited, noun, example);
}

/** Text is read as JSON first; where it is none, that is the fault, and not what zod makes of text. */
function structure<Shape extends z.ZodType>(shape: Shape, noun: string, example: unknown) {
  const fromText = readBy(`${noun}, as JSON`, example, (value) => {
    if (typeof value !== "string") return value;
    try {
      return JSON.parse(value) as unknown;
    } catch {
      return wrong("is not JSON");
    }
  });
  return fromText.pipe(shape as z.ZodType<z.output<Shape>, unknown>);
}
