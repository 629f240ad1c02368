/**
 * How rules read a resource. A value is known, not known yet (a preview, where AWS has not answered), or absent.
 * The SDK throws on reading what is not known, which would turn a mandatory rule into a remark; so every rule
 * reads through here and nowhere else.
 */

/** A resource's properties as the SDK hands them over. */
export type Properties = Record<string, unknown>;

/** What reading gave. `path` is the property's path from the resource, for messages. */
export type Reading<Value> =
  | { state: "known"; value: Value; path: string }
  | { state: "unknown"; path: string }
  | { state: "absent"; path: string };

/** Reads a property by its path: a name for each level, a number for a place in a list. */
export function read(properties: Properties, ...path: (string | number)[]): Reading<unknown> {
  const written = path.join(".");
  let value: unknown = properties;
  for (const step of path) {
    if (typeof value !== "object" || value === null) return { state: "absent", path: written };
    try {
      value = (value as Properties)[step];
    } catch (error) {
      if (isUnknownValue(error)) return { state: "unknown", path: written };
      throw error;
    }
  }
  return value === undefined || value === null
    ? { state: "absent", path: written }
    : { state: "known", value, path: written };
}

/** The SDK's error of a value that is not known. Its class is not exported; this property is its alone. */
function isUnknownValue(error: unknown): boolean {
  return error instanceof Error && "unknownTypeSentinel" in error;
}

/** Reads a text. A number or truth value counts as its text; anything else is absent. */
export function readText(properties: Properties, ...path: (string | number)[]): Reading<string> {
  return narrowed(read(properties, ...path), (value) =>
    typeof value === "string" || typeof value === "number" || typeof value === "boolean"
      ? String(value)
      : undefined,
  );
}

/** Reads a number, or a text that is one. */
export function readNumber(properties: Properties, ...path: (string | number)[]): Reading<number> {
  return narrowed(read(properties, ...path), (value) => {
    const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
    return typeof number === "number" && Number.isFinite(number) ? number : undefined;
  });
}

/** Reads a truth value, or the text of one. */
export function readFlag(properties: Properties, ...path: (string | number)[]): Reading<boolean> {
  return narrowed(read(properties, ...path), (value) =>
    value === true || value === "true" ? true : value === false || value === "false" ? false : undefined,
  );
}

/** Reads each element of a list; the list itself may be unknown, and so may each element. */
export function readList(properties: Properties, ...path: (string | number)[]): Reading<Reading<unknown>[]> {
  const list = read(properties, ...path);
  if (list.state !== "known") return list;
  const { value } = list;
  if (!Array.isArray(value)) return { state: "absent", path: list.path };
  const elements = Array.from({ length: value.length }, (_, index) => read(properties, ...path, index));
  return { ...list, value: elements };
}

/** Reads the names of an object's properties, which are known even where values are not. */
export function readNames(properties: Properties, ...path: (string | number)[]): Reading<string[]> {
  return narrowed(read(properties, ...path), (value) =>
    typeof value === "object" && !Array.isArray(value) ? Object.keys(value as object) : undefined,
  );
}

/** The value where it is known, else undefined: for facts that only add to a judgement. */
export function known<Value>(reading: Reading<Value>): Value | undefined {
  return reading.state === "known" ? reading.value : undefined;
}

/** A reading with a default in the place of an absent value. */
export function withDefault<Value>(reading: Reading<Value>, fallback: Value): Reading<Value> {
  return reading.state === "absent" ? { state: "known", value: fallback, path: reading.path } : reading;
}

function narrowed<Value>(
  reading: Reading<unknown>,
  narrow: (value: unknown) => Value | undefined,
): Reading<Value> {
  if (reading.state !== "known") return reading;
  const value = narrow(reading.value);
  return value === undefined ? { state: "absent", path: reading.path } : { ...reading, value };
}
