/**
 * Words of a command line: read to what they say, or refused with what is accepted. How often, and how to repeat a run:
 * see test/fuzz.ts.
 */
import assert from "node:assert/strict";
import { InvalidArgumentError } from "commander";
import fc from "fast-check";
import { ConnectionFaults, readTarget } from "../../cli/connection";
import { parseDecimal } from "../../cli/decimal";
import { parseAge } from "../../cli/status";
import { parseViewName } from "../../cli/viewName";
import { parsePort } from "../../cli/watch";
import { parseDurationSeconds } from "../../local/duration";
import { parseOutage } from "../../local/postgres/serverGuard";
import { fuzz, LONGEST_FUZZ_MS, oddTexts, SECRET } from "../fuzz";
import { nearMisses, nearTexts } from "../nearMisses";

const durations = fc
  .tuple(
    fc.oneof(fc.integer({ min: 1, max: 10_000 }), fc.constant(1.5)),
    fc.constantFrom("", "s", "m", "min", "h", "d"),
  )
  .map(([count, unit]) => `${count}${unit}`);
const numbers = fc.integer({ min: -10, max: 100_000 }).map(String);
const quoted = fc
  .string({ unit: "grapheme", maxLength: 40 })
  .map((name) => `"${name.replaceAll('"', '""')}"`);
const part = fc.oneof(fc.constantFrom("jobs", "Größe", "a b", "public"), quoted);
const viewNames = fc.oneof(
  part,
  fc.tuple(part, part).map((parts) => parts.join(".")),
);
const outages = fc.tuple(durations, durations).map((pair) => pair.join(","));

const isSeconds = (seconds: unknown): boolean =>
  typeof seconds === "number" && Number.isFinite(seconds) && seconds > 0;

/** A reader, words that it takes, what it gives, and how a refusal tells what would be right. */
interface Reader {
  read: (text: string) => unknown;
  right: fc.Arbitrary<string>;
  isRight: (value: unknown, text: string) => boolean;
  tells: RegExp;
}

const readers: Record<string, Reader> = {
  "a duration": {
    read: parseDurationSeconds,
    right: durations,
    isRight: isSeconds,
    tells: /write 60s, 5m, 2h or 1d/,
  },
  "an age": { read: parseAge, right: durations, isRight: isSeconds, tells: /write 90s, 5m, 2h or 1d/ },
  "an outage": {
    read: parseOutage,
    right: outages,
    isRight: (value) => {
      const { afterSeconds, lastsSeconds } = value as ReturnType<typeof parseOutage>;
      // Node's timers count milliseconds in 31 bits.
      return [afterSeconds, lastsSeconds].every((seconds) => isSeconds(seconds) && seconds * 1_000 < 2 ** 31);
    },
    tells: /write (when,how long, such as 20s,15s|60s, 5m, 2h or 1d)/,
  },
  "a port": {
    read: parsePort,
    right: numbers,
    isRight: (value) => Number.isInteger(value) && Number(value) >= 1 && Number(value) <= 65_535,
    tells: /write a port from 1 to 65535/,
  },
  "a number": {
    read: parseDecimal,
    right: numbers,
    isRight: (value, text) => Number.isNaN(value) || /^[\d.]+$/.test(text.trim()),
    tells: /^$/,
  },
  "a view's name": {
    read: parseViewName,
    right: viewNames,
    isRight: (value) => {
      const { schema, name } = value as ReturnType<typeof parseViewName>;
      return [schema, name].every((each) => {
        const bytes = Buffer.byteLength(each);
        return bytes >= 1 && bytes <= 63 && !/[\p{Cc}\p{Cs}]/u.test(each);
      });
    },
    tells: /write it as name, schema\.name|the name has /,
  },
};

describe("fuzzed words of a command line", () => {
  for (const [what, { read, right, isRight, tells }] of Object.entries(readers)) {
    it(`are ${what}, or refused with what is accepted`, () => {
      fc.assert(
        fc.property(fc.oneof(right, nearTexts(right), oddTexts), (text) => {
          let value: unknown;
          try {
            value = read(text);
          } catch (error) {
            // commander tells of no other error without a stack trace; start makes the plain ones of this.
            const isRefusal = error instanceof InvalidArgumentError || (error as Error).constructor === Error;
            assert.ok(isRefusal, String(error));
            assert.match((error as Error).message, tells);
            return;
          }
          assert.ok(isRight(value, text), JSON.stringify({ text, value }));
        }),
        fuzz,
      );
    }).timeout(LONGEST_FUZZ_MS);
  }
});

const urls = fc
  .tuple(
    fc.constantFrom("postgres", "postgresql"),
    fc.constantFrom(SECRET, encodeURIComponent(`%${SECRET}/@`), `%${SECRET}`, `${SECRET}%zz`),
    fc.constantFrom("db.example.com", "localhost", "[::1]", "%2Fvar%2Frun", "db:5433", "db:0"),
    fc.constantFrom("", "?sslmode=require", "?sslmode=on", "?sslmode=verify-ca", "?host=/tmp", "?port=70000"),
  )
  .map(([scheme, password, host, query]) => `${scheme}://scanner:${password}@${host}/scanner${query}`);
const variables = fc.oneof(
  fc.record(
    {
      DATABASE_URL: fc.oneof(urls, nearTexts(urls), oddTexts),
      PGSSLMODE: fc.oneof(fc.constantFrom("require", "disable"), oddTexts),
      PGPORT: fc.oneof(numbers, oddTexts),
    },
    { requiredKeys: [] },
  ),
  nearMisses(
    fc.record({
      RDS_PROXY_ENDPOINT: fc.constant("proxy.example.com"),
      RDS_USERNAME: fc.constant("scanner"),
      RDS_PASSWORD: fc.constant(SECRET),
      RDS_PORT: numbers,
    }),
  ),
);

describe("a fuzzed environment of a command", () => {
  it("names one database, or is refused with the variable to set and without the password", () => {
    fc.assert(
      fc.property(variables, (given) => {
        const texts = Object.entries(given).filter(
          (entry): entry is [string, string] => typeof entry[1] === "string",
        );
        try {
          const { port, host, database } = readTarget(Object.fromEntries(texts));
          assert.ok(Number.isInteger(port) && port >= 1 && port <= 65_535);
          assert.ok(host !== "" && database !== "");
        } catch (error) {
          if (!(error instanceof ConnectionFaults)) throw error;
          assert.ok(!error.message.includes(SECRET), error.message);
          for (const fault of error.faults) assert.match(fault, /export [A-Z_]+=|unset /);
        }
      }),
      fuzz,
    );
  }).timeout(LONGEST_FUZZ_MS);
});

describe("what fuzz has found on command lines", () => {
  const refused: [string, () => unknown, RegExp][] = [
    ["a duration without end", () => parseDurationSeconds(`${"9".repeat(400)}s`), /write 60s/],
    ["an age without end", () => parseAge("9".repeat(400)), /write 90s/],
    ["an outage that no timer counts", () => parseOutage("30d,30s"), /longer than a day/],
    ["a view's name with a NUL", () => parseViewName("jo\0bs"), /control character/],
    ["a view's name that PostgreSQL would cut off", () => parseViewName("j".repeat(64)), /64 bytes/],
    [
      "a URL with a percent sign that encodes nothing",
      () => readTarget({ DATABASE_URL: "postgres://u:p@h/50%" }),
      /DATABASE_URL is not a URL: export .* written as %25/,
    ],
    [
      "a URL in the place of a port, without showing it",
      () => readTarget({ PGHOST: "h", PGPORT: "postgres://u:hunter2@h/d" }),
      /the port \(not shown\) is not a whole number/,
    ],
  ];
  for (const [what, read, problem] of refused) {
    it(`is refused: ${what}`, () => {
      assert.throws(read, problem);
    });
  }

  it("is no number: hexadecimal, an exponent, an empty text", () => {
    for (const text of ["0x10", "1e3", "", " ", "+1", "1_000"])
      assert.ok(Number.isNaN(parseDecimal(text)), text);
    assert.deepEqual([parseDecimal("15"), parseDecimal(" 0.5 ")], [15, 0.5]);
  });
});
