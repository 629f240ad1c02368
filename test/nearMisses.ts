/** A right value with one thing wrong in it. */
import fc from "fast-check";
import { anything, oddTexts, ownObject, SECRET } from "./fuzz";

/** What was drawn for the changes to one value. */
interface Drawn {
  numbers: number[];
  text: string;
  whatever: unknown;
}

const drawn: fc.Arbitrary<Drawn> = fc.record({
  numbers: fc.array(fc.nat(1_000_000), { minLength: 24, maxLength: 24 }),
  text: oddTexts,
  whatever: anything,
});

/** Takes the drawn numbers one after the other. */
class Draw {
  private next = 0;

  constructor(readonly given: Drawn) {}

  /** A whole number from 0 to `most`. */
  upTo(most: number): number {
    const { numbers } = this.given;
    return (numbers[this.next++ % numbers.length] ?? 0) % (most + 1);
  }

  one<Choice>(...choices: Choice[]): Choice {
    return choices[this.upTo(choices.length - 1)] as Choice;
  }
}

const SIGNS = [
  ...["", " ", "\0", "\n", "\u00a0", "\u0085", "\ud800", "ü", "И", "İ", "😀", "\u200b", "\u202e"],
  ...['"', "'", ":", ".", ",", "-", "/", "*", "?", "#", "@", "0", "s", "L", "W"],
];
const UNITS = [
  "minute",
  "minutes",
  "hours",
  "Days",
  "second",
  "seconds",
  "weeks",
  "constructor",
  "constructors",
];
const PARTITIONS = ["arn:aws", "arn:aws-cn", "arn:aws-us-gov", "arn:aws-x", "ARN:AWS", "arn:"];
const REGIONS = ["us-east-1", "eu-west-1", "cn-north-1", "us-gov-west-1", "us-east-10", ""];

function changedText(text: string, draw: Draw): unknown {
  const at = draw.upTo(text.length);
  const sign = draw.one(...SIGNS);
  const step = draw.one(-2, -1, 1, 2, 1_000);
  const change = draw.one<() => unknown>(
    () => text.slice(0, at) + text.slice(at + 1),
    () => text.slice(0, at) + sign + text.slice(at),
    () => text.slice(0, at) + sign + text.slice(at + 1),
    () => sign + text,
    () => text + sign,
    () => text.toUpperCase(),
    () => text.toLowerCase(),
    () => text.slice(0, at) + text.slice(at).repeat(draw.one(2, 3, 10, 40, 300)),
    () => text.replace(/\d+(?!.*\d)/, (digits) => String(Number(digits) + step)),
    () => text.replace(/\d+/, (digits) => String(Number(digits) + step)),
    () => text.replace(/\d+/, (digits) => `0${digits}`),
    () => text.replace(/\d+/, (digits) => digits.repeat(draw.one(2, 3, 400))),
    () => text.replace(/(minute|hour|day|second)s?/, draw.one(...UNITS)),
    () => text.replace(/arn:aws[a-z-]*/, draw.one(...PARTITIONS)),
    () => text.replace(/us-east-1|cn-north-1|us-gov-west-1/, draw.one(...REGIONS)),
    () => Number(text),
  );
  return change();
}

function changedNumber(number: number, draw: Draw): unknown {
  return draw.one<unknown>(
    ...[
      number + 1,
      number - 1,
      number * 10,
      number * 60,
      -number,
      number + 0.5,
      number / 0,
      0,
      -0,
      1e21,
      NaN,
    ],
    ...[String(number), ` ${number} `, `0${number}`, `${number}.0`, `${number}e0`, `${number}s`, "-0", "NaN"],
    ...[`0x${Math.trunc(number).toString(16)}`, number.toLocaleString("en-US"), [number], [String(number)]],
  );
}

function changedObject(value: Record<string, unknown>, draw: Draw): Record<string, unknown> {
  const entries = Object.entries(value);
  const at = draw.upTo(Math.max(0, entries.length - 1));
  const [name = "", inside] = entries[at] ?? [];
  const others = entries.filter((_, index) => index !== at);
  const misspelt = name.slice(0, 1) + name.slice(2);
  return ownObject(
    draw.one<[string, unknown][]>(
      others,
      [...others, [misspelt, inside]],
      [...others, [name.toLowerCase(), inside]],
      [...others, [name.toUpperCase(), inside]],
      [...others, [` ${name}`, inside]],
      [...entries, [misspelt, inside]],
      [...entries, ["password", SECRET]],
      [...others, [name, ownObject([["password", SECRET]])]],
      [...others, [misspelt, { login: ownObject([["password", SECRET]]) }]],
      [...others, [name, JSON.stringify({ password: SECRET }).slice(0, draw.one(-1, 100))]],
      [...entries, ["__proto__", inside]],
      [...entries, [draw.given.text.replaceAll(SECRET, "x"), inside]],
      [...others, [name.toUpperCase(), inside], [name, inside]],
    ),
  );
}

function changedList(list: unknown[], draw: Draw): unknown {
  const count = draw.one(2, 6, 17, 120);
  return draw.one<unknown>(
    ...[[], list[0], [...list, ...list], list.slice(1), [list], [...list, null], { 0: list[0] }],
    Array.from({ length: count }, () => list[0]),
  );
}

/** Changes this value, of whatever kind it is. */
function changed(value: unknown, draw: Draw): unknown {
  if (draw.upTo(7) === 0) {
    const { text, whatever } = draw.given;
    return draw.one<unknown>(null, "", [], {}, [value], { value }, "known after deployment", text, whatever);
  }
  if (draw.upTo(11) === 0) return written(value);
  if (typeof value === "string") return changedText(value, draw);
  if (typeof value === "number") return changedNumber(value, draw);
  if (typeof value === "boolean")
    return draw.one<unknown>(!value, String(value), "TRUE", "yes", 1, 0, [value]);
  if (Array.isArray(value)) return changedList(value as unknown[], draw);
  return changedObject((value ?? {}) as Record<string, unknown>, draw);
}

/** As the CLI stores it. */
function written(value: unknown): unknown {
  try {
    return JSON.stringify(value);
  } catch {
    return value;
  }
}

/** The value with one place in it changed: itself, or something inside it. */
function changedSomewhere(value: unknown, draw: Draw): unknown {
  const inside = typeof value === "object" && value !== null ? Object.entries(value) : [];
  if (inside.length === 0 || draw.upTo(3) === 0) return changed(value, draw);
  const [key] = draw.one(...inside);
  if (Array.isArray(value))
    return value.map((item: unknown, index) => (String(index) === key ? changedSomewhere(item, draw) : item));
  return withPart(inside, key, draw);
}

function withPart(entries: [string, unknown][], key: string, draw: Draw): Record<string, unknown> {
  return ownObject(
    entries.map(([name, part]) => [name, name === key ? changedSomewhere(part, draw) : part] as const),
  );
}

/** Objects of a kind, each with one place in it, or two, changed. */
export function nearMisses(right: fc.Arbitrary<object>): fc.Arbitrary<Record<string, unknown>> {
  return fc.tuple(right, drawn, fc.integer({ min: 1, max: 2 })).map(([value, given, changes]) => {
    const draw = new Draw(given);
    let result: Record<string, unknown> = { ...value };
    for (let change = 0; change < changes; change += 1) {
      const names = Object.keys(result);
      const isWhole = names.length === 0 || draw.upTo(9) === 0;
      result = isWhole
        ? changedObject(result, draw)
        : withPart(Object.entries(result), draw.one(...names), draw);
    }
    return result;
  });
}

/** Texts with one place in them changed. */
export function nearTexts(right: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return fc.tuple(right, drawn).map(([text, given]) => String(changedText(text, new Draw(given))));
}
