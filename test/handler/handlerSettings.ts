/** Settings of the function, over the whole of what its environment can hold. */
import fc from "fast-check";
import type { HandlerSettings } from "../../handler/settings";

const text = fc.string({ minLength: 1, maxLength: 40 });
const identifier = fc
  .string({ unit: "grapheme", minLength: 1, maxLength: 20 })
  .filter((name) => Buffer.byteLength(name) <= 63 && !/\p{Cc}/u.test(name));
const qualifiedName = fc.record({ schema: identifier, name: identifier }, { noNullPrototype: true });
const view = fc
  .tuple(
    qualifiedName,
    fc.boolean(),
    fc.record(
      {
        statistics: qualifiedName,
        fullEverySeconds: fc.integer({ min: 1 }),
        allowFullRuns: fc.boolean(),
      },
      { requiredKeys: [], noNullPrototype: true },
    ),
  )
  .map(([name, allowBlocking, more]) => ({ ...name, allowBlocking, ...more }));
const authentication = fc.oneof(
  fc.record({ auth: fc.constant("iam" as const), user: identifier }),
  fc.record({ auth: fc.constant("secret" as const), secretArn: text }),
  fc.record({ auth: fc.constant("password" as const), user: identifier, passwordFile: text }),
);
const hosts = fc.oneof(fc.domain(), fc.ipV4(), fc.ipV6(), fc.constantFrom("db", "/var/run/postgresql"));
const place = fc.oneof(
  fc.record({ host: hosts, tls: fc.constant("verify-full" as const), caFile: text }),
  fc.record({ host: fc.constantFrom("localhost", "127.0.0.1", "::1"), tls: fc.constant("disable" as const) }),
);

/** Any settings that the function takes. */
export const handlerSettings: fc.Arbitrary<HandlerSettings> = fc
  .record({
    group: text,
    views: fc.uniqueArray(view, {
      minLength: 1,
      maxLength: 4,
      selector: (each) => JSON.stringify([each.schema, each.name]),
    }),
    database: fc
      .tuple(place, authentication, identifier, fc.integer({ min: 1, max: 65_535 }))
      .map(([where, who, name, port]) => ({ ...where, ...who, name, port: String(port) })),
    logFormat: fc.constantFrom("text", "json"),
    historyRetentionDays: fc.integer({ min: 1, max: 3_650 }),
  })
  .map((each) => ({ ...each }));
