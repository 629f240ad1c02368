import assert from "node:assert/strict";
import fc from "fast-check";
import { parseEnvironment, SettingsError } from "../../handler/parseEnvironment";
import { toEnvironment, type HandlerSettings } from "../../handler/settings";
import { handlerSettings } from "./handlerSettings";

function faultsOf(environment: Record<string, string>): string[] {
  try {
    parseEnvironment(environment);
  } catch (error) {
    assert.ok(error instanceof SettingsError);
    assert.ok(error.faults.every((fault) => error.message.includes(fault)));
    return error.faults;
  }
  return [];
}

const good = {
  MATVIEW_GROUP: "g",
  MATVIEW_VIEWS: '[{"schema":"public","name":"v","allowBlocking":true}]',
  MATVIEW_DATABASE_HOST: "db.example.com",
  MATVIEW_DATABASE_PORT: "5432",
  MATVIEW_DATABASE_NAME: "d",
  MATVIEW_DATABASE_USER: "u",
  MATVIEW_DATABASE_AUTH: "iam",
  MATVIEW_DATABASE_TLS: "verify-full",
  MATVIEW_LOG_FORMAT: "json",
  MATVIEW_HISTORY_RETENTION_DAYS: "7",
};

const SUBJECTS = ["sales", "orders", "customers", "stock", "shipments", "invoices", "payments", "returns"];

/** So many views of names as people give them; the last one with a fault, where there is to be one. */
function listing(count: number, fault = {}): HandlerSettings {
  const views = Array.from({ length: count }, (_, index) => ({
    schema: ["public", "reporting", "finance"][index % 3] ?? "",
    name: `${SUBJECTS[index % SUBJECTS.length]}_by_region_and_month_${index}`,
    allowBlocking: index % 7 !== 0,
    ...(index === count - 1 ? fault : {}),
  }));
  return { ...parseEnvironment(good), views };
}

describe("the function's environment", () => {
  it("gives back the settings that were written to it", () => {
    fc.assert(
      fc.property(handlerSettings, (each) => assert.deepEqual(parseEnvironment(toEnvironment(each)), each)),
    );
  });

  it("holds 200 views in half of Lambda's 4 KB, and as they are where they are few", () => {
    const many = listing(200);
    const environment = toEnvironment(many);
    assert.match(environment.MATVIEW_VIEWS ?? "", /^brotli:[\w+/]+=*$/);
    assert.ok((environment.MATVIEW_VIEWS ?? "").length < 2_048, environment.MATVIEW_VIEWS);
    assert.deepEqual(parseEnvironment(environment), many);
    assert.equal(toEnvironment(listing(20)).MATVIEW_VIEWS, JSON.stringify(listing(20).views));
  });

  it("carries values that are known only later, untouched", () => {
    const later = { promised: "host" };
    const environment = toEnvironment<string | typeof later>({
      ...parseEnvironment(good),
      database: { ...parseEnvironment(good).database, host: later },
    });
    assert.equal(environment.MATVIEW_DATABASE_HOST, later);
  });

  it("tells every fault at once", () => {
    assert.deepEqual(faultsOf({}), [
      'MATVIEW_DATABASE_AUTH is ""; it must be one of iam, secret, password',
      'MATVIEW_DATABASE_TLS is ""; it must be one of verify-full, disable',
      "MATVIEW_DATABASE_HOST is not set",
      "MATVIEW_GROUP is not set",
      "MATVIEW_VIEWS is not set",
      'MATVIEW_DATABASE_PORT is ""; it must be a whole number from 1 to 65535',
      "MATVIEW_DATABASE_NAME is not set",
      'MATVIEW_DATABASE_USER is not set, and authentication with "iam" needs it',
      'MATVIEW_LOG_FORMAT is ""; it must be one of text, json',
      'MATVIEW_HISTORY_RETENTION_DAYS is ""; it must be a whole number from 1 to 3650',
    ]);
  });

  const faulty: Record<string, [Record<string, string>, RegExp]> = {
    "a port that is none": [{ MATVIEW_DATABASE_PORT: "65536" }, /^MATVIEW_DATABASE_PORT is "65536"/],
    "views that are no JSON": [
      { MATVIEW_VIEWS: "public.v" },
      /^MATVIEW_VIEWS is neither JSON nor "brotli:" and/,
    ],
    "a compressed list that was cut off": [
      { MATVIEW_VIEWS: toEnvironment(listing(200)).MATVIEW_VIEWS?.slice(0, -40) ?? "" },
      /^MATVIEW_VIEWS is neither JSON nor "brotli:" and/,
    ],
    "a compressed list with a fault in it": [
      { MATVIEW_VIEWS: toEnvironment(listing(200, { name: "" })).MATVIEW_VIEWS ?? "" },
      /^MATVIEW_VIEWS\.199\.name: must be 1 to 63 bytes/,
    ],
    "a port that holds something else, without showing it": [
      { MATVIEW_DATABASE_PORT: '{"password":"hunter2"}' },
      /^MATVIEW_DATABASE_PORT is \(not shown\); it must be a whole number/,
    ],
    "no view": [{ MATVIEW_VIEWS: "[]" }, /at least one view/],
    "a view twice": [
      { MATVIEW_VIEWS: `[${'{"schema":"s","name":"v","allowBlocking":true},'.repeat(2).slice(0, -1)}]` },
      /must not name a view twice/,
    ],
    "a name too long for PostgreSQL": [
      { MATVIEW_VIEWS: JSON.stringify([{ schema: "s", name: "ü".repeat(32), allowBlocking: true }]) },
      /^MATVIEW_VIEWS\.0\.name: must be 1 to 63 bytes/,
    ],
    "a name that would write a line of its own into the log": [
      { MATVIEW_VIEWS: JSON.stringify([{ schema: "s", name: "a\nb", allowBlocking: true }]) },
      /control characters/,
    ],
    "a full run every half second": [
      { MATVIEW_VIEWS: '[{"schema":"s","name":"v","allowBlocking":true,"fullEverySeconds":0.5}]' },
      /^MATVIEW_VIEWS\.0\.fullEverySeconds: must be whole seconds$/,
    ],
    "a full run all the time": [
      { MATVIEW_VIEWS: '[{"schema":"s","name":"v","allowBlocking":true,"fullEverySeconds":0}]' },
      /^MATVIEW_VIEWS\.0\.fullEverySeconds: must be more than 0$/,
    ],
    "full runs that are neither allowed nor forbidden": [
      { MATVIEW_VIEWS: '[{"schema":"s","name":"v","allowBlocking":true,"allowFullRuns":"no"}]' },
      /^MATVIEW_VIEWS\.0\.allowFullRuns: must be true or false$/,
    ],
    "views that are no list": [{ MATVIEW_VIEWS: "5" }, /^MATVIEW_VIEWS: must be a list of views$/],
    "a view that is none": [
      { MATVIEW_VIEWS: '["s.v"]' },
      /^MATVIEW_VIEWS\.0: must be an object of schema, name, statistics, allowBlocking, /,
    ],
    "a view with something else in it": [
      { MATVIEW_VIEWS: '[{"schema":"s","name":"v","allowBlocking":true,"sql":"DROP"}]' },
      /^MATVIEW_VIEWS\.0: must be an object of .* alone$/,
    ],
    "half a character in a name": [
      { MATVIEW_VIEWS: '[{"schema":"s","name":"\\ud83d","allowBlocking":true}]' },
      /^MATVIEW_VIEWS\.0\.name: must not hold .* half a character$/,
    ],
    "full runs further apart than PostgreSQL counts": [
      {
        MATVIEW_VIEWS: '[{"schema":"s","name":"v","allowBlocking":true,"fullEverySeconds":9007199254740991}]',
      },
      /^MATVIEW_VIEWS\.0\.fullEverySeconds: must be at most 2147483647$/,
    ],
    "a user that PostgreSQL would cut off": [
      { MATVIEW_DATABASE_USER: "u".repeat(64) },
      /^MATVIEW_DATABASE_USER must be 1 to 63 bytes/,
    ],
    "a database that PostgreSQL would cut off": [
      { MATVIEW_DATABASE_NAME: "d".repeat(64) },
      /^MATVIEW_DATABASE_NAME must be 1 to 63 bytes/,
    ],
    "a connection string for a host, without showing it": [
      { MATVIEW_DATABASE_HOST: "postgres://u:hunter2@h/d" },
      /^MATVIEW_DATABASE_HOST must be a host name, an address or the folder of a socket alone$/,
    ],
    "no TLS to another machine": [{ MATVIEW_DATABASE_TLS: "disable" }, /for a server on this machine alone/],
    "a secret without its ARN": [
      { MATVIEW_DATABASE_AUTH: "secret" },
      /^MATVIEW_DATABASE_SECRET_ARN is not set/,
    ],
    "a password without its file": [
      { MATVIEW_DATABASE_AUTH: "password" },
      /^MATVIEW_DATABASE_PASSWORD_FILE is not set/,
    ],
  };
  for (const [what, [change, fault]] of Object.entries(faulty)) {
    it(`refuses ${what}`, () => {
      const faults = faultsOf({ ...good, ...change });
      assert.equal(faults.length, 1);
      assert.match(faults[0] ?? "", fault);
    });
  }
});
