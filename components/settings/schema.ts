/**
 * Every setting: how its value is read, what it may be and its default. Types, the list of keys and the messages are
 * inferred from here; rules.ts holds what settings must be to one another. Values come as Pulumi config gives them
 * (text: "45", "true", JSON for objects and lists), as YAML does, or as arguments of a program; all are read alike,
 * and what comes out is read again to the same.
 */
import { z } from "zod";
import { LOG_RETENTION_DAYS, RUNTIMES } from "../time/limits";
import { parseRefreshRate, ScheduleError, type Schedule } from "../time/schedule";
import { holdsSecret } from "./faults";
import * as ids from "./identifiers";
import {
  identifierProblem,
  LONGEST_IDENTIFIER_BYTES,
  quoteIdentifier,
  readViewName,
  VIEW_NAME_LIMIT,
  writeViewName,
} from "./names";
import {
  choice,
  flag,
  isObject,
  later,
  list,
  matching,
  object,
  readBy,
  record,
  text,
  whole,
  wholeNumber,
  wrong,
  WrongValue,
} from "./readers";

const relation = readBy(VIEW_NAME_LIMIT, "public.job_progress", (value) => {
  if (typeof value !== "string") return wrong("is not text");
  const { name, problem } = readViewName(value);
  if (name !== undefined) return writeViewName(name);
  if (holdsSecret("", value)) return wrong("is not the name of a view", { example: "<schema>.<name>" });
  const quoted = value.split(".").map(quoteIdentifier).join(".");
  const meant = [`public.${value}`, quoted, `public.${quoted}`].find((text) => readViewName(text).name);
  return wrong(problem, { example: meant ?? "<schema>.<name>" });
});

/** A schedule, or what is wrong with its text. */
function readRate(text: string): Schedule | WrongValue {
  try {
    return parseRefreshRate(text);
  } catch (error) {
    if (!(error instanceof ScheduleError)) throw error;
    return wrong(error.problems.join("; "), { limit: error.limit, example: error.suggestion });
  }
}

const MOST_FULL_EVERY_SECONDS = 30 * 86_400;
const FULL_EVERY_LIMIT = "rate(n minutes|hours|days), from rate(1 minute) to rate(30 days)";

const fullEvery = readBy(FULL_EVERY_LIMIT, "rate(1 day)", (value) => {
  if (typeof value !== "string" || !/^\s*rate\(.*(?:minute|hour|day)s?\s*\)\s*$/.test(value))
    return wrong("is not a rate of minutes, hours or days");
  const rate = readRate(value);
  if (rate instanceof WrongValue) return wrong(rate.problem, { example: rate.hint.example });
  return rate.intervalSeconds <= MOST_FULL_EVERY_SECONDS
    ? rate.ruleExpression
    : wrong("is longer than 30 days", { example: "rate(30 days)" });
});

const viewShape = object({
  name: relation,
  statistics: relation.optional(),
  allowBlocking: flag().default(true),
  incremental: object({
    fullEvery: fullEvery.default("rate(1 day)"),
    allowFullRuns: flag().default(true),
  }).optional(),
});

/** A bare name stands for an object with that name alone. */
const view = z.preprocess((value) => {
  const isShape = isObject(value) || (typeof value === "string" && value.trimStart().startsWith("{"));
  return isShape ? value : { name: value };
}, viewShape);

const refreshRate = readBy(
  "AWS's rate or cron syntax, or rate(12|15|20|30 seconds)",
  "rate(1 minute)",
  (value) => {
    if (typeof value !== "string") return wrong("is not text");
    const rate = readRate(value);
    return rate instanceof WrongValue ? rate : rate.refreshRate;
  },
);

const identifier = later(
  readBy(`1 to ${LONGEST_IDENTIFIER_BYTES} bytes`, "scanner", (value) => {
    if (typeof value !== "string" || value === "") return wrong("is not a name");
    const problem = identifierProblem(value);
    return problem === undefined ? value : wrong(problem);
  }),
);

const DATABASE_USER_LIMIT = `1 to ${LONGEST_IDENTIFIER_BYTES} bytes of signs up to ÿ, without *, ? and \${; not public, none or pg_...`;

/**
 * IAM reads `*` and `?` in the ARN of a database user as patterns, and `${...}` as a variable of the policy, and a
 * policy has no signs beyond Latin-1 (PutRolePolicy). PostgreSQL keeps some names of roles for itself.
 */
const databaseUser = later(
  readBy(DATABASE_USER_LIMIT, "matview_refresh", (value) => {
    if (typeof value !== "string" || value === "") return wrong("is not a name");
    if (/[*?]|\$\{/.test(value))
      return wrong("would be read by IAM as a pattern or variable, which more users than one fit");
    if (/^(?:pg_|public$|none$)/.test(value)) return wrong("is a name that PostgreSQL keeps for itself");
    const problem = identifierProblem(value);
    if (problem !== undefined) return wrong(problem);
    return /[^\x20-\xff]/.test(value) ? wrong("has a sign in it that no IAM policy takes") : value;
  }),
);

const wholeMinutes = readBy("60 to 86400, a multiple of 60", 60, (value) => {
  const seconds = wholeNumber(value);
  return seconds !== undefined && seconds >= 60 && seconds <= 86_400 && seconds % 60 === 0
    ? seconds
    : wrong("is not a period of whole minutes; Lambda reports errors once a minute");
});

const alarms = object({
  failedTicks: whole(1, 100, 3).optional(),
  slowPercent: whole(1, 99, 80).default(80),
  errors: object({
    threshold: whole(0, 1_000_000, 5),
    periodSeconds: wholeMinutes,
    evaluationPeriods: whole(1, 1_440, 2),
    datapointsToAlarm: whole(1, 1_440, 2).optional(),
  }).optional(),
});

const proxy = readBy<boolean | string>(`true, false, or ${ids.PROXY_ARN.limit}`, true, (value) => {
  if (value === true || value === "true") return true;
  if (value === false || value === "false") return false;
  return typeof value === "string" && ids.PROXY_ARN.pattern.test(value)
    ? value
    : wrong(ids.PROXY_ARN.problem);
});

const retention = readBy(`one of ${LOG_RETENTION_DAYS.join(", ")}`, 14, (value) => {
  const given = wholeNumber(value);
  const days = LOG_RETENTION_DAYS.find((candidate) => candidate === given);
  return days ?? wrong("is not a period that CloudWatch Logs knows");
});

const database = object({
  host: later(matching(ids.HOST)).optional(),
  port: later(whole(1, 65_535, 5_432)).optional(),
  name: identifier.optional(),
  user: databaseUser.optional(),
  auth: choice(["iam", "secret"]).optional(),
  resourceId: later(matching(ids.RESOURCE_ID)).optional(),
  secretArn: later(matching(ids.SECRET_ARN)).optional(),
  secretKmsKeyArn: later(matching(ids.KMS_KEY_ARN)).optional(),
  proxy: proxy.optional(),
  create: object({
    instanceClass: text(
      /^db\.[a-z0-9-]+\.[a-z0-9]+$/,
      "is not an RDS instance class",
      "a class such as db.t4g.micro",
      "db.t4g.micro",
    ).default("db.t4g.micro"),
    storageGb: whole(20, 65_536, 20).default(20),
    proxy: flag().default(false),
  }).optional(),
});

const network = object({
  vpcId: later(matching(ids.VPC_ID)).optional(),
  subnetIds: later(list(later(matching(ids.SUBNET_ID)), "subnets", [ids.SUBNET_ID.example])).optional(),
  databaseSecurityGroupId: later(matching(ids.SECURITY_GROUP_ID)).optional(),
  securityGroupId: later(matching(ids.SECURITY_GROUP_ID)).optional(),
  secretsEndpoint: flag().optional(),
  create: flag().optional(),
  zones: whole(2, 6, 2).optional(),
});

/** Numbers and truth values are taken as written, since `--path` makes them of text that looks so. */
const anyText = later(
  readBy("text", "value", (value) =>
    ["string", "number", "boolean"].includes(typeof value) ? String(value) : wrong("is not text"),
  ),
);

const runbookUrl = readBy("an https address", "https://example.com/runbook", (value) => {
  const isUrl = typeof value === "string" && URL.canParse(value) && /^https?:\/\//.test(value);
  // Alarms have it in their descriptions, where AWS takes no control characters.
  if (!isUrl || /[\s<>"\p{Cc}\p{Cs}]/u.test(value)) return wrong("is not a web address");
  return value.length > 500 ? wrong(`is ${value.length} long`, { limit: "500 at most" }) : value;
});

const budget = readBy("above 0, in US dollars", 25, (value) => {
  const usd = typeof value === "string" && /^\s*\d+(?:\.\d+)?\s*$/.test(value) ? Number(value) : value;
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
  /^(?=.{1,255}$)[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/,
  "is empty, over 255 long, or has other signs in it than ASCII's",
  "1 to 255 of printable ASCII, for instance billing",
  "billing",
);

const topics = (pattern: ids.Pattern) =>
  later(list(later(matching(pattern)), "SNS topics", [ids.TOPIC_ARN.example])).default([]);

/** Every key, in the order faults are told. */
export const SETTINGS = {
  namePrefix: namePrefix.default("matview"),
  groupName: groupName.optional(),
  views: list(view, "at least one view", [{ name: "public.job_progress" }], 1).default([
    {
      name: "public.job_progress",
      statistics: "public.job_progress_statistics",
      allowBlocking: true,
    },
  ]),
  refreshRate: refreshRate.default("rate(1 minute)"),
  refreshEnabled: flag().default(true),
  maxStalenessSeconds: whole(1, 604_800, 300).optional(),
  timeoutSeconds: whole(3, 900, 60).default(60),
  memoryMb: whole(128, 10_240, 256).default(256),
  architecture: choice(["arm64", "x86_64"]).default("arm64"),
  runtime: choice(RUNTIMES).default("nodejs24.x"),
  environment: record(anyText).default({}),
  reservedConcurrency: whole(1, 1_000, 5).optional(),
  eventPayload: record(z.unknown()).optional(),
  eventAgeSeconds: whole(60, 21_600, 60).default(60),
  failureQueueArn: later(matching(ids.QUEUE_ARN)).optional(),
  failureTopicArn: later(matching(ids.TOPIC_ARN)).optional(),
  roleArn: later(matching(ids.ROLE_ARN)).optional(),
  permissionsBoundaryArn: later(matching(ids.BOUNDARY_ARN)).optional(),
  rolePath: text(
    /^\/(?:[\x21-\x7e]{1,510}\/)?$/,
    "does not begin and end with a slash",
    "a path that begins and ends with a slash",
    "/",
  ).default("/"),
  kmsKeyArn: later(matching(ids.KMS_KEY_ARN)).optional(),
  alarms: alarms.default({ slowPercent: 80 }),
  alarmEmails: list(matching(ids.EMAIL), "e-mail addresses", ["ops@example.com"]).default([]),
  alarmTopicArns: topics(ids.TOPIC_ARN),
  okActionArns: topics(ids.ALARM_ACTION_ARN),
  runbookUrl: runbookUrl.optional(),
  logRetentionDays: retention.default(14),
  logFormat: choice(["json", "text"]).default("json"),
  logGroupName: later(
    text(
      /^(?!aws\/)[A-Za-z0-9_./#-]{1,512}$/,
      "is not a log group's name",
      "1 to 512 of letters, digits and _ - / . #, not beginning with aws/",
      "/aws/lambda/matview-refresh-job-progress",
    ),
  ).optional(),
  historyRetentionDays: whole(1, 3_650, 30).default(30),
  database: database.default({}),
  network: network.default({}),
  monthlyBudgetUsd: budget.optional(),
  tags: record(anyText).default({}),
};

/** A known settings key. */
export type SettingKey = keyof typeof SETTINGS;

/** Every setting, checked and with its default filled in: plain values, under the keys of the stack's config. */
export type Settings = { [Key in SettingKey]: z.output<(typeof SETTINGS)[Key]> };
export type DatabaseSetting = Settings["database"];
export type NetworkSetting = Settings["network"];
export type ErrorsAlarmSetting = NonNullable<Settings["alarms"]["errors"]>;
