/**
 * What AWS and PostgreSQL refuse of a plan, written from their documentation and not from the product: nothing of
 * the product's own limits is imported here.
 */
import type { Plan } from "../../../components/plan/plan";
import type { AlarmPlan } from "../../../components/plan/planTypes";

/** Collects what would be refused. */
class Findings {
  readonly all: string[] = [];

  expect(holds: boolean, what: string, value: unknown): void {
    if (!holds) this.all.push(`${what}: ${String(JSON.stringify(value)).slice(0, 200)}`);
  }

  text(value: string, what: string, most: number, pattern = /^/, least = 1): void {
    this.expect(value.length >= least && value.length <= most, `${what} is ${value.length} long`, value);
    this.expect(pattern.test(value) && !/\p{Cs}/u.test(value), `${what} has signs that are not taken`, value);
  }

  within(value: number, what: string, least: number, most: number): void {
    this.expect(Number.isInteger(value) && value >= least && value <= most, `${what} is out of range`, value);
  }
}

/** The items of a list; none where the list as a whole is known later. */
function listed(values: string[] | undefined): string[] {
  return Array.isArray(values) ? values : [];
}

/** No control characters, as in XML and JSON alike. */
const PRINTABLE = /^\P{Cc}*$/u;

/** Lambda: CreateFunction, VpcConfig, Environment. */
function functionRefusals(plan: Plan, found: Findings): void {
  const fn = plan.function;
  found.text(fn.name, "function name", 64, /^[A-Za-z0-9_-]+$/);
  found.text(fn.description, "function description", 256, /^/, 0);
  found.within(fn.timeoutSeconds, "function timeout", 1, 900);
  found.within(fn.memoryMb, "function memory", 128, 10_240);
  found.expect(["nodejs22.x", "nodejs24.x"].includes(fn.runtime), "runtime", fn.runtime);
  if (fn.reservedConcurrency !== undefined) found.within(fn.reservedConcurrency, "concurrency", 0, 1_000);
  const { subnetIds, vpcId, securityGroupId, databaseSecurityGroupId } = plan.settings.network;
  found.expect(listed(subnetIds).length <= 16, "more than 16 subnets", subnetIds?.length);
  for (const id of listed(subnetIds)) found.text(id, "subnet", 24, /^subnet-([0-9a-f]{8}|[0-9a-f]{17})$/);
  if (vpcId !== undefined) found.text(vpcId, "VPC", 21, /^vpc-([0-9a-f]{8}|[0-9a-f]{17})$/);
  for (const id of [securityGroupId, databaseSecurityGroupId])
    if (id !== undefined) found.text(id, "security group", 20, /^sg-([0-9a-f]{8}|[0-9a-f]{17})$/);
  for (const [name, value] of Object.entries(plan.settings.environment)) {
    found.text(name, "variable", 4_096, /^[A-Za-z][A-Za-z0-9_]+$/, 2);
    found.expect(!/\0|\p{Cs}/u.test(value), "variable's value", value);
  }
}

/** EventBridge: PutRule, PutTargets. SQS: CreateQueue. */
function tickRefusals({ rule, targets, queues, function: fn }: Plan, found: Findings): void {
  found.text(rule.name, "rule name", 64, /^[.\-_A-Za-z0-9]+$/);
  found.text(rule.description, "rule description", 512, PRINTABLE, 0);
  found.text(
    rule.scheduleExpression,
    "schedule expression",
    256,
    /^(rate\((1 (minute|hour|day)|[1-9]\d* (minutes|hours|days))\)|cron\(\S+( \S+){5}\))$/,
  );
  found.expect(rule.scheduleExpression !== "rate(1 minutes)", "plural", rule.scheduleExpression);
  found.expect(targets.length >= 1 && targets.length <= 5, "targets of a rule", targets.length);
  found.expect(new Set(targets.map(({ id }) => id)).size === targets.length, "a target twice", targets);
  for (const target of targets) {
    found.text(target.id, "target id", 64, /^[.\-_A-Za-z0-9]+$/);
    found.within(target.retryAttempts, "retries of a target", 0, 185);
    found.within(target.eventAgeSeconds, "event age", 60, 21_600);
    if (target.input !== undefined) found.text(target.input, "input of a target", 8_192);
  }
  for (const queue of queues) {
    found.text(queue.name, "queue name", 80, /^[A-Za-z0-9_-]+$/);
    found.within(queue.delaySeconds, "delay", 0, 900);
    found.within(queue.retentionSeconds, "retention", 60, 1_209_600);
    found.within(queue.visibilityTimeoutSeconds, "visibility timeout", fn.timeoutSeconds, 43_200);
    found.within(queue.maximumConcurrency, "concurrency of a mapping", 2, 1_000);
    found.within(queue.batchSize, "batch size", 1, 10);
  }
}

/** CloudWatch: Dimension. */
function dimensionRefusals(dimensions: Record<string, string>, found: Findings): void {
  for (const [name, value] of Object.entries(dimensions)) {
    found.text(name, "dimension name", 255, /^[\x21-\x7e]+$/);
    found.text(value, "dimension value", 1_024, /^[\x20-\x7e]*[\x21-\x7e][\x20-\x7e]*$/);
    found.expect(!value.startsWith(":"), "dimension value begins with a colon", value);
  }
}

/** CloudWatch: PutMetricAlarm. */
function alarmRefusals(alarms: AlarmPlan[], found: Findings): void {
  for (const what of ["name", "key"] as const) {
    const values = alarms.map((alarm) => alarm[what]);
    found.expect(new Set(values).size === values.length, `an alarm ${what} twice`, values);
  }
  for (const alarm of alarms) {
    const { periodSeconds: period, evaluationPeriods: periods } = alarm;
    found.text(alarm.name, "alarm name", 255, PRINTABLE);
    found.text(alarm.description, "alarm description", 1_024, PRINTABLE, 0);
    found.expect([10, 20, 30].includes(period) || (period > 0 && period % 60 === 0), "period", alarm);
    found.within(periods, "evaluation periods", 1, 604_800);
    found.within(alarm.datapointsToAlarm, "datapoints to alarm", 1, periods);
    found.expect(period * periods <= (period >= 3_600 ? 604_800 : 86_400), "window", [period, periods]);
    found.expect(Number.isFinite(alarm.threshold), "threshold", alarm.threshold);
    if (alarm.warmUpSeconds !== undefined) found.within(alarm.warmUpSeconds, "warm-up", 1, 2_880 * 60);
    if (alarm.expression !== undefined) found.text(alarm.expression, "expression", 1_024);
    const ids = alarm.metrics.map(({ id }) => id as string);
    found.expect(new Set([...ids, "alarm"]).size === ids.length + 1, "a metric id twice", ids);
    found.expect(ids.length <= 10, "metrics of an alarm", ids);
    for (const { id, dimensions, name, namespace } of alarm.metrics) {
      found.text(id, "metric id", 255, /^[a-z][A-Za-z0-9_]*$/);
      found.text(name, "metric name", 255, /^[\x21-\x7e]+$/);
      found.text(namespace, "namespace", 255, /^[^:][.\-_/#A-Za-z0-9]*$/);
      dimensionRefusals(dimensions, found);
    }
  }
}

/** IAM: CreateRole, PutRolePolicy, Tag. CloudWatch Logs: CreateLogGroup, PutRetentionPolicy. */
function otherRefusals(plan: Plan, found: Findings): void {
  const { names, settings, tags } = plan;
  found.text(names.role, "role name", 64, /^[\w+=,.@-]+$/);
  found.text(settings.rolePath, "role path", 512, /^(\/|\/[\x21-\x7e]+\/)$/);
  found.text(settings.logGroupName ?? names.logGroup, "log group", 512, /^(?!aws\/)[.\-_/#A-Za-z0-9]+$/);
  const days = [
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1_096, 1_827, 2_192, 2_557, 2_922,
  ];
  found.expect(
    [...days, 3_288, 3_653].includes(settings.logRetentionDays),
    "retention",
    settings.logRetentionDays,
  );
  found.text(names.dashboard, "dashboard name", 255, /^[A-Za-z0-9_-]+$/);
  found.text(names.topic, "topic name", 256, /^[A-Za-z0-9_-]+$/);
  found.text(names.securityGroup, "group name", 255, /^(?!sg-)[A-Za-z0-9. _\-:/()#,@[\]+=&;{}!$*]+$/i);
  found.expect(Object.keys(tags).length <= 45, "tags", Object.keys(tags).length);
  // IAM tells keys apart by more than their case alone.
  const keys = Object.keys(tags).map((key) => key.toLowerCase());
  found.expect(new Set(keys).size === keys.length, "a tag twice", Object.keys(tags));
  found.expect(tags["matview-refresh:group"] === names.group, "the group's tag is another's", tags);
  for (const [key, value] of Object.entries(tags)) {
    found.text(key, "tag key", 128, /^(?!aws:)[\p{L}\p{Z}\p{N}_.:/=+\-@]+$/iu);
    found.text(value, "tag value", 256, /^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$/u, 0);
  }
  const { user } = settings.database;
  // The signs of a policy document; what cannot stand in the ARN of one user alone.
  if (user !== undefined) found.text(user, "user in a policy", 63, /^[\x20-\xff]+$/);
  found.expect(user === undefined || !/[*?]|\$\{/.test(user), "user is a pattern", user);
}

const PLACE = "(?!cn-)[a-z]{2}-[a-z]+-\\d";
const PLACES = `(aws:SERVICE:${PLACE}|aws-cn:SERVICE:cn-[a-z]+-\\d|aws-us-gov:SERVICE:us-gov-[a-z]+-\\d):\\d{12}`;
const SHAPES: Record<string, [service: string, rest: string]> = {
  sns: ["sns", "[A-Za-z0-9_-]{1,256}"],
  sqs: ["sqs", "[A-Za-z0-9_-]{1,80}"],
  lambda: ["lambda", "function:[A-Za-z0-9_-]{1,64}(:(\\$LATEST|[A-Za-z0-9_-]{1,128}))?"],
  kms: ["kms", "key/[0-9a-z-]{36}"],
  secretsmanager: ["secretsmanager", "secret:[A-Za-z0-9/_+=.@!-]{1,512}-[A-Za-z0-9]{6}"],
  rds: ["rds", "db-proxy:prx-[0-9a-z]+"],
};

function regionalArn(service: string): RegExp {
  const [name, rest] = SHAPES[service] ?? ["", ""];
  return new RegExp(`^arn:${PLACES.replaceAll("SERVICE", name)}:${rest}$`);
}

const GLOBAL = "^arn:aws(-cn|-us-gov)?:iam:";

/** ARNs and addresses, by the shapes that each service documents. */
function shapeRefusals({ settings }: Plan, region: string | undefined, found: Findings): void {
  const { database, alarmEmails, failureQueueArn, failureTopicArn } = settings;
  const [alarmTopicArns, okActionArns] = [listed(settings.alarmTopicArns), listed(settings.okActionArns)];
  const check = (value: unknown, service: string, what: string): void => {
    if (typeof value === "string") found.text(value, what, 2_048, regionalArn(service));
  };
  for (const action of okActionArns) check(action, action.includes(":lambda:") ? "lambda" : "sns", "action");
  for (const topic of alarmTopicArns) check(topic, "sns", "topic");
  check(failureQueueArn, "sqs", "queue");
  check(failureTopicArn, "sns", "topic");
  check(settings.kmsKeyArn, "kms", "key");
  check(database.secretKmsKeyArn, "kms", "key");
  check(database.secretArn, "secretsmanager", "secret");
  check(database.proxy, "rds", "proxy");
  const role = new RegExp(`${GLOBAL}:\\d{12}:role/([\\x21-\\x7e]+/)?[\\w+=,.@-]{1,64}$`);
  if (settings.roleArn !== undefined) found.text(settings.roleArn, "role", 2_048, role);
  const policy = new RegExp(`${GLOBAL}:(\\d{12}|aws):policy/([\\x21-\\x7e]+/)?[\\w+=,.@-]{1,128}$`);
  const boundary = settings.permissionsBoundaryArn;
  if (boundary !== undefined) found.text(boundary, "boundary", 2_048, policy);
  for (const email of alarmEmails)
    found.text(
      email,
      "e-mail",
      320,
      /^[\x21-\x7e]{1,64}@([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z]{2,}$/,
    );
  const actions = alarmTopicArns.length + (alarmEmails.length > 0 ? 1 : 0);
  found.expect(actions <= 5 && okActionArns.length <= 5, "actions of an alarm", [
    actions,
    okActionArns.length,
  ]);
  // Alarms tell, and functions are encrypted with and look for, what is in their own region.
  const { kmsKeyArn } = settings;
  for (const near of [
    ...alarmTopicArns,
    ...okActionArns,
    kmsKeyArn,
    database.secretArn,
    database.secretKmsKeyArn,
  ])
    found.expect(region === undefined || near === undefined || near.split(":")[3] === region, "region", near);
}

/** RDS: CreateDBInstance. */
function databaseRefusals({ settings, names }: Plan, found: Findings): void {
  const { create, name, port } = settings.database;
  if (create === undefined) return;
  found.within(create.storageGb, "storage", 20, 65_536);
  if (name !== undefined) found.text(name, "database made with the stack", 63, /^[A-Za-z][A-Za-z0-9_]*$/);
  if (port !== undefined) found.within(port, "port of a database made with the stack", 1_150, 65_535);
  const identifier = `${names.base}-${create.proxy ? "proxy" : "db"}-0123456`;
  found.text(identifier, "RDS identifier", 63, /^[a-z](-?[a-z0-9])*$/);
}

/** PostgreSQL: identifiers, names of roles. */
function nameRefusals({ views, settings }: Plan, found: Findings): void {
  const identifiers = views.flatMap(({ schema, name, statistics }) => [
    ...[schema, name],
    ...(statistics === undefined ? [] : [statistics.schema, statistics.name]),
  ]);
  const { name, user } = settings.database;
  for (const identifier of [...identifiers, name, user]) {
    if (identifier === undefined) continue;
    found.within(Buffer.byteLength(identifier), `bytes of identifier ${identifier}`, 1, 63);
    found.text(identifier, "identifier", 63, /^[^\0]+$/);
  }
  found.expect(
    user === undefined || !/^(pg_|public$|none$)/.test(user),
    "a role's name that is reserved",
    user,
  );
  const seen = new Set(views.map(({ schema, name: bare }) => JSON.stringify([schema, bare])));
  found.expect(seen.size === views.length, "a view twice", views);
}

/**
 * Everything that would be refused.
 * @param mark stands for texts that another resource gives later; absent where there are none.
 */
export function refusals(plan: Plan, region?: string, mark?: string): string[] {
  const found = new Findings();
  functionRefusals(plan, found);
  tickRefusals(plan, found);
  alarmRefusals(plan.alarms, found);
  otherRefusals(plan, found);
  shapeRefusals(plan, region, found);
  databaseRefusals(plan, found);
  nameRefusals(plan, found);
  return mark === undefined ? found.all : found.all.filter((finding) => !finding.includes(mark));
}
