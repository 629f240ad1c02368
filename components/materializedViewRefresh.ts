import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import type { MaterializedViewRefreshArgs } from "./args";
import { bundleHandler } from "./bundle";
import { componentSettings } from "./componentSettings";
import { consoleAddress } from "./plan/dashboardPlan";
import { functionEnvironment } from "./plan/functionPlan";
import { makePlan, type Plan } from "./plan/plan";
import { createAlarmActions, createAlarms } from "./resources/alarms";
import { createFunction, createInvokeConfig } from "./resources/function";
import { createLogGroup } from "./resources/logGroup";
import {
  admitToEndpoint,
  createSecretsEndpoint,
  createSecurityGroup,
  type SecretsEndpoint,
} from "./resources/network";
import { createRole, type FunctionRole } from "./resources/role";
import { fillStatements } from "./resources/statements";
import { createQueues, createTicks } from "./resources/ticks";
import type { Settings } from "./settings/settings";
import { providerRegion, refusingFaults } from "./stackSettings";

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
  public readonly functionArn: pulumi.Output<string>;
  /** Name of the function. */
  public readonly functionName: pulumi.Output<string>;
  /** SHA-256 of the bundle, in hex: the same sources give the same hash. */
  public readonly codeHash: pulumi.Output<string>;
  /** ARN of the role the function runs as. */
  public readonly roleArn: pulumi.Output<string>;
  /** Name of the role the function runs as. */
  public readonly roleName: pulumi.Output<string>;
  /** What the role allows, or, when a role was given, must allow: an IAM policy document. */
  public readonly rolePolicy: pulumi.Output<string>;
  /** Name of the log group. */
  public readonly logGroupName: pulumi.Output<string>;
  /** ARN of the EventBridge rule. */
  public readonly ruleArn: pulumi.Output<string>;
  /** Name of the EventBridge rule: what `aws events disable-rule` takes. */
  public readonly ruleName: pulumi.Output<string>;
  /** URLs of the delay queues of a rate under a minute. */
  public readonly queueUrls: pulumi.Output<string[]>;
  /** Ids of the queues' event source mappings. */
  public readonly mappingIds: pulumi.Output<string[]>;
  /** ARNs of the alarms. */
  public readonly alarmArns: pulumi.Output<string[]>;
  /** ARN of the component's own topic, when there are e-mail addresses. */
  public readonly topicArn?: pulumi.Output<string>;
  /** Name of the dashboard. */
  public readonly dashboardName: pulumi.Output<string>;
  /** Where the dashboard is. */
  public readonly dashboardUrl: pulumi.Output<string>;
  /** Security group of the function. */
  public readonly securityGroupId: pulumi.Output<string>;
  /** The age that data may reach until the stale alarm has gone off, in seconds. */
  public readonly maxStalenessSeconds: pulumi.Output<number>;
  /** What the component costs a month in US dollars, without free tier. Absent where prices are not recorded. */
  public readonly monthlyUsd?: pulumi.Output<number>;
  /** SQL that lets the database user refresh the views. */
  public readonly grants: pulumi.Output<string[]>;
  /** SQL that tells how old each view is. */
  public readonly freshnessQuery: pulumi.Output<string>;

  constructor(name: string, args: MaterializedViewRefreshArgs, opts?: pulumi.ComponentResourceOptions) {
    super("matview-refresh:index:MaterializedViewRefresh", name, {}, opts);
    const region = args.region ?? providerRegion();
    const settings = refusingFaults(() => componentSettings(args, region));
    const plan = makePlan(settings, { region });
    const child = { parent: this };
    const tags = plan.tags;

    const endpoint = createEndpoint(name, args, plan, child);
    const securityGroupId = createFunctionGroup(name, args, plan, endpoint, child);
    if (endpoint !== undefined) {
      admitToEndpoint(`${name}-secrets-in`, endpoint, securityGroupId, tags, child);
    }
    const logs = createLogGroup(`${name}-logs`, plan.logs, tags, child);
    const queues = createQueues(`${name}-rule`, plan.queues, tags, child);
    const statements = fillStatements(
      plan,
      { database: args.database, logGroup: logs.resource, queues },
      child,
    );
    const role = createRole(
      `${name}-role`,
      { name: plan.names.role, plan: plan.permissions, statements, tags },
      child,
    );
    const bundle = pulumi.output(bundleHandler("handler/index.ts", "dist/refresh"));
    const fn = createRefreshFunction(
      name,
      { args, settings, plan, role, logGroupName: logs.name, securityGroupId, file: bundle.file, endpoint },
      { ...child, dependsOn: [...role.grants, ...(endpoint === undefined ? [] : [endpoint.endpoint])] },
    );
    createInvokeConfig(`${name}-function`, fn, plan.function, child);
    const ticks = createTicks(
      `${name}-rule`,
      {
        rule: plan.rule,
        targets: plan.targets,
        queues: plan.queues,
        queueResources: queues,
        fn,
        mappingsDependOn: role.grants,
        tags,
        ruleTags: plan.promiseTags,
      },
      child,
    );
    const actions = createAlarmActions(
      `${name}-topic`,
      plan.subscriptions,
      { alarmTopicArns: args.alarmTopicArns ?? [], okActionArns: args.okActionArns ?? [] },
      tags,
      child,
    );
    const alarms = createAlarms(`${name}-alarm`, plan.alarms, actions, tags, child);
    const dashboard = new aws.cloudwatch.Dashboard(
      `${name}-dashboard`,
      { dashboardName: plan.dashboard.name, dashboardBody: JSON.stringify(plan.dashboard.body) },
      child,
    );

    this.functionArn = fn.arn;
    this.functionName = fn.name;
    this.codeHash = bundle.sha256;
    this.roleArn = role.arn;
    this.roleName = role.name;
    this.rolePolicy = role.policy;
    this.logGroupName = logs.name;
    this.ruleArn = ticks.rule.arn;
    this.ruleName = ticks.rule.name;
    this.queueUrls = pulumi.all(ticks.queues.map((queue) => queue.url));
    this.mappingIds = pulumi.all(ticks.mappings.map((mapping) => mapping.id));
    this.alarmArns = pulumi.all(alarms.map((alarm) => alarm.arn));
    if (actions.topic !== undefined) this.topicArn = actions.topic.arn;
    this.dashboardName = dashboard.dashboardName;
    this.dashboardUrl = pulumi.output(dashboardUrl(plan));
    this.securityGroupId = securityGroupId;
    this.maxStalenessSeconds = pulumi.output(plan.maxStalenessSeconds);
    if (plan.cost !== undefined) this.monthlyUsd = pulumi.output(plan.cost.totalUsd);
    this.grants = pulumi.output(plan.grants);
    this.freshnessQuery = pulumi.output(plan.freshnessQuery);
    this.registerOutputs({
      functionArn: this.functionArn,
      functionName: this.functionName,
      codeHash: this.codeHash,
      roleArn: this.roleArn,
      roleName: this.roleName,
      rolePolicy: this.rolePolicy,
      logGroupName: this.logGroupName,
      ruleArn: this.ruleArn,
      ruleName: this.ruleName,
      queueUrls: this.queueUrls,
      mappingIds: this.mappingIds,
      alarmArns: this.alarmArns,
      topicArn: this.topicArn,
      dashboardName: this.dashboardName,
      dashboardUrl: this.dashboardUrl,
      securityGroupId: this.securityGroupId,
      maxStalenessSeconds: this.maxStalenessSeconds,
      monthlyUsd: this.monthlyUsd,
      grants: this.grants,
      freshnessQuery: this.freshnessQuery,
    });
  }
}

/** The Secrets Manager endpoint of a VPC without a way out, where the plan has one. */
function createEndpoint(
  name: string,
  args: MaterializedViewRefreshArgs,
  plan: Plan,
  opts: pulumi.CustomResourceOptions,
): SecretsEndpoint | undefined {
  const { secretArn } = args.database;
  if (!plan.network.hasSecretsEndpoint || secretArn === undefined) return undefined;
  const { vpcId, subnetIds } = args.network;
  const request = { vpcId, subnetIds, region: plan.place.region, secretArn, tags: plan.tags };
  return createSecretsEndpoint(`${name}-secrets`, request, opts);
}

/** The function's security group: the one given, with no rule added, or one of its own. */
function createFunctionGroup(
  name: string,
  args: MaterializedViewRefreshArgs,
  plan: Plan,
  endpoint: SecretsEndpoint | undefined,
  opts: pulumi.CustomResourceOptions,
): pulumi.Output<string> {
  const { network, database } = args;
  if (network.securityGroupId !== undefined) return pulumi.output(network.securityGroupId);
  const { databaseSecurityGroupId } = network;
  // The settings' rules have refused this already, and told the other faults with it.
  if (databaseSecurityGroupId === undefined) throw new Error("no security group of the database");
  const { id } = createSecurityGroup(
    `${name}-security-group`,
    {
      name: plan.names.securityGroup,
      vpcId: network.vpcId,
      databaseSecurityGroupId,
      databasePort: database.port ?? plan.network.databasePort,
      reachesSecretsManager: database.auth === "secret",
      endpointSecurityGroupId: endpoint?.securityGroupId,
      tags: plan.tags,
    },
    opts,
  );
  return id;
}

/** What the function is made of, once everything it stands on is there. */
interface FunctionParts {
  args: MaterializedViewRefreshArgs;
  settings: Settings;
  plan: Plan;
  role: FunctionRole;
  logGroupName: pulumi.Output<string>;
  securityGroupId: pulumi.Output<string>;
  /** The bundle on disk. */
  file: pulumi.Output<string>;
  endpoint: SecretsEndpoint | undefined;
}

function createRefreshFunction(
  name: string,
  parts: FunctionParts,
  opts: pulumi.CustomResourceOptions,
): aws.lambda.Function {
  const { args, settings, plan } = parts;
  const { database, network } = args;
  return createFunction(
    `${name}-function`,
    {
      plan: plan.function,
      code: parts.file.apply(
        (file) => new pulumi.asset.AssetArchive({ "index.js": new pulumi.asset.FileAsset(file) }),
      ),
      roleArn: parts.role.arn,
      logGroupName: parts.logGroupName,
      environment: {
        ...functionEnvironment<pulumi.Input<string>>(settings, {
          host: database.host,
          port: pulumi.output(database.port ?? plan.network.databasePort).apply(String),
          name: database.name,
          auth: database.auth === "secret" ? "secret" : "iam",
          tls: "verify-full",
          ...(database.user === undefined ? {} : { user: database.user }),
          ...(database.secretArn === undefined ? {} : { secretArn: database.secretArn }),
        }),
        ...parts.endpoint?.variables,
      },
      subnetIds: network.subnetIds,
      securityGroupId: parts.securityGroupId,
      tags: plan.tags,
    },
    opts,
  );
}

function dashboardUrl({ place, dashboard }: Plan): string {
  const { region } = place;
  return `${consoleAddress(region)}/cloudwatch/home?region=${region}#dashboards/dashboard/${dashboard.name}`;
}
