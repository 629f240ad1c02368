/**
 * Events and environments of all kinds: what is no right one is refused by the function's own errors, all faults at
 * once, and without a secret. How often, and how to repeat a run: see test/fuzz.ts.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { EventError, parseEvent } from "../../handler/event";
import { parseEnvironment, SettingsError } from "../../handler/parseEnvironment";
import { toEnvironment, type HandlerSettings, type ViewSettings } from "../../handler/settings";
import { anything, fuzz, LONGEST_FUZZ_MS, ODD_KEYS, oddTexts, ownObject, SECRET } from "../fuzz";
import { nearMisses } from "../nearMisses";
import { handlerSettings } from "./handlerSettings";

const scheduled = {
  version: "0",
  "detail-type": "Scheduled Event",
  source: "aws.events",
  time: "2026-11-09T10:00:00Z",
  resources: ["arn:aws:events:us-west-2:123456789012:rule/matview-refresh-job_progress"],
  detail: { team: "scanner" },
};
const message = { messageId: "1", eventSource: "aws:sqs", body: JSON.stringify(scheduled), attributes: {} };

const names = fc.oneof(
  fc.constantFrom("jobs", "sales", "public", "a.b", 'x"y', '"', "eu.west", "größe", "__proto__"),
  fc.string({ unit: "grapheme", minLength: 1, maxLength: 8 }).filter((name) => !/\p{Cc}/u.test(name)),
);
const views: fc.Arbitrary<ViewSettings[]> = fc.uniqueArray(
  fc.tuple(names, names).map(([schema, name]) => ({ schema, name, allowBlocking: true })),
  { minLength: 1, maxLength: 5, selector: ({ schema, name }) => JSON.stringify([schema, name]) },
);
const asked = fc.oneof(
  names,
  fc.tuple(names, names).map((parts) => parts.join(".")),
  fc.tuple(names, names).map(([schema, name]) => `"${schema}"."${name}"`),
  oddTexts,
);
const rightEvents: fc.Arbitrary<object> = fc.oneof(
  fc.constant(scheduled),
  fc.constant({ Records: [message] }),
  fc.record(
    { source: fc.constantFrom("manual", "manual-test", "manual-größe"), view: asked },
    { requiredKeys: ["source"] },
  ),
);
const eventKeys = fc.constantFrom("source", "detail-type", "Records", "view", "eventSource", ...ODD_KEYS);
const events = fc.oneof(
  anything,
  fc.array(fc.tuple(eventKeys, anything), { maxLength: 4 }).map(ownObject),
  rightEvents,
  nearMisses(rightEvents),
);

type Json = Record<string, unknown> | undefined | null;

/** What the function documents to understand, told again. */
function kindOf(event: unknown): "scheduled" | "manual" | undefined {
  const given = event as Json;
  if (typeof given !== "object" || given === null) return undefined;
  if (given.source === "aws.events" && given["detail-type"] === "Scheduled Event") return "scheduled";
  if (Array.isArray(given.Records)) {
    const [record, ...more] = given.Records as Json[];
    return record?.eventSource === "aws:sqs" && more.length === 0 ? "scheduled" : undefined;
  }
  const isText = given.view === undefined || typeof given.view === "string";
  const isAlone = Object.keys(given).every((key) => key === "source" || key === "view");
  const isManual = typeof given.source === "string" && given.source.startsWith("manual");
  return isManual && isAlone && isText ? "manual" : undefined;
}

/** The configured views that a manual event may mean by this name. */
function meantBy(name: string, configured: ViewSettings[]): ViewSettings[] {
  const quoted = (text: string): string => `"${text.replaceAll('"', '""')}"`;
  const whole = configured.filter((view) =>
    [`${view.schema}.${view.name}`, `${quoted(view.schema)}.${quoted(view.name)}`].includes(name),
  );
  return whole.length > 0 ? whole : configured.filter((view) => view.name === name);
}

function checkEvent(event: unknown, configured: ViewSettings[]): void {
  const kind = kindOf(event);
  const wanted = (event as { view?: string } | undefined)?.view;
  const meant =
    kind === "manual" && wanted !== undefined
      ? meantBy(wanted, configured)
      : kind === undefined
        ? []
        : configured;
  try {
    const trigger = parseEvent(event, configured);
    assert.equal(trigger.kind, kind);
    assert.deepEqual(trigger.views, meant);
  } catch (error) {
    if (!(error instanceof EventError)) throw error;
    assert.ok(kind === undefined || (wanted !== undefined && meant.length !== 1), error.message);
    assert.match(error.message, /send an EventBridge|batch size to 1|configured views are: |name one of: /);
    assert.ok(!/[\p{Cc}\p{Cs}]/u.test(error.message), "writes a line of its own into the log");
    const known = configured.map(({ schema, name }) => `${schema}.${name}`).join(", ").length;
    assert.ok(error.message.length <= 500 + known, `${error.message.length} long`);
    if (kind === "manual") for (const { name } of configured) assert.ok(error.message.includes(name));
  }
}

const VARIABLES = [
  ...[
    "MATVIEW_GROUP",
    "MATVIEW_VIEWS",
    "MATVIEW_DATABASE_HOST",
    "MATVIEW_DATABASE_PORT",
    "MATVIEW_DATABASE_NAME",
  ],
  ...["MATVIEW_DATABASE_USER", "MATVIEW_DATABASE_AUTH", "MATVIEW_DATABASE_TLS", "MATVIEW_LOG_FORMAT"],
  ...["MATVIEW_HISTORY_RETENTION_DAYS", "MATVIEW_DATABASE_SECRET_ARN", "MATVIEW_DATABASE_PASSWORD_FILE"],
];

/** Variables are texts: what is none is written as JSON. */
function asVariables(values: Record<string, unknown>): Record<string, string> {
  const written = Object.entries(values).flatMap(([name, value]): [string, string][] => {
    if (value === undefined) return [];
    try {
      return [[name, typeof value === "string" ? value : JSON.stringify(value)]];
    } catch {
      return [[name, "[".repeat(50_000)]];
    }
  });
  return ownObject(written) as Record<string, string>;
}

const rightVariables = handlerSettings.map((settings) => {
  const { MATVIEW_VIEWS = "", ...others } = toEnvironment(settings);
  return { ...others, MATVIEW_VIEWS: JSON.parse(MATVIEW_VIEWS) as unknown };
});
const environments = fc
  .oneof(
    fc.array(fc.tuple(fc.constantFrom(...VARIABLES, ...ODD_KEYS), anything), { maxLength: 8 }).map(ownObject),
    rightVariables,
    nearMisses(rightVariables),
    nearMisses(rightVariables),
  )
  .map(asVariables);

/** Within what PostgreSQL takes: NAMEDATALEN, no NUL, UTF-8, an interval that `make_interval` does not overflow. */
function checkAccepted(settings: HandlerSettings): void {
  const { views: taken, database } = settings;
  const identifiers = taken.flatMap((view) => [
    view,
    ...(view.statistics === undefined ? [] : [view.statistics]),
  ]);
  const { host, name, user, port, tls } = database;
  for (const text of [...identifiers.flatMap((each) => [each.schema, each.name]), name, user]) {
    if (text === undefined) continue;
    const bytes = Buffer.byteLength(text);
    assert.ok(
      bytes >= 1 && bytes <= 63 && !/[\p{Cc}\p{Cs}]/u.test(text),
      `identifier ${JSON.stringify(text)}`,
    );
  }
  for (const { fullEverySeconds = 1 } of taken)
    assert.ok(Number.isInteger(fullEverySeconds) && fullEverySeconds >= 1 && fullEverySeconds < 2 ** 31);
  assert.ok(/^\d+$/.test(port) && Number(port) >= 1 && Number(port) <= 65_535);
  assert.ok(!host.includes(SECRET) && /^\S+$/.test(host));
  assert.ok(tls === "verify-full" || /^(localhost|127\.|::1$|\/)/.test(host));
  assert.ok(settings.historyRetentionDays >= 1 && settings.historyRetentionDays <= 3_650);
  assert.ok(["text", "json"].includes(settings.logFormat) && settings.group !== "");
  assert.deepEqual(parseEnvironment(toEnvironment(settings)), settings, "is read again to something else");
}

describe("fuzzed events", () => {
  it("are a trigger of configured views, or refused in one line with what would be right", () => {
    fc.assert(fc.property(events, views, checkEvent), fuzz);
  }).timeout(LONGEST_FUZZ_MS);
});

describe("fuzzed environments", () => {
  it("are settings that PostgreSQL takes, or refused with all faults and no secret", () => {
    let accepted = 0;
    fc.assert(
      fc.property(environments, (environment) => {
        try {
          checkAccepted(parseEnvironment(environment));
          accepted += 1;
        } catch (error) {
          if (!(error instanceof SettingsError)) throw error;
          assert.ok(error.faults.length > 0 && !error.message.includes(SECRET), error.message);
          for (const fault of error.faults) {
            assert.ok(error.message.includes(fault));
            assert.match(
              fault,
              /^MATVIEW_[A-Z_]+.* (must (be|not|have|name) |is not set|is neither JSON nor |use "verify-full")/s,
            );
          }
        }
      }),
      fuzz,
    );
    assert.ok(accepted > fuzz.numRuns / 10, `only ${accepted} were accepted`);
  }).timeout(LONGEST_FUZZ_MS);
});
