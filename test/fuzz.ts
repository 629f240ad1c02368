/** How long fuzz runs, and what it throws at whatever reads text. */
import fc from "fast-check";

const { MATVIEW_FUZZ_RUNS, MATVIEW_FUZZ_SEED, MATVIEW_FUZZ_PATH } = process.env;

/** Inputs of each property. */
export const FUZZ_RUNS = Number(MATVIEW_FUZZ_RUNS ?? 1_000);

/** A test that fails may take its time to find a small input. */
export const LONGEST_FUZZ_MS = 600_000 + FUZZ_RUNS * 20;

/** What `fc.assert` is told; the environment repeats a run that failed (fast-check prints seed and path). */
export const fuzz = {
  numRuns: FUZZ_RUNS,
  ...(MATVIEW_FUZZ_SEED === undefined ? {} : { seed: Number(MATVIEW_FUZZ_SEED) }),
  ...(MATVIEW_FUZZ_PATH === undefined ? {} : { path: MATVIEW_FUZZ_PATH }),
};

/** Stands wherever somebody may have put a password; no message may show it. */
export const SECRET = "hunter2-correct-horse";

/** Names that an object has without having been given them, and names of secrets. */
export const ODD_KEYS = [
  "__proto__",
  "constructor",
  "toString",
  "valueOf",
  "hasOwnProperty",
  "toJSON",
  "length",
  "",
  " ",
  "a.b",
  'a"b',
  "a\nb",
  "ключ",
  "\ud800",
];
export const SECRET_KEYS = ["password", "dbPassword", "client_secret", "authToken", "AWS_CREDENTIALS"];

/** Texts that are read wrongly where a reader takes more than it means to. */
export const oddTexts = fc.oneof(
  fc.constantFrom(
    ...["", " ", "\t\n", "\0", "a\0b", "\u007f", "\u0085", "\u2028", "\ufeff", "\u200b", "\u202ereversed"],
    ...[
      "\ud800",
      "\udfff",
      "a\ud83d",
      "e\u0301",
      "İ",
      "ſ",
      "ß",
      "ﬁ",
      "Ǆ",
      "ÄÖ",
      "日本",
      "😀",
      "👩‍👩‍👧",
      "ا",
      "٣",
      "Ⅷ",
    ],
    ...[
      "0",
      "-0",
      "00",
      "007",
      "5 ",
      " 5",
      "+5",
      "5.0",
      "5e0",
      "1e21",
      "1e999",
      "0x10",
      "0b1",
      "0o7",
      "1_000",
    ],
    ...["NaN", "Infinity", "-1", "9007199254740993", "null", "true", "TRUE", "yes", "undefined"],
    ...[
      "{}",
      "[]",
      '"',
      "'",
      "[",
      '{"a":',
      "`$(reboot)`",
      "'; DROP TABLE jobs; --",
      "%s%n",
      "{region}",
      "${x}",
    ],
    ...["2026-01-01", "known after deployment", "rate(5 constructors)", "cron(0/0 * * * ? *)", "../../x"],
    `postgres://scanner:${SECRET}@db.example.com:5432/scanner`,
  ),
  fc.string({ unit: "binary", maxLength: 12 }),
  fc.string({ unit: "grapheme", maxLength: 80 }),
  fc
    .constantFrom("a", "ü", "😀", '"', "-", " ", "İ", "[")
    .chain((sign) =>
      fc
        .constantFrom(63, 64, 65, 128, 256, 257, 513, 1_025, 4_097, 30_000)
        .map((count) => sign.repeat(count)),
    ),
);

const oddNumbers = fc.oneof(
  fc.constantFrom(0, -0, 1, -1, 0.5, 1e21, 5e-324, 1e308, 2 ** 53, 2 ** 31, 59.999_999_999, NaN, Infinity),
  fc.integer(),
  fc.double(),
);

/** A key is always told: nobody puts a secret there. */
const keys = fc.oneof(
  fc.constantFrom(...ODD_KEYS, ...SECRET_KEYS),
  oddTexts.filter((text) => !text.includes(SECRET)),
);

/** An object with its keys as its own, `__proto__` too, as `JSON.parse` makes it; what a secret's key holds is one. */
export function ownObject(entries: (readonly [string, unknown])[]): Record<string, unknown> {
  const made: Record<string, unknown> = {};
  for (const [key, value] of entries) {
    // A secret stands under a name of one alone.
    const own = SECRET_KEYS.includes(key) ? SECRET : value === SECRET ? "no secret" : value;
    Object.defineProperty(made, key, { value: own, enumerable: true, writable: true, configurable: true });
  }
  return made;
}

/** Whatever JSON or YAML can say, and a little more. */
export const { anything } = fc.letrec<{ anything: unknown }>((tie) => ({
  anything: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    { weight: 4, arbitrary: oddTexts },
    { weight: 3, arbitrary: oddNumbers },
    { weight: 2, arbitrary: fc.constantFrom(null, true, false, undefined, Object.create(null) as unknown) },
    { weight: 2, arbitrary: fc.array(tie("anything"), { maxLength: 4 }) },
    { weight: 3, arbitrary: fc.array(fc.tuple(keys, tie("anything")), { maxLength: 4 }).map(ownObject) },
    { weight: 1, arbitrary: fc.array(fc.tuple(keys, tie("anything")), { maxLength: 3 }).map(asJson) },
    { weight: 1, arbitrary: fc.constantFrom(10, 10_000).map(nested) },
  ),
}));

function asJson(entries: [string, unknown][]): string {
  try {
    return JSON.stringify(ownObject(entries));
  } catch {
    return "[".repeat(10_000);
  }
}

/** An object so deep that whoever descends without a limit runs out of stack. */
export function nested(depth: number): unknown {
  let value: unknown = "inmost";
  for (let level = 0; level < depth; level += 1) value = level % 2 === 0 ? [value] : { a: value };
  return value;
}
