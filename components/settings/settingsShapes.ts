/**
 * The shape of every settings key: how its value is read and what it may be. Values come as Pulumi config gives
 * them (text: "45", "true", JSON for objects and lists) or as YAML does; both are read alike.
 */
import { z } from "zod";
import type { ErrorsAlarmSettings } from "./settings";
import { parseRefreshRate, ScheduleError } from "../time/schedule";
import { choice, flag, list, matching, object, readBy, text, whole, wrong } from "./settingsReaders";
import {
  ALARM_ACTION_ARN,
  BOUNDARY_ARN,
  DESTINATION_ARN,
  EMAIL,
  HOST,
  KMS_KEY_ARN,
  PROXY_ARN,
  RESOURCE_ID,
  ROLE_ARN,
  SECRET_ARN,
  SECURITY_GROUP_ID,
  SUBNET_ID,
  TOPIC_ARN,
  VPC_ID,
} from "./awsIdentifiers";
import { LONGEST_IDENTIFIER_BYTES, readViewName, VIEW_NAME_LIMIT } from "./viewNames";

/** Retention periods that CloudWatch Logs accepts, in days. */
export const LOG_RETENTION_DAYS = [
  1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
];

/** Node runtimes of Lambda that new functions may still use. */
export const RUNTIMES = ["nodejs24.x", "nodejs22.x"] as const;

const relation = readBy(VIEW_NAME_LIMIT, "public.job_progress", (value) => {
  if (typeof value !== "string") return wrong("is not text");
  const { name, problem } = readViewName(value);
  return name ?? wrong(problem);
});

const viewObject = z.strictObject({
  name: relation,
  statistics: relation.optional(),
  allowBlocking: flag().default(true),
});

/** A bare name stands for an object with that name alone. */
const view = z.preprocess((value) => (typeof value === "string" ? { name: value } : value), viewObject);

const schedule = readBy(
  "AWS's rate or cron syntax, or rate(12|15|20|30 seconds)",
  "rate(1 minute)",
  (value) => {
    if (typeof value !== "string") return wrong("is not text");
    try {
      return parseRefreshRate(value);
    } catch (error) {
      if (!(error instanceof ScheduleError)) throw error;
      return wrong(error.problems.join("; "), { limit: error.limit, example: error.suggestion });
    }
  },
);

const identifier = readBy(`1 to ${LONGEST_IDENTIFIER_BYTES} bytes`, "scanner", (value) => {
  if (typeof value !== "string" || value === "") return wrong("is not a name");
  if (/\p{Cc}/u.test(value)) return wrong("has a control character in it");
  const bytes = Buffer.byteLength(value);
  return bytes > LONGEST_IDENTIFIER_BYTES ? wrong(`is ${bytes} bytes long`) : value;
});

const wholeMinutes = readBy("60 to 86400, a multiple of 60", 60, (value) => {
  const seconds = Number(value);
  return Number.isInteger(seconds) && seconds >= 60 && seconds <= 86_400 && seconds % 60 === 0
    ? seconds
    : wrong("is not a period of whole minutes; Lambda reports errors once a minute");
});

const errorsAlarm = z
  .strictObject({
    threshold: whole(0, 1_000_000, 5),
    periodSeconds: wholeMinutes,
    evaluationPeriods: whole(1, 1_440, 2),
    datapointsToAlarm: whole(1, 1_440, 2).optional(),
  })
  .transform((alarm): ErrorsAlarmSettings => ({
    ...alarm,
    datapointsToAlarm: alarm.datapointsToAlarm ?? alarm.evaluationPeriods,
  }));

const alarms = z.strictObject({
  failedTicks: whole(1, 100, 3).optional(),
  slowPercent: whole(1, 99, 80).default(80),
  errors: errorsAlarm.optional(),
});

const proxy = readBy<boolean | string>(`true, false, or ${PROXY_ARN.limit}`, true, (value) => {
  if (value === true || value === "true") return true;
  if (value === false || value === "false") return false;
  return typeof value === "string" && PROXY_ARN.pattern.test(value) ? value : wrong(PROXY_ARN.problem);
});

const retention = readBy(`one of ${LOG_RETENTION_DAYS.join(", ")}`, 14, (value) => {
  const days = LOG_RETENTION_DAYS.find((candidate) => String(candidate) === String(value));
  return days ?? wrong("is not a period that CloudWatch Logs knows");
});

const database = z.strictObject({
  host: matching(HOST).optional(),
  port: whole(1, 65_535, 5_432).optional(),
  name: identifier.optional(),
  user: identifier.optional(),
  auth: choice(["iam", "secret"]).optional(),
  resourceId: matching(RESOURCE_ID).optional(),
  secretArn: matching(SECRET_ARN).optional(),
  secretKmsKeyArn: matching(KMS_KEY_ARN).optional(),
  proxy: proxy.optional(),
  create: z
    .strictObject({
      instanceClass: text(
        /^db\.[a-z0-9-]+\.[a-z0-9]+$/,
        "is not an RDS instance class",
        "a class such as db.t4g.micro",
        "db.t4g.micro",
      ).default("db.t4g.micro"),
      storageGb: whole(20, 65_536, 20).default(20),
      proxy: flag().default(false),
    })
    .optional(),
});

const network = z.strictObject({
  vpcId: matching(VPC_ID).optional(),
  subnetIds: z.array(matching(SUBNET_ID)).optional(),
  databaseSecurityGroupId: matching(SECURITY_GROUP_ID).optional(),
  securityGroupId: matching(SECURITY_GROUP_ID).optional(),
  secretsEndpoint: flag().optional(),
  create: flag().optional(),
  zones: whole(2, 6, 2).optional(),
});

/** A text a name; numbers and truth values are taken as written, since `--path` makes them of text that looks so. */
const texts = z.record(
  z.string(),
  readBy("text", "value", (value) =>
    ["string", "number", "boolean"].includes(typeof value) ? String(value) : wrong("is not text"),
  ),
);

const runbookUrl = readBy("an https address", "https://example.com/runbook", (value) => {
  const isUrl = typeof value === "string" && URL.canParse(value) && /^https?:\/\//.test(value);
  if (!isUrl || /[\s<>"]/.test(value)) return wrong("is not a web address");
  return value.length > 500 ? wrong(`is ${value.length} long`, { limit: "500 at most" }) : value;
});

const budget = readBy("above 0, in US dollars", 25, (value) => {
  const usd = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  return typeof usd === "number" && Number.isFinite(usd) && usd > 0
    ? usd
    : wrong("is not an amount of money");
});

const namePrefix = text(
  /^[A-Za-z](?:[A-Za-z0-9-]*[A-Za-z0-9])?$/,
  "does not begin with a letter, or has other signs in it than letters, digits and hyphens",
  "letters, digits and hyphens, beginning with a letter",
  "matview",
);

const groupName = text(
  /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/,
  "is empty or has other signs in it than ASCII's",
  "printable ASCII, for instance billing",
  "billing",
);

const logGroupName = text(
  /^[A-Za-z0-9_./#-]{1,512}$/,
  "is not a log group's name",
  "1 to 512 of letters, digits and _ - / . #",
  "/aws/lambda/matview-refresh-job-progress",
);

const rolePath = text(
  /^\/(?:[\x21-\x7e]{1,510}\/)?$/,
  "does not begin and end with a slash",
  "a path that begins and ends with a slash",
  "/",
);

/**
 * Every key with its shape, in the order faults are told. `emptyIsAbsent`: a key that Pulumi.yaml declares with
 * a default that stands for "not given" ("" for text, 0 or -1 for numbers), because a declared key without a
 * default would be required of every stack.
 */
export const SETTING_SHAPES = {
  namePrefix: { shape: namePrefix.default("matview") },
  groupName: { shape: groupName.optional(), absent: [""] },
  views: {
    shape: list(view, "at least one view", [{ name: "public.job_progress" }], 1).default([
      {
        name: { schema: "public", name: "job_progress" },
        statistics: { schema: "public", name: "job_progress_statistics" },
        allowBlocking: true,
      },
    ]),
  },
  refreshRate: { shape: schedule.default(parseRefreshRate("rate(1 minute)")) },
  refreshEnabled: { shape: flag().default(true) },
  maxStalenessSeconds: { shape: whole(1, 604_800, 300).optional(), absent: ["", 0, "0"] },
  timeoutSeconds: { shape: whole(3, 900, 60).default(60) },
  memoryMb: { shape: whole(128, 10_240, 256).default(256) },
  architecture: { shape: choice(["arm64", "x86_64"]).default("arm64") },
  runtime: { shape: choice(RUNTIMES).default("nodejs24.x") },
  environment: { shape: object(texts, {}).default({}) },
  reservedConcurrency: { shape: whole(1, 1_000, 5).optional(), absent: ["", -1, "-1"] },
  eventPayload: {
    shape: object(z.record(z.string(), z.unknown()), {}).optional(),
  },
  eventAgeSeconds: { shape: whole(60, 21_600, 60).default(60) },
  failureDestinationArn: { shape: matching(DESTINATION_ARN).optional(), absent: [""] },
  roleArn: { shape: matching(ROLE_ARN).optional(), absent: [""] },
  permissionsBoundaryArn: { shape: matching(BOUNDARY_ARN).optional(), absent: [""] },
  rolePath: { shape: rolePath.default("/") },
  kmsKeyArn: { shape: matching(KMS_KEY_ARN).optional(), absent: [""] },
  alarms: { shape: object(alarms, {}).default({ slowPercent: 80 }) },
  alarmEmails: { shape: list(matching(EMAIL), "e-mail addresses", ["ops@example.com"]).default([]) },
  alarmTopicArns: { shape: list(matching(TOPIC_ARN), "SNS topics", [TOPIC_ARN.example]).default([]) },
  okActionArns: { shape: list(matching(ALARM_ACTION_ARN), "SNS topics", [TOPIC_ARN.example]).default([]) },
  runbookUrl: { shape: runbookUrl.optional(), absent: [""] },
  logRetentionDays: { shape: retention.default(14) },
  logFormat: { shape: choice(["json", "text"]).default("json") },
  logGroupName: { shape: logGroupName.optional(), absent: [""] },
  historyRetentionDays: { shape: whole(1, 3_650, 30).default(30) },
  database: { shape: object(database, {}).default({}) },
  network: { shape: object(network, {}).default({}) },
  monthlyBudgetUsd: { shape: budget.optional(), absent: ["", 0, "0"] },
  tags: { shape: object(texts, {}).default({}) },
} satisfies Record<string, { shape: z.ZodType; absent?: unknown[] }>;

/** A known settings key. */
export type SettingKey = keyof typeof SETTING_SHAPES;

/** Known keys inside objects, by the object's path with list positions left out; for finding the nearest. */
export const NESTED_KEYS: Record<string, string[]> = {
  views: Object.keys(viewObject.shape),
  alarms: Object.keys(alarms.shape),
  "alarms.errors": ["threshold", "periodSeconds", "evaluationPeriods", "datapointsToAlarm"],
  database: Object.keys(database.shape),
  "database.create": ["instanceClass", "storageGb", "proxy"],
  network: Object.keys(network.shape),
};

/** What the shapes make of the values, key by key. */
export type ShapedSettings = { [Key in SettingKey]: z.output<(typeof SETTING_SHAPES)[Key]["shape"]> };
