/** Settings as people write them, over the whole of what the schema takes; most of them are accepted. */
import fc from "fast-check";
import { LOG_RETENTION_DAYS } from "../../../components/time/limits";

const REGION = "us-east-1";
const ACCOUNT = "123456789012";
const arn = (service: string, rest: string, region = REGION): string =>
  `arn:aws:${service}:${region}:${ACCOUNT}:${rest}`;

const identifiers = fc.oneof(
  fc.constantFrom("job_progress", "Sales", "größe", "ÄPFEL", "日本", "a$b", "ÇAĞRI", "Straße"),
  fc.stringMatching(/^[a-z_][a-z0-9_]{0,62}$/),
  fc.constantFrom(63, 62, 31).map((count) => "a".repeat(count)),
);
const quoted = fc
  .oneof(
    fc.constantFrom(
      "My View",
      "a.b",
      ":a",
      'x"y',
      '"'.repeat(63),
      `${'"'.repeat(62)}a`,
      "😀".repeat(15),
      "-",
      " ",
    ),
    fc.string({ unit: "grapheme", minLength: 1, maxLength: 20 }),
    fc.constantFrom("Ї", "İ", "é", "𝒳").map((sign) => sign.repeat(15)),
  )
  .map((name) => `"${name.replaceAll('"', '""')}"`);
const part = fc.oneof({ weight: 3, arbitrary: identifiers }, { weight: 1, arbitrary: quoted });
const relations = fc.tuple(part, part).map((parts) => parts.join("."));

const maybe = <Value>(value: fc.Arbitrary<Value>, weight = 3): fc.Arbitrary<Value | undefined> =>
  fc.option(value, { nil: undefined, freq: weight });

/** As a number or truth value of YAML, or as the CLI's text. */
const plain = <Value>(value: fc.Arbitrary<Value>): fc.Arbitrary<Value | string> =>
  fc.oneof(value, value.map(String));

/** As an object of YAML, or as the JSON that the CLI stores. */
const written = <Value>(value: fc.Arbitrary<Value>): fc.Arbitrary<Value | string> =>
  fc.oneof(
    { weight: 4, arbitrary: value },
    { weight: 1, arbitrary: value.map((each) => JSON.stringify(each)) },
  );

const cronLists = fc
  .tuple(
    fc.uniqueArray(fc.nat(59), { minLength: 1, maxLength: 60 }),
    fc.uniqueArray(fc.nat(23), { minLength: 1, maxLength: 24 }),
  )
  .map(([minutes, hours]) => `cron(${minutes.join(",")} ${hours.join(",")} * * ? *)`);

/** A rate with a timeout that it allows. */
const rates = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom("rate(12 seconds)", "rate(15 seconds)", "rate(30 seconds)") },
  {
    weight: 10,
    arbitrary: fc.constantFrom("rate(1 minute)", "rate(2 minutes)", "rate(1 hour)", "rate(1 day)"),
  },
  { weight: 4, arbitrary: fc.integer({ min: 2, max: 8_600 }).map((value) => `rate(${value} minutes)`) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      "cron(0/5 * * * ? *)",
      "cron(0 9-17 ? * MON-FRI *)",
      "cron(7/13 0-6,20 * * ? *)",
      "cron(0 0 ? * SUN-SAT *)",
      "cron(0/1 0-22 * * ? *)",
    ),
  },
  { weight: 1, arbitrary: cronLists },
);

const view = fc.oneof(
  relations,
  fc.record(
    {
      name: relations,
      statistics: relations,
      allowBlocking: plain(fc.boolean()),
      incremental: written(
        fc.record(
          {
            fullEvery: fc.constantFrom("rate(1 minute)", "rate(2 minutes)", "rate(1 hour)", "rate(30 days)"),
            allowFullRuns: plain(fc.boolean()),
          },
          { requiredKeys: [] },
        ),
      ),
    },
    { requiredKeys: ["name"] },
  ),
);

const errors = fc.record(
  {
    threshold: plain(fc.integer({ min: 0, max: 1_000 })),
    // Whether it can ever fire is found by a replay, which takes seconds where it looks back for days.
    periodSeconds: plain(
      fc.oneof(
        { weight: 40, arbitrary: fc.constantFrom(60, 120, 300) },
        { weight: 1, arbitrary: fc.constantFrom(3_600, 86_400) },
      ),
    ),
    evaluationPeriods: plain(fc.constantFrom(1, 2, 7)),
    datapointsToAlarm: plain(fc.constant(1)),
  },
  { requiredKeys: ["threshold", "periodSeconds", "evaluationPeriods"] },
);
const alarms = fc.record(
  {
    failedTicks: plain(fc.integer({ min: 1, max: 5 })),
    slowPercent: plain(fc.integer({ min: 1, max: 99 })),
    errors,
  },
  { requiredKeys: [] },
);

const instance = fc.record({
  host: fc.constantFrom("db.example.com", "scanner.abc.us-east-1.rds.amazonaws.com"),
  name: fc.constantFrom("scanner", "größe", "my db", "d".repeat(63)),
});
const port = maybe(plain(fc.constantFrom(5_432, 1, 80, 1_150, 65_535)), 1);
const users = fc.constantFrom(
  "matview_refresh",
  "größe",
  "refresher@x",
  "имя",
  "pg_refresh",
  "public",
  "u".repeat(63),
);
const database = fc.oneof(
  fc
    .tuple(instance, users, port, fc.constantFrom("db-ABC", "cluster-ABC"))
    .map(([where, user, portGiven, resourceId]) => ({
      ...where,
      user,
      resourceId,
      port: portGiven,
    })),
  instance.map((where) => ({ ...where, user: "u", proxy: arn("rds", "db-proxy:prx-0123456789abcdef0") })),
  fc
    .tuple(instance, fc.constantFrom("scanner-AbCdEf", "rds!db-1-AbCdEf", `${"s".repeat(500)}-AbCdEf`))
    .map(([where, secret]) => ({
      ...where,
      auth: "secret",
      secretArn: arn("secretsmanager", `secret:${secret}`),
    })),
  fc
    .tuple(port, fc.constantFrom(undefined, "scanner", "my-db", "9db", "größe"), fc.boolean())
    .map(([portGiven, name, proxy]) => ({
      create: { instanceClass: "db.t4g.micro", proxy },
      port: portGiven,
      name,
    })),
);

const subnet = (index: number): string => `subnet-${index.toString(16).padStart(17, "0")}`;
const network = fc.integer({ min: 2, max: 18 }).map((count) => ({
  vpcId: "vpc-0a1b2c3d4e5f60718",
  subnetIds: Array.from({ length: count }, (_, index) => subnet(index)),
  databaseSecurityGroupId: "sg-0a1b2c3d",
}));

const tagKeys = fc.oneof(
  fc.constantFrom(
    "team",
    "Team",
    "TEAM",
    "cost centre",
    "größe",
    "matview-refresh:group",
    "Matview-Refresh:Group",
  ),
  fc.constantFrom("k".repeat(128), "matview-refresh:monthly-usd"),
  fc.stringMatching(/^[A-Za-z]{1,10}$/),
);
const tags = fc
  .array(fc.tuple(tagKeys, fc.constantFrom<string | number>("scanner", 1, "", "v".repeat(256))), {
    maxLength: 5,
  })
  .map(Object.fromEntries);
const environment = fc.dictionary(
  fc.stringMatching(/^[A-Z][A-Z_]{1,12}$/),
  fc.oneof(
    fc.string({ maxLength: 30 }),
    fc.integer(),
    fc.constantFrom(100, 3_400).map((count) => "e".repeat(count)),
  ),
  { maxKeys: 4 },
);

const topic = fc.constantFrom(
  arn("sns", "on-call"),
  arn("sns", "other"),
  arn("sns", "far", "eu-west-1"),
  "arn:aws-cn:sns:cn-north-1:123456789012:on-call",
);
const texts = {
  namePrefix: fc.oneof(
    fc.constantFrom("matview", "Team", "a--b", "sgx"),
    fc.stringMatching(/^[a-z][a-z0-9]{0,40}$/),
  ),
  groupName: fc.oneof(
    fc.constantFrom("billing", ":x", "a b", "x!".repeat(400)),
    fc.stringMatching(/^[ -~]{0,30}x$/),
  ),
  runbookUrl: fc.constantFrom(
    "https://example.com/runbook",
    "https://example.com/größe?a=b#c",
    `https://e.com/${"r".repeat(480)}`,
  ),
  rolePath: fc.constantFrom("/", "/team/", "/a/b/"),
  logGroupName: fc.constantFrom("/own/log", "aws/log", "l".repeat(512)),
  roleArn: fc.constantFrom(`arn:aws:iam::${ACCOUNT}:role/r`, `arn:aws:iam::${ACCOUNT}:role/a/b/r`),
  permissionsBoundaryArn: fc.constant(`arn:aws:iam::${ACCOUNT}:policy/b`),
  kmsKeyArn: fc.constant(arn("kms", "key/1234abcd-12ab-34cd-56ef-1234567890ab")),
  failureQueueArn: fc.constant(arn("sqs", "lost")),
  runtime: fc.constantFrom("nodejs24.x", "nodejs22.x"),
  architecture: fc.constantFrom("arm64", "x86_64"),
  logFormat: fc.constantFrom("json", "text"),
};

const emails = fc.array(
  fc.oneof(fc.constantFrom("ops@example.com", "Ops@example.com", "a.b+c@x.example.org"), fc.emailAddress()),
  { maxLength: 3 },
);
const actions = fc.uniqueArray(fc.oneof(topic, fc.constant(arn("lambda", "function:page:live"))), {
  maxLength: 3,
});

/** Settings for a database and a network that are there. */
export const rightSettings: fc.Arbitrary<Record<string, unknown>> = fc
  .record(
    {
      ...texts,
      views: written(
        fc.oneof(
          { weight: 9, arbitrary: fc.array(view, { minLength: 1, maxLength: 4 }) },
          { weight: 1, arbitrary: fc.array(view, { minLength: 40, maxLength: 60 }) },
        ),
      ),
      refreshRate: rates,
      refreshEnabled: plain(fc.boolean()),
      maxStalenessSeconds: plain(fc.integer({ min: 480, max: 604_800 })),
      timeoutSeconds: plain(fc.integer({ min: 3, max: 120 })),
      memoryMb: plain(fc.integer({ min: 128, max: 10_240 })),
      environment: written(environment),
      reservedConcurrency: plain(fc.integer({ min: 1, max: 1_000 })),
      eventPayload: written(fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 2 }), { maxKeys: 3 })),
      eventAgeSeconds: plain(fc.integer({ min: 60, max: 90 })),
      alarms: written(alarms),
      alarmEmails: written(emails),
      alarmTopicArns: written(fc.uniqueArray(topic, { maxLength: 3 })),
      okActionArns: written(actions),
      logRetentionDays: plain(fc.constantFrom(...LOG_RETENTION_DAYS)),
      historyRetentionDays: plain(fc.integer({ min: 1, max: 3_650 })),
      database: written(database),
      network: written(network),
      monthlyBudgetUsd: plain(fc.constantFrom(25, 0.01, 1e6)),
      tags: written(tags),
    },
    { requiredKeys: ["database", "network"] },
  )
  .chain((values) =>
    // All of these at once would rarely be right together: some are left out.
    fc.subarray(Object.keys(values), { maxLength: 9 }).map((kept) => {
      const keys = new Set([...kept, "database", "network"]);
      const { database: given } = values as { database: unknown };
      const isMade = JSON.stringify(given).includes("create");
      const chosen = Object.entries(values).filter(([key]) => keys.has(key));
      return {
        groupName: "g",
        ...Object.fromEntries(chosen),
        ...(isMade ? { network: { create: true } } : {}),
      };
    }),
  );
