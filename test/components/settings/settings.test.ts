import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fc from "fast-check";
import { makePlan } from "../../../components/plan/plan";
import { SettingsFaults, type Fault, type Purpose } from "../../../components/settings/faults";
import { readViewName, writeViewName } from "../../../components/settings/names";
import { checkArrived, parseSettings } from "../../../components/settings/parseSettings";
import { KNOWN_LATER } from "../../../components/settings/readers";
import { LOG_RETENTION_DAYS, MOST_ENVIRONMENT_BYTES } from "../../../components/time/limits";
import { nested } from "../../fuzz";

const place = {
  network: {
    vpcId: "vpc-0a1b2c3d4e5f60718",
    subnetIds: ["subnet-0a1b2c3d4e5f60718", "subnet-0b2c3d4e5f6071829"],
    databaseSecurityGroupId: "sg-0a1b2c3d4e5f60718",
  },
  database: {
    host: "scanner.cluster-c0ffee12abcd.us-east-1.rds.amazonaws.com",
    name: "scanner",
    user: "matview_refresh",
    resourceId: "cluster-ABCDEFGHIJKLMNOPQRSTUVWXYZ",
  },
};

const secretArn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:scanner-AbCdEf";

/** A database and a network made with the stack. */
function created(proxy = false): Record<string, unknown> {
  return { database: { create: { proxy } }, network: { create: true } };
}

function topics(count: number, region = "us-east-1"): string[] {
  return Array.from({ length: count }, (_, index) => `arn:aws:sns:${region}:123456789012:on-call-${index}`);
}

/** A payload that makes an event of this many characters. */
function payload(characters: number): Record<string, string> {
  const event = (text: string) => ({
    source: "aws.events",
    "detail-type": "Scheduled Event",
    detail: { text },
  });
  return { text: "x".repeat(characters - JSON.stringify(event("")).length) };
}

function faultsOf(values: Record<string, unknown>, purpose: Purpose = "local"): Fault[] {
  try {
    parseSettings(values, purpose);
  } catch (error) {
    if (error instanceof SettingsFaults) return error.faults;
    throw error;
  }
  return [];
}

/** A deployment whose one mistake is in `values`. */
function deployFaults(values: Record<string, unknown>): Fault[] {
  return faultsOf({ ...place, ...values }, "deploy");
}

describe("settings", () => {
  it("takes 200 views in one group", () => {
    const views = Array.from({ length: 200 }, (_, index) => `reporting.sales_by_region_and_month_${index}`);
    assert.equal(parseSettings({ views, groupName: "many" }, "local").views.length, 200);
  });

  it("has a default for everything but the places", () => {
    const settings = parseSettings({}, "local");
    assert.deepEqual(settings.views, [
      { name: "public.job_progress", statistics: "public.job_progress_statistics", allowBlocking: true },
    ]);
    assert.equal(settings.refreshRate, "rate(1 minute)");
    const { group, failedTicks, maxStalenessSeconds } = makePlan(settings);
    assert.deepEqual([group, failedTicks, maxStalenessSeconds], ["job_progress", 3, 540]);
    assert.deepEqual([settings.timeoutSeconds, settings.memoryMb, settings.logRetentionDays], [60, 256, 14]);
    assert.equal(settings.reservedConcurrency, undefined);
  });

  it("reads Pulumi's texts as it reads YAML's values", () => {
    const values = {
      refreshRate: "rate(30 seconds)",
      timeoutSeconds: 45,
      refreshEnabled: false,
      logRetentionDays: 30,
      monthlyBudgetUsd: 12.5,
      views: ["reporting.totals", { name: "public.job_progress", allowBlocking: false }],
      groupName: "billing",
      alarms: { failedTicks: 4, errors: { threshold: 0, periodSeconds: 120, evaluationPeriods: 2 } },
      tags: { team: "scanner", tier: 1 },
      ...place,
    };
    const asTexts = Object.fromEntries(
      Object.entries(values).map(([key, value]) => [
        key,
        typeof value === "string" ? value : JSON.stringify(value),
      ]),
    );
    const settings = parseSettings(values, "deploy");
    assert.deepEqual(parseSettings(asTexts, "deploy"), settings);
    assert.deepEqual(parseSettings(settings, "deploy"), settings, "what comes out is read to the same again");
    assert.deepEqual(settings.tags, { team: "scanner", tier: "1" });
    assert.deepEqual(settings.views[1], { name: "public.job_progress", allowBlocking: false });
  });

  it("gives a maintained view a full run a day, and takes what is written otherwise", () => {
    const views = (incremental?: unknown) => {
      const settings = parseSettings({ views: [{ name: "public.a", incremental }] }, "local");
      assert.deepEqual(parseSettings(settings, "local"), settings);
      return makePlan(settings).views;
    };
    const view = { schema: "public", name: "a", allowBlocking: true };
    assert.deepEqual(views(), [view], "nothing travels where nothing is maintained");
    const daily = { ...view, fullEverySeconds: 86_400, allowFullRuns: true };
    assert.deepEqual(views({}), [daily]);
    assert.deepEqual(views("{}"), [daily], "as the CLI stores it");
    assert.deepEqual(views({ fullEvery: " rate( 1 minute ) " }), [{ ...daily, fullEverySeconds: 60 }]);
    assert.deepEqual(views({ fullEvery: "rate(30 days)", allowFullRuns: "false" }), [
      { ...daily, fullEverySeconds: 2_592_000, allowFullRuns: false },
    ]);
  });

  it("tells of full runs what would be right", () => {
    const told = (fullEvery: unknown, purpose: Purpose = "deploy") =>
      faultsOf({ ...place, views: [{ name: "public.a", incremental: { fullEvery } }] }, purpose);
    const limit = "rate(n minutes|hours|days), from rate(1 minute) to rate(30 days)";
    for (const [fullEvery, problem, example] of [
      ["rate(30 seconds)", "is not a rate of minutes, hours or days", "rate(1 day)"],
      ["cron(0 0 * * ? *)", "is not a rate of minutes, hours or days", "rate(1 day)"],
      [86_400, "is not a rate of minutes, hours or days", "rate(1 day)"],
      ["rate(0 hours)", '"0" is not a whole number of at least 1', "rate(1 hour)"],
      ["rate(1 days)", 'AWS wants the singular "day" after 1', "rate(1 day)"],
      ["rate(31 days)", "is longer than 30 days", "rate(30 days)"],
    ] as const) {
      const key = "views[0].incremental.fullEvery";
      const remedy = `pulumi config set --path "${key}" "${example}"`;
      assert.deepEqual(told(fullEvery), [{ key, value: JSON.stringify(fullEvery), problem, limit, remedy }]);
      assert.deepEqual(told(example), []);
    }
    const [inPython] = told("daily", "component");
    assert.match(inPython?.remedy ?? "", /views\[0\]\.incremental\.full_every in Python/);
  });

  it("takes null for absent, and nothing else", () => {
    assert.deepEqual(parseSettings({ tags: null, roleArn: null }, "local"), parseSettings({}, "local"));
    assert.deepEqual(
      faultsOf({ refreshRate: "", namePrefix: "" }).map(({ key }) => key),
      ["namePrefix", "refreshRate"],
    );
  });

  it("tells every fault at once, each with key, value, limit and remedy", () => {
    const faults = deployFaults({
      refreshRate: "rate(1 minutes)",
      memoryMb: "64",
      logRetentionDays: 15,
      refrshEnabled: true,
      alarms: { errors: { periodSeconds: 60, evaluationPeriods: 2 } },
    });
    assert.deepEqual(
      faults.map(({ key, value }) => [key, value]),
      [
        ["refrshEnabled", "true"],
        ["refreshRate", '"rate(1 minutes)"'],
        ["memoryMb", '"64"'],
        ["alarms.errors.threshold", "absent"],
        ["logRetentionDays", "15"],
      ],
    );
    const message = new SettingsFaults(faults).message;
    for (const { key, value, problem, limit, remedy } of faults) {
      for (const part of [key, value, problem, limit, remedy]) assert.ok(message.includes(part));
    }
    assert.equal(faults[1]?.remedy, 'pulumi config set refreshRate "rate(1 minute)"');
    assert.equal(faults[3]?.remedy, "pulumi config set --path alarms.errors.threshold 5");
  });

  it("gives the remedy that fits who asks", () => {
    const remedy = (purpose: Purpose) => faultsOf({ ...place, timeoutSeconds: 1_000 }, purpose)[0]?.remedy;
    assert.equal(remedy("deploy"), "pulumi config set timeoutSeconds 60");
    assert.equal(remedy("local"), "edit Pulumi.local.yaml: matview-refresh:timeoutSeconds: 60");
    assert.equal(remedy("component"), "in the program: timeoutSeconds: 60 (timeout_seconds in Python)");
  });

  it("knows by the ARN what the destination of earlier versions is now", () => {
    for (const [arn, key] of [
      ["arn:aws:sqs:us-east-1:123456789012:lost-ticks", "failureQueueArn"],
      ["arn:aws-cn:sns:cn-north-1:123456789012:lost-ticks", "failureTopicArn"],
    ] as const) {
      const [fault] = deployFaults({ failureDestinationArn: arn });
      const remedy = `pulumi config rm failureDestinationArn && pulumi config set ${key} ${arn}`;
      assert.equal(fault?.remedy, remedy);
      assert.deepEqual(deployFaults({ [key]: arn }), []);
    }
  });

  it("writes its own keys for Python as Python does, and the user's as they are", () => {
    const values = {
      environment: { AWS_REGION: "x" },
      tags: { "aws:createdBy": "x" },
      eventPayload: payload(8_193),
      alarmTopicArns: topics(6),
      network: { ...place.network, costCentre: "x" },
      database: place.database,
    };
    assert.deepEqual(
      faultsOf(values, "component").map(({ remedy }) => remedy.replace(/^.*in the program: /, "")),
      [
        "remove network.costCentre",
        "remove environment.AWS_REGION",
        'remove tags["aws:createdBy"]',
        "remove alarmTopicArns[5] (alarm_topic_arns[5] in Python)",
        "remove eventPayload.<key> (event_payload.<key> in Python)",
      ],
    );
  });

  it("finds the nearest known key, inside objects too, and shows no secret", () => {
    const [top, nested, secret] = deployFaults({
      refreshrate: "rate(5 minutes)",
      network: { ...place.network, subnetIDs: ["x"] },
      database: { ...place.database, password: "hunter2" },
    }).sort((a, b) => b.key.localeCompare(a.key));
    assert.match(top?.problem ?? "", /perhaps refreshRate is meant/);
    assert.equal(
      top?.remedy,
      "pulumi config rm refreshrate && " + 'pulumi config set refreshRate "rate(5 minutes)"',
    );
    assert.match(nested?.problem ?? "", /perhaps network.subnetIds is meant/);
    assert.equal(secret?.key, "database.password");
    assert.ok(!JSON.stringify(secret).includes("hunter2"));
  });

  it("shows no secret of an object, a text, a URL or the function's variables", () => {
    const password = "hunter2";
    for (const values of [
      { databse: { password } },
      { databse: { login: [{ password }] } },
      { alarms: [{ password }] },
      { alarms: `{"password":"${password}"` },
      { alarms: `password=${password} host=db` },
      { views: [`password=${password}`] },
      { views: [{ name: `{"password":"${password}"` }] },
      { database: { ...place.database, host: `postgres://scanner:${password}@db/scanner` } },
      { database: { ...place.database, port: { dbPassword: password } } },
      { tags: { password: [password] } },
      { environment: `TEAM=${password}` },
      { environment: { TEAM: [password] } },
      { environment: { TEAM: password, LARGE: "x".repeat(MOST_ENVIRONMENT_BYTES) } },
    ]) {
      const faults = deployFaults(values);
      assert.equal(faults.length, 1);
      assert.ok(!JSON.stringify(faults).includes(password), JSON.stringify(faults));
    }
  });

  it("shows what is wrong inside text inside text", () => {
    const errors = JSON.stringify({ threshold: -1, periodSeconds: 60, evaluationPeriods: 1 });
    const [fault] = deployFaults({ alarms: JSON.stringify({ errors }) });
    assert.deepEqual([fault?.key, fault?.value], ["alarms.errors.threshold", "-1"]);
  });

  it("tells of what has no JSON", () => {
    assert.equal(deployFaults({ memoryMb: 256n })[0]?.value, "bigint");
    assert.equal(deployFaults({ memoryMb: nested(20_000) })[0]?.value, "object");
  });

  it("reads -0 as 0, which it is read again to", () => {
    const errors = { threshold: "-0", periodSeconds: 60, evaluationPeriods: 1 };
    const settings = parseSettings({ alarms: { errors } }, "local");
    assert.ok(Object.is(settings.alarms.errors?.threshold, 0));
  });

  it("refuses a key and a secret of another region, where the stack's is known", () => {
    const kmsKeyArn = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    const database = { host: "db", name: "d", auth: "secret", secretArn, secretKmsKeyArn: kmsKeyArn };
    const values = { ...place, kmsKeyArn, database };
    assert.throws(
      () => parseSettings(values, "deploy", "cn-north-1"),
      (error: SettingsFaults) => {
        assert.deepEqual(
          error.faults.map(({ key }) => key),
          ["kmsKeyArn", "database.secretArn", "database.secretKmsKeyArn"],
        );
        assert.match(error.faults[0]?.remedy ?? "", / arn:aws-cn:kms:cn-north-1:123456789012:key\//);
        return true;
      },
    );
  });

  it("refuses a payload with a value that only another resource gives", () => {
    const faults = faultsOf({ ...place, eventPayload: { arn: KNOWN_LATER } }, "component");
    assert.deepEqual(
      faults.map(({ key }) => key),
      ["eventPayload"],
    );
    assert.deepEqual(deployFaults({ eventPayload: { text: KNOWN_LATER } }), []);
  });

  it("keeps room in the environment for a user and a database that are known later", () => {
    const fitting = (name: string) => {
      const database = { ...place.database, name, user: name };
      return faultsOf({ ...place, database, environment: { LARGE: "x".repeat(3_600) } }, "component");
    };
    assert.deepEqual(fitting("d"), []);
    assert.equal(fitting("d".repeat(63)).length, 1);
    assert.equal(fitting(KNOWN_LATER).length, 1);
  });

  it("accepts what it gives as an example", () => {
    const faults = deployFaults({
      alarmEmails: ["x"],
      alarmTopicArns: ["x"],
      okActionArns: ["x"],
      roleArn: "x",
      kmsKeyArn: "x",
      permissionsBoundaryArn: "x",
      failureTopicArn: "x",
      runbookUrl: "x",
    });
    assert.equal(faults.length, 8);
    for (const { key, remedy } of faults) {
      const example = remedy.split(" ").at(-1) ?? "";
      const name = key.replace("[0]", "");
      assert.deepEqual(deployFaults({ [name]: name === key ? example : [example] }), [], key);
    }
  });

  // Names without a pattern, which no compression makes shorter.
  const manyViews = Array.from({ length: 60 }, (_, index) => {
    const digits = createHash("sha512").update(String(index)).digest("hex").slice(0, 60);
    return `v${digits}.v${digits.split("").reverse().join("")}`;
  });

  const single: [string, Record<string, unknown>, string, RegExp][] = [
    ["a timeout above Lambda's", { timeoutSeconds: 901 }, "timeoutSeconds", /above 900/],
    [
      "a timeout the schedule cannot bear",
      { timeoutSeconds: 121 },
      "timeoutSeconds",
      /hold up more than one/,
    ],
    ["a timeout without room for a statement", { timeoutSeconds: 2 }, "timeoutSeconds", /below 3/],
    ["too little memory", { memoryMb: 127 }, "memoryMb", /below 128/],
    ["too much memory", { memoryMb: "10241" }, "memoryMb", /above 10240/],
    ["half a megabyte", { memoryMb: 256.5 }, "memoryMb", /whole number/],
    ["a deprecated runtime", { runtime: "nodejs20.x" }, "runtime", /not one of/],
    ["an event age under 60", { eventAgeSeconds: 59 }, "eventAgeSeconds", /below 60/],
    ["an event age above the interval", { eventAgeSeconds: 61 }, "eventAgeSeconds", /pile up/],
    ["no reserved concurrency at all", { reservedConcurrency: 0 }, "reservedConcurrency", /below 1/],
    [
      "one reserved run with queues",
      { reservedConcurrency: 1, refreshRate: "rate(30 seconds)" },
      "reservedConcurrency",
      /takes 2/,
    ],
    ["ticks no alarm can watch", { refreshRate: "rate(7 days)" }, "refreshRate", /no alarm could tell/],
    ["a weekly cron", { refreshRate: "cron(0 0 ? * SUN *)" }, "refreshRate", /no alarm could tell/],
    [
      "a promise too tight for any alarm",
      { maxStalenessSeconds: 479 },
      "maxStalenessSeconds",
      /too short for alarms that see a tick every minute fail, each for up to 60 s/,
    ],
    [
      "a promise too tight for the failures that are asked for",
      { maxStalenessSeconds: 500, alarms: { failedTicks: 5 } },
      "maxStalenessSeconds",
      /see 5 ticks \(alarms\.failedTicks\) every minute fail/,
    ],
    ["a promise over 7 days", { maxStalenessSeconds: 604_801 }, "maxStalenessSeconds", /above 604800/],
    [
      "more failed ticks than an alarm sees",
      { refreshRate: "rate(2 days)", alarms: { failedTicks: 5 } },
      "alarms.failedTicks",
      /further back/,
    ],
    ["all of the timeout as slow", { alarms: { slowPercent: 100 } }, "alarms.slowPercent", /above 99/],
    [
      "datapoints above evaluation periods",
      { alarms: { errors: { threshold: 1, periodSeconds: 60, evaluationPeriods: 2, datapointsToAlarm: 3 } } },
      "alarms.errors.datapointsToAlarm",
      /above the 2/,
    ],
    [
      "a period of half minutes",
      { alarms: { errors: { threshold: 1, periodSeconds: 90, evaluationPeriods: 2 } } },
      "alarms.errors.periodSeconds",
      /whole minutes/,
    ],
    [
      "periods beyond a day",
      { alarms: { errors: { threshold: 1, periodSeconds: 1_800, evaluationPeriods: 49 } } },
      "alarms.errors.evaluationPeriods",
      /longer than/,
    ],
    [
      "no alarm threshold",
      { alarms: { errors: { periodSeconds: 60, evaluationPeriods: 2 } } },
      "alarms.errors.threshold",
      /missing/,
    ],
    ["a view without a schema", { views: ["job_progress"] }, "views[0]", /perhaps public.job_progress/],
    ["a view that needs quotes", { views: ["public.my-view"] }, "views[0]", /double quotes/],
    ["a view name too long", { views: [`public.${"é".repeat(32)}`] }, "views[0]", /64 bytes/],
    ["no views", { views: [] }, "views", /empty/],
    ["a view twice", { views: ["public.a", "PUBLIC.A"], groupName: "g" }, "views[1]", /twice/],
    ["a view without a name", { views: [{ allowBlocking: true }] }, "views[0].name", /missing/],
    [
      "an unknown key of a maintained view",
      { views: [{ name: "public.a", incremental: { fullevery: "rate(1 day)" } }] },
      "views[0].incremental.fullevery",
      /perhaps views\[0\]\.incremental\.fullEvery/,
    ],
    [
      "a maintained view that says but yes",
      { views: [{ name: "public.a", incremental: true }] },
      "views[0].incremental",
      /not an object/,
    ],
    ["several views without a group", { views: ["public.a", "public.b"] }, "groupName", /no one name/],
    ["a group of no letters", { views: ['public."日本"'] }, "groupName", /nothing of/],
    ["a name too long", { namePrefix: "a".repeat(44) }, "namePrefix", /65 long/],
    [
      "a name too long for a database made with it",
      { ...created(), namePrefix: "a".repeat(53 - "-refresh-job-progress".length) },
      "namePrefix",
      /53 long, and "<name>-db-<7 digits>"/,
    ],
    [
      "a name too long for a proxy made with it",
      { ...created(true), groupName: "g".repeat(50 - "matview-refresh-".length) },
      "groupName",
      /50 long, and "<name>-proxy-<7 digits>"/,
    ],
    [
      "two hyphens for a database made with the stack",
      { ...created(), namePrefix: "a--b" },
      "namePrefix",
      /RDS identifier/,
    ],
    [
      "a capital for a database made with the stack",
      { ...created(), namePrefix: "Team" },
      "namePrefix",
      /RDS identifier/,
    ],
    ["a prefix of security group ids", { namePrefix: "sg" }, "namePrefix", /begin with sg-/],
    ["a prefix that begins so", { namePrefix: "sg-data" }, "namePrefix", /begin with sg-/],
    ["views beyond 4 KB", { views: manyViews, groupName: "many" }, "views", /environment \d+ bytes/],
    [
      "variables beyond 4 KB",
      { environment: { LARGE: "x".repeat(MOST_ENVIRONMENT_BYTES) } },
      "environment",
      /environment \d+ bytes/,
    ],
    [
      "a variable of Lambda's",
      { environment: { AWS_REGION: "x" } },
      "environment.AWS_REGION",
      /set by Lambda/,
    ],
    [
      "a variable of ours",
      { environment: { MATVIEW_GROUP: "x" } },
      "environment.MATVIEW_GROUP",
      /set by Lambda/,
    ],
    [
      "an endpoint of Secrets Manager of its own",
      { environment: { AWS_ENDPOINT_URL_SECRETS_MANAGER: "https://x" } },
      "environment.AWS_ENDPOINT_URL_SECRETS_MANAGER",
      /by this product/,
    ],
    [
      "an endpoint that the SDK is to overlook",
      { environment: { AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: "true" } },
      "environment.AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
      /by this product/,
    ],
    ["a variable that is no name", { environment: { "1A": "x" } }, 'environment["1A"]', /not a name/],
    ["a retention AWS does not know", { logRetentionDays: "0" }, "logRetentionDays", /not a period/],
    ["an address that is none", { alarmEmails: ["ops@example"] }, "alarmEmails[0]", /e-mail/],
    ["an address twice", { alarmEmails: ["a@b.de", "a@b.de"] }, "alarmEmails[1]", /twice/],
    [
      "a FIFO topic",
      { alarmTopicArns: ["arn:aws:sns:us-east-1:123456789012:a.fifo"] },
      "alarmTopicArns[0]",
      /SNS topic/,
    ],
    ["a role's name for its ARN", { roleArn: "refresher" }, "roleArn", /IAM role/],
    ["a key's alias", { kmsKeyArn: "arn:aws:kms:us-east-1:123456789012:alias/x" }, "kmsKeyArn", /KMS key/],
    ["a tag of AWS's", { tags: { "aws:x": "y" } }, 'tags["aws:x"]', /AWS keeps/],
    ["a tag with a wrong sign", { tags: { a: "b;c" } }, "tags.a", /sign/],
    ["text that is no JSON", { tags: "team=x" }, "tags", /not JSON/],
    ["a list for an object", { tags: [] }, "tags", /not an object/],
    ["six topics", { alarmTopicArns: topics(6) }, "alarmTopicArns", /has 6/],
    [
      "five topics beside one for e-mail",
      { okActionArns: topics(5), alarmEmails: ["ops@example.com"] },
      "okActionArns",
      /has 5/,
    ],
    ["a payload beyond EventBridge's", { eventPayload: payload(8_193) }, "eventPayload", /8193 characters/],
    ["a budget of nothing", { monthlyBudgetUsd: -1 }, "monthlyBudgetUsd", /not an amount/],
    ["no database", { database: {} }, "database", /nothing to refresh/],
    ["no network", { network: {} }, "network", /missing/],
    [
      "one subnet",
      { network: { ...place.network, subnetIds: ["subnet-0a1b2c3d4e5f60718"] } },
      "network.subnetIds",
      /has 1/,
    ],
    [
      "a subnet twice",
      { network: { ...place.network, subnetIds: Array(2).fill("subnet-0a1b2c3d4e5f60718") } },
      "network.subnetIds",
      /twice/,
    ],
    [
      "one zone",
      { database: { create: {} }, network: { create: true, zones: 1 } },
      "network.zones",
      /below 2/,
    ],
    ["a new network for an old database", { network: { create: true } }, "network.create", /does not reach/],
    [
      "both kinds of network",
      { database: { create: {} }, network: { create: true, vpcId: place.network.vpcId } },
      "network.vpcId",
      /belongs to an existing/,
    ],
    [
      "both kinds of database",
      { database: { create: {}, host: "db" } },
      "database.host",
      /belongs to an existing/,
    ],
    [
      "a closed database group",
      { network: { ...place.network, databaseSecurityGroupId: undefined } },
      "network.databaseSecurityGroupId",
      /let the function in/,
    ],
    [
      "IAM without a resource id",
      { database: { ...place.database, resourceId: undefined } },
      "database.resourceId",
      /rds-db:connect/,
    ],
    [
      "an instance's name for its id",
      { database: { ...place.database, resourceId: "db-scanner" } },
      "database.resourceId",
      /resource id/,
    ],
    [
      "a proxy with the instance's id",
      { database: { ...place.database, proxy: true } },
      "database.resourceId",
      /not the proxy's/,
    ],
    ["IAM without a user", { database: { ...place.database, user: undefined } }, "database.user", /missing/],
    [
      "a secret without its ARN",
      { database: { ...place.database, user: undefined, auth: "secret" } },
      "database.secretArn",
      /missing/,
    ],
    [
      "a user beside a secret",
      { database: { ...place.database, auth: "secret", secretArn } },
      "database.user",
      /not used/,
    ],
    ["a password", { database: { ...place.database, auth: "password" } }, "database.auth", /not one of/],
    [
      "an address for a host",
      { database: { ...place.database, host: "postgres://db:5432/x" } },
      "database.host",
      /host name/,
    ],
    [
      "a proxy's ARN that is none",
      { database: { ...place.database, proxy: "arn:aws:rds:x" } },
      "database.proxy",
      /RDS Proxy/,
    ],
    [
      "an endpoint nobody uses",
      { network: { ...place.network, secretsEndpoint: true } },
      "network.secretsEndpoint",
      /not used/,
    ],
    [
      "a unit that objects have and rates do not",
      { refreshRate: "rate(5 constructors)" },
      "refreshRate",
      /"constructors" is not a unit/,
    ],
    [
      "a cron expression beyond EventBridge's 256",
      {
        refreshRate: `cron(${[...Array(60).keys()].join(",")} ${[...Array(24).keys()].join(",")} ? * 1,2,3,4,5,6,7 *)`,
      },
      "refreshRate",
      /is 257 long, and EventBridge takes 256/,
    ],
    [
      "a rate with a page of spaces",
      { refreshRate: `rate(1${" ".repeat(4_000)}minute` },
      "refreshRate",
      /is 4012 long/,
    ],
    ["a list for one word", { architecture: ["arm64"] }, "architecture", /not one of/],
    ["an object that cannot be text", { runtime: { toString: 1 } }, "runtime", /not one of/],
    ["a list for a number of days", { logRetentionDays: [14] }, "logRetentionDays", /not a period/],
    [
      "a list for a period",
      { alarms: { errors: { threshold: 1, periodSeconds: [60], evaluationPeriods: 2 } } },
      "alarms.errors.periodSeconds",
      /whole minutes/,
    ],
    ["money in hexadecimal", { monthlyBudgetUsd: "0x10" }, "monthlyBudgetUsd", /not an amount/],
    [
      "half a character in a view's name",
      { views: ['public."\ud83d"'], groupName: "g" },
      "views[0]",
      /half a character/,
    ],
    [
      "a view's name that ends a regular expression",
      { views: [`public."${"a".repeat(1e7)}"`] },
      "views[0]",
      /is 10000009 long/,
    ],
    [
      "a group's name that is no dimension",
      { groupName: `a${"!".repeat(255)}` },
      "groupName",
      /over 255 long/,
    ],
    ["a log group of AWS's", { logGroupName: "aws/lambda/x" }, "logGroupName", /not a log group's name/],
    ["a runbook with a NUL", { runbookUrl: "https://example.com/\0" }, "runbookUrl", /not a web address/],
    ["a variable with a NUL", { environment: { TEAM: "a\0b" } }, "environment.TEAM", /NUL/],
    [
      "a key that objects keep for themselves",
      { tags: JSON.parse('{"__proto__":"x"}') as unknown },
      "tags.__proto__",
      /keep for themselves/,
    ],
    [
      "a tag of ours",
      { tags: { "Matview-Refresh:group": "x" } },
      'tags["Matview-Refresh:group"]',
      /own tags/,
    ],
    [
      "two tags that IAM takes for one",
      { tags: { team: "a", Team: "b" } },
      "tags.Team",
      /case of its letters alone/,
    ],
    [
      "more subnets than a function stands in",
      {
        network: {
          ...place.network,
          subnetIds: Array.from({ length: 17 }, (_, index) => `subnet-${String(index).padStart(17, "0")}`),
        },
      },
      "network.subnetIds",
      /has 17, and a Lambda function stands in 16/,
    ],
    [
      "a partition that is not the region's",
      { kmsKeyArn: "arn:aws:kms:cn-north-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab" },
      "kmsKeyArn",
      /KMS key/,
    ],
    ["a role without a name", { roleArn: "arn:aws:iam::123456789012:role/team/" }, "roleArn", /IAM role/],
    [
      "a function that is none",
      { okActionArns: ["arn:aws:lambda:us-east-1:123456789012:function:a:b:c"] },
      "okActionArns[0]",
      /Lambda function/,
    ],
    ["an address with two dots", { alarmEmails: ["a..b@example.com"] }, "alarmEmails[0]", /e-mail/],
    ["an address beyond ASCII", { alarmEmails: ["größe@example.com"] }, "alarmEmails[0]", /e-mail/],
    [
      "a user that no policy can name",
      { database: { ...place.database, user: "имя" } },
      "database.user",
      /IAM policy/,
    ],
    [
      "a user whose name PostgreSQL keeps",
      { database: { ...place.database, user: "pg_refresh" } },
      "database.user",
      /keeps for itself/,
    ],
    [
      "a database that RDS cannot make",
      { database: { create: {}, name: "my-db" }, network: { create: true } },
      "database.name",
      /RDS gives/,
    ],
    [
      "a port that RDS does not open",
      { database: { create: {}, port: 80 }, network: { create: true } },
      "database.port",
      /RDS opens/,
    ],
    [
      "the mark of a value that a program gives",
      { roleArn: "known after deployment" },
      "roleArn",
      /stands for a value that a program gives/,
    ],
    ["a payload nested without end", { eventPayload: nested(20_000) }, "eventPayload", /nested too deep/],
  ];
  for (const [title, values, key, problem] of single) {
    it(`refuses ${title}, and nothing else`, () => {
      const faults = deployFaults(values);
      assert.deepEqual(
        faults.map((fault) => fault.key),
        [key],
      );
      assert.match(faults[0]?.problem ?? "", problem);
      assert.match(faults[0]?.remedy ?? "", /pulumi config (set|rm) /);
      assert.notEqual(faults[0]?.limit, "");
    });
  }

  const [first = "", second = ""] = place.network.subnetIds;
  const subnets = (...subnetIds: string[]) => ({ network: { ...place.network, subnetIds } });
  const remedies: [string, Record<string, unknown>, string[]][] = [
    [
      "too many tags",
      { tags: Object.fromEntries(topics(46).map((_, index) => [`t${index}`, "x"])) },
      ['take out one of the tags: pulumi config rm --path "tags.<key>"'],
    ],
    [
      "variables beyond 4 KB",
      { environment: { LARGE: "x".repeat(MOST_ENVIRONMENT_BYTES) } },
      ['shorten variables, or take some out: pulumi config rm --path "environment.<key>"'],
    ],
    [
      "views beyond 4 KB",
      { views: manyViews, groupName: "many" },
      ['take views out, the last one first, for a group of their own: pulumi config rm --path "views[59]"'],
    ],
    [
      "a payload beyond EventBridge's",
      { eventPayload: payload(8_193) },
      ['shorten it, or take a part out: pulumi config rm --path "eventPayload.<key>"'],
    ],
    ["six topics", { alarmTopicArns: topics(6) }, ['pulumi config rm --path "alarmTopicArns[5]"']],
    [
      "seven topics",
      { okActionArns: topics(7) },
      ['pulumi config rm --path "okActionArns[6]" && pulumi config rm --path "okActionArns[5]"'],
    ],
    [
      "addresses twice",
      { alarmEmails: ["a@b.de", "a@b.de", "c@b.de", "c@b.de"] },
      ['pulumi config rm --path "alarmEmails[3]"', 'pulumi config rm --path "alarmEmails[1]"'],
    ],
    [
      "one subnet",
      subnets(first),
      ['pulumi config set --path "network.subnetIds[1]" "<a second subnet in another zone>"'],
    ],
    [
      "one subnet twice",
      subnets(first, first),
      ['pulumi config set --path "network.subnetIds[1]" "<a second subnet in another zone>"'],
    ],
    [
      "one subnet of three twice",
      subnets(first, first, second),
      ['pulumi config rm --path "network.subnetIds[1]"'],
    ],
    [
      "a view that is no list",
      { views: "reporting.sales" },
      ['pulumi config rm views && pulumi config set --path "views[0]" reporting.sales'],
    ],
    [
      "a view's parts that are no list",
      { views: { name: "reporting.sales" } },
      ['pulumi config rm views && pulumi config set --path "views[0].name" reporting.sales'],
    ],
    [
      "an address that is no list",
      { alarmEmails: "ops@example.com" },
      ['pulumi config rm alarmEmails && pulumi config set --path "alarmEmails[0]" ops@example.com'],
    ],
    [
      "text for tags",
      { tags: "team=x" },
      ['pulumi config rm tags && pulumi config set --path "tags.<key>" "<value>"'],
    ],
    [
      "a view that is no JSON",
      { views: ["{name: reporting.sales}"] },
      ['pulumi config set --path "views[0]" "<value>"'],
    ],
    ["a view without a schema", { views: ["sales"] }, ['pulumi config set --path "views[0]" public.sales']],
    [
      "a view without quotes",
      { views: [{ name: "reporting.my-view" }] },
      [`pulumi config set --path "views[0].name" '"reporting"."my-view"'`],
    ],
    [
      "a key mistyped beside the right one",
      { refreshRate: "rate(5 minutes)", refreshrate: "rate(1 minute)" },
      ["pulumi config rm refreshrate"],
    ],
  ];
  for (const [title, values, expected] of remedies) {
    it(`keeps what is right where it tells how to mend ${title}`, () => {
      assert.deepEqual(
        deployFaults(values).map(({ remedy }) => remedy),
        expected,
      );
    });
  }

  it("takes every name that fits what is made with it, and no longer one", () => {
    const prefixes: [Record<string, unknown>, number][] = [
      [{}, 64],
      [created(), 52],
      [created(true), 49],
    ];
    for (const [values, longest] of prefixes) {
      const namePrefix = "a".repeat(longest - "-refresh-job-progress".length);
      assert.deepEqual(deployFaults({ ...values, namePrefix }), []);
      assert.equal(deployFaults({ ...values, namePrefix: `${namePrefix}a` }).length, 1);
    }
    for (const namePrefix of ["a--b", "Team", "sgx", "data-sg-x"]) {
      assert.deepEqual(deployFaults({ namePrefix }), []);
    }
    const [fault] = deployFaults({ ...created(), namePrefix: "My--Team" });
    assert.equal(fault?.remedy, "pulumi config set namePrefix my-team");
  });

  it("takes as many topics and as long a payload as AWS does", () => {
    const most = { alarmTopicArns: topics(5), okActionArns: topics(5), eventPayload: payload(8_192) };
    assert.deepEqual(deployFaults(most), []);
    const beside = { alarmTopicArns: topics(4), alarmEmails: ["ops@example.com"] };
    assert.deepEqual(deployFaults(beside), []);
  });

  it("refuses a topic of another region, where the stack's is known", () => {
    const values = { ...place, alarmTopicArns: [...topics(1), ...topics(1, "eu-west-1")] };
    assert.doesNotThrow(() => parseSettings(values, "deploy"));
    assert.throws(
      () => parseSettings(values, "deploy", "us-east-1"),
      (error: Error) => {
        assert.ok(error instanceof SettingsFaults);
        assert.deepEqual(
          error.faults.map(({ key, remedy }) => [key, remedy]),
          [
            [
              "alarmTopicArns[1]",
              'pulumi config set --path "alarmTopicArns[1]" arn:aws:sns:us-east-1:123456789012:on-call-0',
            ],
          ],
        );
        return true;
      },
    );
  });

  const asPatterns: ["user" | "resourceId", string][] = [
    ["user", "*"],
    ["user", "refresher?"],
    ["user", "${aws:username}"],
    ["resourceId", "*"],
    ["resourceId", "cluster-*"],
    ["resourceId", "db-${aws:userid}"],
  ];
  for (const [name, value] of asPatterns) {
    it(`refuses ${value} as database.${name}, at once and when it is known later`, () => {
      const faults = deployFaults({ database: { ...place.database, [name]: value } });
      assert.deepEqual(
        faults.map(({ key, value: quoted }) => [key, quoted]),
        [[`database.${name}`, JSON.stringify(value)]],
      );
      assert.throws(
        () => checkArrived(name, value),
        (error: Error) => error instanceof SettingsFaults && error.faults[0]?.problem === faults[0]?.problem,
      );
    });
  }

  it("takes a user and a resource id that are known later, or absent", () => {
    for (const user of [place.database.user, "a$b", undefined]) checkArrived("user", user);
    for (const id of ["db-ABCDEFGHIJKLMNOPQRSTUVWXYZ", "prx-0123456789abcdef0"]) {
      checkArrived("resourceId", id);
    }
  });

  it("takes a proxy's ARN for its id", () => {
    const proxy = "arn:aws:rds:us-east-1:123456789012:db-proxy:prx-0123456789abcdef0";
    const database = { ...place.database, resourceId: undefined, proxy };
    assert.deepEqual(deployFaults({ database }), []);
  });

  it("accepts as a promise what an alarm keeps while metrics come a minute late, and no less", () => {
    for (const [refreshRate, maxStalenessSeconds] of [
      ["rate(12 seconds)", 480],
      ["rate(30 seconds)", 480],
      ["rate(1 minute)", 480],
      ["rate(5 minutes)", 660],
      ["rate(1 day)", 97_320],
    ] as const) {
      assert.equal(
        parseSettings({ refreshRate, maxStalenessSeconds }, "local").maxStalenessSeconds,
        maxStalenessSeconds,
      );
      const [fault] = faultsOf({ refreshRate, maxStalenessSeconds: maxStalenessSeconds - 1 });
      assert.deepEqual(
        [fault?.key, fault?.limit],
        ["maxStalenessSeconds", `at least ${maxStalenessSeconds}`],
      );
    }
  });

  it("accepts every log retention that AWS does", () => {
    for (const days of LOG_RETENTION_DAYS) assert.deepEqual(faultsOf({ logRetentionDays: String(days) }), []);
  });

  it("throws nothing but the list of faults, whatever it is given", () => {
    const keys = fc.constantFrom(
      "views",
      "refreshRate",
      "timeoutSeconds",
      "alarms",
      "database",
      "network",
      "tags",
      "environment",
      "eventPayload",
      "alarmEmails",
      "other",
    );
    fc.assert(
      fc.property(fc.dictionary(keys, fc.oneof(fc.jsonValue(), fc.json(), fc.string())), (values) => {
        for (const purpose of ["deploy", "local", "component"] as const) {
          for (const fault of faultsOf(values, purpose)) {
            for (const part of Object.values(fault)) assert.ok(typeof part === "string" && part !== "");
          }
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("view names", () => {
  const part = fc
    .string({ minLength: 1, maxLength: 15, unit: "grapheme" })
    .filter((text) => !/\p{Cc}/u.test(text) && Buffer.byteLength(text) <= 63);

  it("are read back as they were written", () => {
    fc.assert(
      fc.property(part, part, (schema, name) => {
        assert.deepEqual(readViewName(writeViewName({ schema, name })).name, { schema, name });
      }),
    );
  });

  it("are folded without quotes and kept inside them, as in SQL", () => {
    assert.deepEqual(readViewName("Public.Job_Progress").name, { schema: "public", name: "job_progress" });
    // As PostgreSQL has it in UTF-8; a letter that is longer in lower case would have passed the limit.
    assert.deepEqual(readViewName("public.ÄPFEL").name, { schema: "public", name: "Äpfel" });
    assert.deepEqual(readViewName(`public.${"İ".repeat(31)}`).name, {
      schema: "public",
      name: "İ".repeat(31),
    });
    assert.deepEqual(readViewName('public."x""; drop table jobs; --"').name, {
      schema: "public",
      name: 'x"; drop table jobs; --',
    });
  });

  for (const text of [
    "",
    "a",
    "a.",
    ".a",
    "a.b.c",
    'a."b',
    'a."b"c',
    "a b.c",
    'a.""',
    "1a.b",
    'a."\u0007"',
    "a.b; drop table c",
  ]) {
    it(`${JSON.stringify(text)} is none`, () => {
      assert.ok(readViewName(text).problem);
    });
  }
});
