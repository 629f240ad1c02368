/** Stacks that the rules have nothing against, hand-written and of this product, for tests to break. */
import assert from "node:assert/strict";
import { makePlan, type Plan } from "../../components/plan/plan";
import { parseSettings } from "../../components/settings/parseSettings";
import { MAX_STALENESS_TAG, MONTHLY_BUDGET_USD_TAG, MONTHLY_USD_TAG } from "../../components/plan/plan";
import { estimateOf } from "../../components/plan/estimate";
import { TYPE } from "../../policy/resource";
import type { RulePolicy } from "../../policy/rule";
import { advice, judge, refusals, type TestResource } from "./judge";

const ACCOUNT = "us-east-1:123456789012";

/** Resources by a short name. */
export type TestStack = Record<string, TestResource>;

/** The resources of stacks, one after the other. */
export function all(...stacks: TestStack[]): TestResource[] {
  return stacks.flatMap((stack) => Object.values(stack));
}

/** What a rule refuses in a stack. */
export async function refused(rule: RulePolicy, stack: TestStack, options = {}): Promise<string[]> {
  return refusals(await judge(rule, all(stack), options));
}

/** What a rule advises about a stack that it does not refuse. */
export async function advised(rule: RulePolicy, stack: TestStack): Promise<string> {
  const said = await judge(rule, all(stack));
  assert.deepEqual(refusals(said), []);
  return advice(said).join("\n");
}

/** A copy with properties of one resource changed; `undefined` takes a property out. */
export function changed(stack: TestStack, key: string, props: Record<string, unknown>): TestStack {
  const resource = stack[key];
  if (resource === undefined) throw new Error(`no resource ${key} in ${Object.keys(stack).join(", ")}`);
  const merged = Object.fromEntries(
    Object.entries({ ...resource.props, ...props }).filter(([, value]) => value !== undefined),
  );
  return { ...stack, [key]: { ...resource, props: merged } };
}

/** A copy without some resources. */
export function without(stack: TestStack, ...keys: string[]): TestStack {
  return Object.fromEntries(Object.entries(stack).filter(([key]) => !keys.includes(key)));
}

export function policyDocument(action: unknown, resource: unknown): string {
  const Statement = [{ Sid: "Only", Effect: "Allow", Action: action, Resource: resource }];
  return JSON.stringify({ Version: "2012-10-17", Statement });
}

const LOG_STREAMS = (name: string) => `arn:aws:logs:${ACCOUNT}:log-group:/aws/lambda/${name}:*`;

/** What function, schedule and role have in common, whoever wrote them. */
function base(name: string, rule: string, expression: string): TestStack {
  const functionArn = `arn:aws:lambda:${ACCOUNT}:function:${name}`;
  const roleArn = `arn:aws:iam::123456789012:role/${name}`;
  return {
    role: { type: TYPE.role, name: `${name}-role`, props: { name, arn: roleArn, assumeRolePolicy: "{}" } },
    policy: {
      type: TYPE.rolePolicy,
      name: `${name}-policy`,
      props: { role: name, policy: policyDocument(["logs:PutLogEvents"], [LOG_STREAMS(name)]) },
    },
    network: {
      type: TYPE.rolePolicyAttachment,
      name: `${name}-network`,
      props: { role: name, policyArn: "arn:aws:iam::aws:policy/service-role/AWSLambdaENIManagementAccess" },
    },
    fn: {
      type: TYPE.function,
      name: `${name}-function`,
      props: { name, arn: functionArn, role: roleArn, runtime: "nodejs24.x", timeout: 60, memorySize: 256 },
    },
    config: {
      type: TYPE.invokeConfig,
      name: `${name}-config`,
      props: { functionName: name, maximumRetryAttempts: 0, maximumEventAgeInSeconds: 60 },
    },
    rule: {
      type: TYPE.rule,
      name: `${name}-rule`,
      props: { name: rule, arn: `arn:aws:events:${ACCOUNT}:rule/${rule}`, scheduleExpression: expression },
    },
    target: { type: TYPE.target, name: `${name}-target`, props: { rule, arn: functionArn } },
    logs: {
      type: TYPE.logGroup,
      name: `${name}-logs`,
      props: { name: `/aws/lambda/${name}`, retentionInDays: 14 },
    },
    topic: {
      type: TYPE.topic,
      name: `${name}-topic`,
      props: { name, arn: `arn:aws:sns:${ACCOUNT}:${name}` },
    },
    subscription: {
      type: TYPE.subscription,
      name: `${name}-subscription`,
      props: { topic: `arn:aws:sns:${ACCOUNT}:${name}`, protocol: "email", endpoint: "on-call@example.com" },
    },
  };
}

/** A stack written by hand, with an errors alarm that can fire. */
export function handWritten(name = "scanner-refresh-matview", expression = "rate(1 minute)"): TestStack {
  return {
    ...base(name, name, expression),
    errors: {
      type: TYPE.alarm,
      name: `${name}-errors`,
      props: {
        name: `${name}-errors`,
        namespace: "AWS/Lambda",
        metricName: "Errors",
        dimensions: { FunctionName: name },
        statistic: "Sum",
        period: 60,
        comparisonOperator: "GreaterThanOrEqualToThreshold",
        threshold: 1,
        evaluationPeriods: 3,
        datapointsToAlarm: 3,
        alarmActions: [`arn:aws:sns:${ACCOUNT}:${name}`],
      },
    },
  };
}

/** What the component makes of a plan, as far as the rules look at it. */
export function ofComponent(values: Record<string, unknown> = {}): TestStack {
  const plan = planOf(values);
  const { names } = plan;
  const stack = base(names.function, names.rule, plan.rule.scheduleExpression);
  const tags = { ...plan.tags, ...promiseTags(plan) };
  const variables = {
    MATVIEW_GROUP: plan.names.group.replaceAll("-", "_"),
    MATVIEW_VIEWS: JSON.stringify(viewsOf(plan)),
    MATVIEW_DATABASE_TLS: "verify-full",
    MATVIEW_DATABASE_AUTH: "iam",
  };
  return {
    ...changed(changed(stack, "rule", { tags }), "fn", {
      tags: plan.tags,
      environment: { variables },
      timeout: plan.function.timeoutSeconds,
    }),
    ...Object.fromEntries(plan.alarms.map((alarm) => [`alarm-${alarm.kind}`, alarmResource(plan, alarm)])),
    ...delayed(plan),
  };
}

function promiseTags(plan: Plan): Record<string, string> {
  const { monthlyBudgetUsd } = plan.settings;
  return {
    [MAX_STALENESS_TAG]: String(plan.maxStalenessSeconds),
    [MONTHLY_USD_TAG]: estimateOf(plan, "us-east-1").totalUsd.toFixed(2),
    ...(monthlyBudgetUsd === undefined ? {} : { [MONTHLY_BUDGET_USD_TAG]: String(monthlyBudgetUsd) }),
  };
}

function planOf(values: Record<string, unknown>): Plan {
  const given = {
    views: ["public.job_progress"],
    database: {
      host: "db.example.com",
      name: "scanner",
      user: "refresh",
      auth: "iam",
      resourceId: "db-ABCDEFGHIJKL0123456789MNOP",
    },
    network: {
      vpcId: "vpc-0a1b2c3d4e5f60718",
      subnetIds: ["subnet-0a1b2c3d4e5f60718", "subnet-0b2c3d4e5f6071829"],
      databaseSecurityGroupId: "sg-0a1b2c3d4e5f60718",
    },
    ...values,
  };
  return makePlan(parseSettings(given, "deploy"));
}

function viewsOf({ alarms }: Plan): { schema: string; name: string }[] {
  return alarms
    .flatMap(({ view }) => view ?? [])
    .map((view) => ({ schema: view.split(".")[0] ?? "", name: view.split(".")[1] ?? "" }));
}

function alarmResource(plan: Plan, alarm: Plan["alarms"][number]): TestResource {
  const { metrics, expression, periodSeconds } = alarm;
  const common = {
    name: alarm.name,
    comparisonOperator: alarm.comparison,
    threshold: alarm.threshold,
    evaluationPeriods: alarm.evaluationPeriods,
    datapointsToAlarm: alarm.datapointsToAlarm,
    treatMissingData: alarm.treatMissingData,
    alarmActions: [`arn:aws:sns:${ACCOUNT}:${plan.names.function}`],
  };
  const queries = metrics.map(({ id, namespace, name: metricName, dimensions, statistic: stat }) => ({
    id,
    metric: { namespace, metricName, dimensions, stat, period: periodSeconds },
  }));
  const [{ metric } = { metric: undefined }] = queries;
  const read =
    expression === undefined
      ? { ...metric, statistic: metric?.stat }
      : { metricQueries: [{ id: "alarm", expression, returnData: true }, ...queries] };
  return { type: TYPE.alarm, name: `${plan.names.base}-${alarm.kind}`, props: { ...common, ...read } };
}

function delayed({ queues, names }: Plan): TestStack {
  return Object.fromEntries(
    queues.flatMap((queue): [string, TestResource][] => {
      const arn = `arn:aws:sqs:${ACCOUNT}:${queue.name}`;
      const props = {
        name: queue.name,
        arn,
        delaySeconds: queue.delaySeconds,
        messageRetentionSeconds: queue.retentionSeconds,
        visibilityTimeoutSeconds: queue.visibilityTimeoutSeconds,
      };
      return [
        [`queue-${queue.delaySeconds}`, { type: TYPE.queue, name: queue.name, props }],
        [
          `mapping-${queue.delaySeconds}`,
          {
            type: TYPE.eventSourceMapping,
            name: `${queue.name}-mapping`,
            props: { eventSourceArn: arn, functionName: names.function },
          },
        ],
        [
          `target-${queue.delaySeconds}`,
          { type: TYPE.target, name: `${queue.name}-target`, props: { rule: names.rule, arn } },
        ],
      ];
    }),
  );
}

/** A Lambda that has nothing to do with views, and everything that the rules would have against a refresh. */
export function unrelated(): TestStack {
  const name = "thumbnails";
  const arn = `arn:aws:lambda:${ACCOUNT}:function:${name}`;
  return {
    fn: {
      type: TYPE.function,
      name,
      props: {
        name,
        arn,
        role: "arn:aws:iam::123456789012:role/thumbnails",
        runtime: "nodejs16.x",
        timeout: 900,
        environment: { variables: { API_PASSWORD: "hunter2", NODE_TLS_REJECT_UNAUTHORIZED: "0" } },
      },
    },
    role: {
      type: TYPE.role,
      name: "thumbnails-role",
      props: {
        name,
        arn: "arn:aws:iam::123456789012:role/thumbnails",
        managedPolicyArns: ["arn:aws:iam::aws:policy/AdministratorAccess"],
      },
    },
    policy: {
      type: TYPE.rolePolicy,
      name: "thumbnails-policy",
      props: { role: name, policy: policyDocument("*", "*") },
    },
    rule: {
      type: TYPE.rule,
      name: "nightly",
      props: { name: "nightly", scheduleExpression: "rate(1 minutes)" },
    },
    target: { type: TYPE.target, name: "nightly-target", props: { rule: "nightly", arn } },
    errors: {
      type: TYPE.alarm,
      name: "thumbnails-errors",
      props: {
        namespace: "AWS/Lambda",
        metricName: "Errors",
        dimensions: { FunctionName: name },
        statistic: "Sum",
        period: 60,
        comparisonOperator: "GreaterThanThreshold",
        threshold: 1000,
        evaluationPeriods: 1,
      },
    },
    web: {
      type: TYPE.securityGroup,
      name: "web",
      props: {
        name: "web",
        id: "sg-web",
        ingress: [{ cidrBlocks: ["0.0.0.0/0"], fromPort: 443, toPort: 443, protocol: "tcp" }],
      },
    },
  };
}
