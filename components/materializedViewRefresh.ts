import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import type { MaterializedViewRefreshArgs } from "./args";
import { bundleHandler } from "./bundle";
import { checkedPlan, refusingFaults, runError } from "./checkedPlan";
import { pricedLines, toCents, unpricedLines, type CostEstimate } from "./cost/cost";
import { dashboardBody, dashboardUrl } from "./plan/dashboardPlan";
import { estimateOf } from "./plan/estimate";
import { grantsOf } from "./plan/grantPlan";
import { freshnessQueryOf } from "./plan/permissionPlan";
import {
  MAX_STALENESS_TAG,
  MONTHLY_BUDGET_USD_TAG,
  MONTHLY_USD_IS_AT_LEAST_TAG,
  MONTHLY_USD_TAG,
  type Plan,
} from "./plan/plan";
import { verificationCommands } from "./plan/verificationPlan";
import { createAlarmActions, createAlarms } from "./resources/alarms";
import { createFunction, createInvokeConfig } from "./resources/function";
import { createLogGroup } from "./resources/logGroup";
import {
  admitToEndpoint,
  createSecretsEndpoint,
  createSecurityGroup,
  type SecretsEndpoint,
} from "./resources/network";
import { createRole, givenRole, policyDocument, type ArnValues, type FunctionRole } from "./resources/role";
import type { Scope } from "./resources/scope";
import { createQueues, createTicks, type DelayQueue } from "./resources/ticks";
import { functionEnvironment } from "./settings/environment";
import { partitionOf } from "./settings/identifiers";
import { checkArrived } from "./settings/parseSettings";
import { MOST_SUBNETS } from "./time/limits";

/** What a month costs, in US dollars, to the cent. */
export interface MonthlyCost {
  /** The sum of all lines. */
  totalUsd: number;
  /** What is left when the account's free tiers are not used up by others. */
  totalWithFreeTierUsd: number;
  /** Whether the month costs at least the totals: something is billed whose price is not recorded for the region. */
  isLowerBound: boolean;
  /** What is billed, each with its price. */
  lines: Record<string, number>[];
  /** What is billed and not priced. */
  notPriced: string[];
}

/**
 * Keeps materialized views of a PostgreSQL database on RDS or Aurora within a promised age: a Lambda function, its
 * schedule, its role, alarms that can fire, and a dashboard.
 *
 * Children are named `<name>-logs`, `-role`, `-function`, `-rule` (with targets, permission, queues and mappings),
 * `-security-group`, `-secrets`, `-alarm-<key>`, `-topic` and `-dashboard`, so that Pulumi's `transforms` option can
 * reach each of them.
 */
export class MaterializedViewRefresh extends pulumi.ComponentResource {
  /** ARN of the function. */
  public readonly functionArn!: pulumi.Output<string>;
  /** Name of the function. */
  public readonly functionName!: pulumi.Output<string>;
  /** SHA-256 of the bundle, in hex: the same sources give the same hash. */
  public readonly codeHash!: pulumi.Output<string>;
  /** ARN of the role the function runs as. */
  public readonly roleArn!: pulumi.Output<string>;
  /** Name of the role the function runs as. */
  public readonly roleName!: pulumi.Output<string>;
  /** What the role allows, or, when a role was given, must allow: an IAM policy document. */
  public readonly rolePolicy!: pulumi.Output<string>;
  /** Name of the log group. */
  public readonly logGroupName!: pulumi.Output<string>;
  /** ARN of the EventBridge rule. */
  public readonly ruleArn!: pulumi.Output<string>;
  /** Name of the EventBridge rule: what `aws events disable-rule` takes. */
  public readonly ruleName!: pulumi.Output<string>;
  /** When views are refreshed, in words. */
  public readonly schedule!: pulumi.Output<string>;
  /** URLs of the delay queues of a rate under a minute. */
  public readonly queueUrls!: pulumi.Output<string[]>;
  /** Ids of the queues' event source mappings. */
  public readonly mappingIds!: pulumi.Output<string[]>;
  /** ARNs of the alarms. */
  public readonly alarmArns!: pulumi.Output<string[]>;
  /** ARN of the component's own topic, when there are e-mail addresses. */
  public readonly topicArn?: pulumi.Output<string>;
  /** Name of the dashboard. */
  public readonly dashboardName!: pulumi.Output<string>;
  /** Where the dashboard is. */
  public readonly dashboardUrl!: pulumi.Output<string>;
  /** Security group of the function. */
  public readonly securityGroupId!: pulumi.Output<string>;
  /** Age that data may reach when all is well, in seconds: interval and timeout. */
  public readonly worstStalenessByDesignSeconds!: pulumi.Output<number>;
  /** The age that data may reach until the stale alarm has gone off, in seconds. */
  public readonly maxStalenessSeconds!: pulumi.Output<number>;
  /** What the component costs. */
  public readonly monthlyCost!: pulumi.Output<MonthlyCost>;
  /** SQL that lets the database user refresh the views. */
  public readonly grants!: pulumi.Output<string[]>;
  /** SQL that tells how old each view is. */
  public readonly freshnessQuery!: pulumi.Output<string>;
  /** Commands that show whether it works, by what they show. */
  public readonly verification!: pulumi.Output<Record<string, string>>;

  constructor(name: string, args: MaterializedViewRefreshArgs, opts?: pulumi.ComponentResourceOptions) {
    super("matview-refresh:index:MaterializedViewRefresh", name, {}, opts);
    const plan = checkedPlan(name, args);
    const region = regionOf(args.region, this);
    const cost = region.apply((known) => estimateOf(plan, known));
    const stack: Stack = { name, args, plan, region, parent: this, tags: { ...plan.tags, ...args.tags } };

    warnOfSilence(stack);
    warnOfMissingPrices(stack, cost);
    const network = createNetwork(stack);
    const logs = createLogs(stack);
    const queues = createQueues(`${name}-rule`, stack, plan.queues, args.kmsKeyArn);
    const role = createExecutionRole(stack, logs, queues);
    const { fn, codeHash } = createRefreshFunction(stack, network, logs, role);
    const { rule, mappings } = createTicks(`${name}-rule`, stack, plan, {
      fn,
      queues,
      grants: role.grants,
      failureQueueArn: args.failureQueueArn,
      ruleTags: promiseTags(plan, cost),
    });
    const actions = createAlarmActions(`${name}-topic`, stack, plan.names.topic, args, region);
    const alarms = createAlarms(`${name}-alarm`, stack, plan.alarms, actions);
    const dashboard = createDashboard(stack);

    const outputs: Omit<MaterializedViewRefresh, keyof pulumi.ComponentResource> = {
      functionArn: fn.arn,
      functionName: fn.name,
      codeHash,
      roleArn: role.arn,
      roleName: role.name,
      rolePolicy: role.policy,
      logGroupName: logs.name,
      ruleArn: rule.arn,
      ruleName: rule.name,
      schedule: pulumi.output(plan.schedule.description),
      queueUrls: pulumi.all(queues.map(({ resource }) => resource.url)),
      mappingIds: pulumi.all(mappings.map((mapping) => mapping.id)),
      alarmArns: pulumi.all(alarms.map((alarm) => alarm.arn)),
      ...(actions.topic === undefined ? {} : { topicArn: actions.topic.arn }),
      dashboardName: dashboard.dashboardName,
      dashboardUrl: region.apply((known) => dashboardUrl(plan, known)),
      securityGroupId: network.securityGroupId,
      worstStalenessByDesignSeconds: pulumi.output(plan.worstStalenessByDesignSeconds),
      maxStalenessSeconds: pulumi.output(plan.maxStalenessSeconds),
      monthlyCost: cost.apply(inCents),
      grants: pulumi
        .output({ name: given(args, "name"), user: given(args, "user") })
        .apply(({ name: databaseName = "", user }) => grantsOf(plan, { name: databaseName, user })),
      freshnessQuery: pulumi.output(freshnessQueryOf(plan)),
      verification: region.apply((known) =>
        Object.fromEntries(verificationCommands(plan, known).map((step) => [step.title, step.command])),
      ),
    };
    Object.assign(this, outputs);
    this.registerOutputs(outputs);
  }
}

/** A component that is being built: what all its parts are made of. */
interface Stack extends Scope {
  name: string;
  args: MaterializedViewRefreshArgs;
  plan: Plan;
  region: pulumi.Output<string>;
}

/** The provider's region. @throws RunError where the program names another: no login would ever work. */
function regionOf(given: string | undefined, parent: pulumi.Resource): pulumi.Output<string> {
  return aws.getRegionOutput({}, { parent }).region.apply((region) => {
    if (given === undefined || given === region) return region;
    throw runError(
      `region is "${given}", and the component's provider is in ${region}. Leave region out, or give the component ` +
        `a provider of ${given}: { provider: new aws.Provider("${given}", { region: "${given}" }) }.`,
    );
  });
}

/** An alarm that cannot go off, or that tells nobody, looks like safety; the policy pack refuses both. */
function warnOfSilence({ args, plan, parent }: Stack): void {
  for (const { name, canFire } of plan.alarms) {
    if (!canFire)
      void pulumi.log.warn(
        `Alarm ${name} can never go off: ${plan.schedule.description} no period holds so many errors.`,
        parent,
      );
  }
  const { alarmEmails = [], alarmTopicArns = [] } = args;
  if (alarmEmails.length > 0) return;
  pulumi.output(alarmTopicArns).apply((arns) => {
    if (arns.length === 0)
      void pulumi.log.warn("The alarms tell nobody. Set alarmEmails or alarmTopicArns.", parent);
  });
}

function warnOfMissingPrices({ parent }: Stack, cost: pulumi.Output<CostEstimate>): void {
  cost.apply(({ missingPrices }) => {
    if (missingPrices !== undefined) void pulumi.log.warn(missingPrices, parent);
  });
}

/** Where the function stands in the network, and its way to Secrets Manager, where one is asked for. */
interface Network {
  securityGroupId: pulumi.Output<string>;
  endpoint?: SecretsEndpoint;
}

function createNetwork(stack: Stack): Network {
  const { name, plan, region } = stack;
  const { network, database } = stack.args;
  const { vpcId, subnetIds, databaseSecurityGroupId } = network;
  const { secretArn } = database;
  const endpoint =
    network.secretsEndpoint === true && secretArn !== undefined
      ? createSecretsEndpoint(`${name}-secrets`, stack, { vpcId, subnetIds, region, secretArn })
      : undefined;
  const securityGroupId =
    network.securityGroupId ??
    createSecurityGroup(`${name}-security-group`, stack, {
      name: plan.names.securityGroup,
      vpcId,
      // Without a group of the function's own the settings have asked for this one.
      databaseSecurityGroupId: databaseSecurityGroupId ?? "",
      databasePort: database.port ?? DEFAULT_DATABASE_PORT,
      reachesSecretsManager: database.auth === "secret",
      endpointSecurityGroupId: endpoint?.securityGroupId,
    }).id;
  if (endpoint !== undefined) admitToEndpoint(`${name}-secrets-in`, stack, endpoint, securityGroupId);
  return { securityGroupId: pulumi.output(securityGroupId), ...(endpoint === undefined ? {} : { endpoint }) };
}

/** The function's log group: the component's own, or the one that is given. */
interface Logs {
  name: pulumi.Output<string>;
  arn: pulumi.Output<string>;
}

function createLogs(stack: Stack): Logs {
  const { args, plan, region, parent } = stack;
  const { kmsKeyArn, logGroupName } = args;
  if (logGroupName === undefined) {
    const retentionDays = plan.settings.logRetentionDays;
    const own = { name: plan.names.logGroup, retentionDays, kmsKeyArn };
    return createLogGroup(`${stack.name}-logs`, stack, own);
  }
  const { accountId } = aws.getCallerIdentityOutput({}, { parent });
  const arn = pulumi.interpolate`arn:${region.apply(partitionOf)}:logs:${region}:${accountId}:log-group:${logGroupName}`;
  return { name: pulumi.output(logGroupName), arn };
}

/** The role, with what it allows or, when it was given, must allow. */
function createExecutionRole(
  stack: Stack,
  logs: Logs,
  queues: DelayQueue[],
): FunctionRole & { policy: pulumi.Output<string> } {
  const { args, plan, region } = stack;
  const policy = policyDocument(plan.statements, { ...arnValues(stack, queues), logGroupArn: logs.arn });
  if (args.roleArn !== undefined) return { ...givenRole(args.roleArn), policy };
  const role = createRole(`${stack.name}-role`, stack, {
    name: plan.names.role,
    path: plan.settings.rolePath,
    permissionsBoundaryArn: args.permissionsBoundaryArn,
    policy,
    partition: region.apply(partitionOf),
  });
  return { ...role, policy };
}

/** The function with its bundle, and what becomes of events that it did not take. */
function createRefreshFunction(
  stack: Stack,
  { securityGroupId, endpoint }: Network,
  logs: Logs,
  role: FunctionRole,
): { fn: aws.lambda.Function; codeHash: pulumi.Output<string> } {
  const { name, args, plan } = stack;
  const bundle = pulumi.output(bundleHandler("handler/index.ts", "dist/refresh"));
  const fn = createFunction(`${name}-function`, stack, plan.function, {
    code: bundle.apply(
      ({ file }) => new pulumi.asset.AssetArchive({ "index.js": new pulumi.asset.FileAsset(file) }),
    ),
    roleArn: role.arn,
    logGroupName: logs.name,
    environment: { ...environmentOf(args, plan), ...endpoint?.variables },
    subnetIds: subnetsOf(args),
    securityGroupId,
    kmsKeyArn: args.kmsKeyArn,
    dependsOn: [...role.grants, ...(endpoint === undefined ? [] : [endpoint.endpoint])],
  });
  createInvokeConfig(`${name}-function`, stack, fn, {
    retries: plan.asyncRetries,
    eventAgeSeconds: plan.settings.eventAgeSeconds,
    failureDestinationArn: args.failureQueueArn ?? args.failureTopicArn,
  });
  return { fn, codeHash: bundle.sha256 };
}

function createDashboard({ name, plan, region, parent }: Stack): aws.cloudwatch.Dashboard {
  const dashboardText = region.apply((known) => JSON.stringify(dashboardBody(plan, known)));
  return new aws.cloudwatch.Dashboard(
    `${name}-dashboard`,
    { dashboardName: plan.names.dashboard, dashboardBody: dashboardText },
    { parent },
  );
}

/** What the placeholders of the plan's statements stand for. */
function arnValues({ args, region, parent }: Stack, queues: DelayQueue[]): ArnValues {
  const { database, kmsKeyArn, failureQueueArn, failureTopicArn } = args;
  return {
    region,
    partition: region.apply(partitionOf),
    accountId: aws.getCallerIdentityOutput({}, { parent }).accountId,
    databaseResourceId: given(args, "resourceId"),
    databaseUser: given(args, "user"),
    secretArn: given(args, "secretArn"),
    secretKmsKeyArn: database.secretKmsKeyArn,
    kmsKeyArn,
    failureDestinationArn: failureQueueArn ?? failureTopicArn,
    ...Object.fromEntries(
      queues.map(({ plan, resource }) => [`queueArn:${plan.offsetSeconds}`, resource.arn]),
    ),
  };
}

const DEFAULT_DATABASE_PORT = 5_432;

/** The function's variables; of a database that another resource makes some are known later. */
function environmentOf(
  args: MaterializedViewRefreshArgs,
  { settings, group, views }: Plan,
): Record<string, pulumi.Input<string>> {
  const { database, environment = {} } = args;
  const { logFormat, historyRetentionDays } = settings;
  return functionEnvironment<pulumi.Input<string>>(
    { group, views, logFormat, historyRetentionDays, environment },
    {
      host: given(args, "host") ?? "",
      port: pulumi.output(database.port ?? DEFAULT_DATABASE_PORT).apply(String),
      name: given(args, "name") ?? "",
      auth: database.auth === "secret" ? "secret" : "iam",
      tls: "verify-full",
      ...optional("user", given(args, "user")),
      ...optional("secretArn", given(args, "secretArn")),
    },
  );
}

function optional<Key extends string, Value>(key: Key, value: Value | undefined): { [K in Key]?: Value } {
  return (value === undefined ? {} : { [key]: value }) as { [K in Key]?: Value };
}

/** A text of the database; another resource may give it, and then it is looked at when it comes. */
function given(
  { database }: MaterializedViewRefreshArgs,
  key: "host" | "name" | "user" | "resourceId" | "secretArn",
): pulumi.Output<string> | undefined {
  const value = database[key];
  if (value === undefined) return undefined;
  return pulumi.output(value).apply((text: string | null | undefined) => {
    if (typeof text !== "string" || text === "")
      throw runError(`database.${key} is empty: the resource that it was to come from has no such value.`);
    refusingFaults(() => checkArrived(key, text));
    return text;
  });
}

/** The subnets, counted again where they were known only now. @throws RunError for one alone, and for too many. */
function subnetsOf({ network }: MaterializedViewRefreshArgs): pulumi.Output<string[]> {
  return pulumi.output(network.subnetIds).apply((subnetIds) => {
    const { size } = new Set(subnetIds);
    if (size > MOST_SUBNETS) {
      throw runError(
        `network.subnetIds has ${size}, and a Lambda function stands in ${MOST_SUBNETS} at most. Give fewer.`,
      );
    }
    if (size >= 2) return subnetIds;
    throw runError(
      `network.subnetIds has ${size}: the loss of one zone would stop the refresh. Give two subnets in two zones.`,
    );
  });
}

/** Tags of the rule: the promise and its price, for policies and people to read. */
function promiseTags(
  { settings, maxStalenessSeconds }: Plan,
  cost: pulumi.Output<CostEstimate>,
): Record<string, pulumi.Input<string>> {
  const { monthlyBudgetUsd } = settings;
  return {
    [MAX_STALENESS_TAG]: String(maxStalenessSeconds),
    [MONTHLY_USD_TAG]: cost.apply(({ totalUsd }) => totalUsd.toFixed(2)),
    [MONTHLY_USD_IS_AT_LEAST_TAG]: cost.apply(({ isLowerBound }) => String(isLowerBound)),
    ...(monthlyBudgetUsd === undefined ? {} : { [MONTHLY_BUDGET_USD_TAG]: String(monthlyBudgetUsd) }),
  };
}

/** An estimate, to the cent. */
export function inCents(cost: CostEstimate): MonthlyCost {
  return {
    totalUsd: toCents(cost.totalUsd),
    totalWithFreeTierUsd: toCents(cost.totalWithFreeTierUsd),
    isLowerBound: cost.isLowerBound,
    lines: pricedLines(cost.lines).map((line) => ({ [line.description]: toCents(line.monthlyUsd) })),
    notPriced: unpricedLines(cost.lines).map(({ description }) => description),
  };
}
