/** Building blocks of the settings' schema: each reads text or a plain value, and says what would be accepted. */
import { z } from "zod";
import type { Pattern } from "./identifiers";

/** Stands for a value that only another resource will give. Texts that the plan does not need may be known later. */
export const KNOWN_LATER = "known after deployment";

/** What a fault needs beyond its message; the params of a zod issue. */
export interface FaultHint {
  limit?: string;
  /** A value that would be accepted; undefined where the key had better go. */
  example?: unknown;
  /** Whether the value is no list or object at all, so that the example takes the place of the whole. */
  isWhole?: boolean;
}

/** What a reader returns for a value it does not take. */
export class WrongValue {
  constructor(
    readonly problem: string,
    readonly hint: FaultHint = {},
  ) {}
}

export function wrong(problem: string, hint?: FaultHint): WrongValue {
  return new WrongValue(problem, hint);
}

/** A schema made of a function; its faults carry the limit and an example. */
export function readBy<Value>(
  limit: string,
  example: unknown,
  read: (value: unknown) => Value | WrongValue,
): z.ZodType<Value> {
  return z.unknown().transform((value, context): Value => {
    const result =
      value === undefined
        ? wrong("is missing")
        : value === KNOWN_LATER
          ? wrong("is known only after deployment, and the plan is made before")
          : read(value);
    if (!(result instanceof WrongValue)) return result;
    const params: FaultHint = { limit, example, ...result.hint };
    context.issues.push({ code: "custom", message: result.problem, input: value, params: { ...params } });
    return z.NEVER;
  });
}

/** The same schema, for a value that may be known later. */
export function later<Value>(schema: z.ZodType<Value>): z.ZodType<Value> {
  return z.unknown().transform((value, context): Value => {
    if (value === KNOWN_LATER) return value as Value;
    const result = schema.safeParse(value);
    if (result.success) return result.data;
    for (const issue of result.error.issues) context.issues.push({ ...issue, input: value } as never);
    return z.NEVER;
  });
}

/** Text of a pattern. */
export function text(pattern: RegExp, problem: string, limit: string, example: string): z.ZodType<string> {
  return readBy(limit, example, (value) =>
    typeof value === "string" && pattern.test(value) ? value : wrong(problem),
  );
}

/** An identifier of one of AWS's forms. */
export function matching({ pattern, problem, limit, example }: Pattern): z.ZodType<string> {
  return text(pattern, problem, limit, example);
}

/** The whole number that a value is, also as text in decimal digits; undefined where it is none. */
export function wholeNumber(value: unknown): number | undefined {
  const number = typeof value === "string" && /^-?\d+$/.test(value.trim()) ? Number(value) : value;
  if (typeof number !== "number" || !Number.isInteger(number)) return undefined;
  // Not -0, which is read again to another value.
  return number === 0 ? 0 : number;
}

/** A whole number from `least` to `most`, also as text. */
export function whole(least: number, most: number, example: number): z.ZodType<number> {
  return readBy(`a whole number from ${least} to ${most}`, example, (value) => {
    const number = wholeNumber(value);
    if (number === undefined) return wrong("is not a whole number");
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
    const chosen = choices.find((candidate) => candidate === value);
    return chosen ?? wrong("is not one of those known");
  });
}

/** An object with these keys alone, also as JSON text. The message of an unknown key lists those that are known. */
export function object<Shape extends z.ZodRawShape>(shape: Shape) {
  const strict = z.strictObject(shape, {
    error: ({ code }) => (code === "unrecognized_keys" ? Object.keys(shape).join(", ") : undefined),
  });
  return fromText(strict, "an object", "an object", partsOf);
}

/** An object of any keys, also as JSON text. */
export function record<Value>(value: z.ZodType<Value>) {
  // zod would leave this key out without a word.
  const held = z.custom((inside) => !Object.hasOwn(inside as object, "__proto__"), {
    error: "is a key that objects keep for themselves",
    path: ["__proto__"],
    params: { limit: "any other key" },
  });
  return fromText(held.pipe(z.record(z.string(), value)), "an object", "an object", partsOf);
}

/** A list, also as JSON text. */
export function list<Item>(item: z.ZodType<Item>, of: string, example: unknown, least = 0) {
  const limited = z.array(item).superRefine((items, context) => {
    if (items.length >= least) return;
    context.addIssue({ code: "custom", message: "is empty", params: { limit: of, example } });
  });
  // One item without its list is what was meant by it.
  const listed = (value: unknown) => [item.safeParse(value).success ? value : "<value>"];
  return fromText(limited, "a list", `a list of ${of}`, listed);
}

function partsOf(): unknown {
  return { "<key>": "<value>" };
}

/** Text is read as JSON first; where it is not JSON or of another form, that is the fault, and not what zod makes of it. */
function fromText<Schema extends z.ZodType>(
  schema: Schema,
  form: "a list" | "an object",
  limit: string,
  exampleOf: (value: unknown) => unknown,
) {
  return z
    .unknown()
    .transform((value, context) => {
      const refuse = (problem: string, hint: FaultHint) => {
        const params = { ...hint, isWhole: true };
        context.issues.push({ code: "custom", message: problem, input: value, params });
        return z.NEVER;
      };
      let inside = value;
      if (typeof value === "string" && value !== KNOWN_LATER) {
        try {
          inside = JSON.parse(value) as unknown;
        } catch {
          return refuse("is not JSON", { limit: `${limit}, as JSON`, example: exampleOf(value) });
        }
      }
      const isForm = form === "a list" ? Array.isArray(inside) : isObject(inside);
      return isForm ? inside : refuse(`is not ${form}`, { limit, example: exampleOf(inside) });
    })
    .pipe(schema as z.ZodType<z.output<Schema>, unknown>);
}

/** Whether the value has keys of its own. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
