/**
 * What a program gives the component. What the plan is made of is plain, since the plan comes before any resource;
 * whatever another resource may give (places, ARNs, names, variables, tags) is an input.
 *
 * This file is read by Pulumi's component analyzer too, which turns it into the schema that Python, Go, .NET,
 * Java and YAML programs see. Hence interfaces of primitives, inputs, arrays and records only. The analyzer takes the
 * text of a comment and leaves its tags out, so what all languages should read stands before `@example`.
 */
import type * as pulumi from "@pulumi/pulumi";

/** How a view is maintained that `npm run incremental -- apply` has made incremental. */
export interface IncrementalArgs {
  /**
   * How often the view is recomputed in full, to count what the fold has missed: AWS's rate syntax, from
   * `rate(1 minute)` to `rate(30 days)`. Default: `rate(1 day)`.
   * @example "rate(12 hours)"
   */
  fullEvery?: string;
  /**
   * Whether a full run may be made where one is needed; false fails the run instead. Default: true.
   * @example false
   */
  allowFullRuns?: boolean;
}

/** One materialized view of the group. */
export interface ViewArgs {
  /**
   * Schema-qualified name, for example `public.job_progress`.
   * @example "reporting.sales"
   */
  name: string;
  /**
   * Schema-qualified relation of one row that is read and reported after each refresh. Default: the view's row count.
   * @example "reporting.sales_summary"
   */
  statistics?: string;
  /**
   * Whether a plain refresh, which blocks readers, may stand in where a concurrent one cannot. Default: true.
   * @example false
   */
  allowBlocking?: boolean;
  /**
   * For a view that is maintained incrementally: its full runs, and alarms on drift and on too many of them.
   * @example { fullEvery: "rate(12 hours)" }
   */
  incremental?: IncrementalArgs;
}

/** An alarm on the function's own errors, in CloudWatch's terms. */
export interface ErrorsAlarmArgs {
  /**
   * The alarm goes off above this many errors in a period.
   * @example 2
   */
  threshold: number;
  /**
   * Length of a period in seconds: 60 or a multiple of it.
   * @example 300
   */
  periodSeconds: number;
  /**
   * How many periods are looked at.
   * @example 3
   */
  evaluationPeriods: number;
  /**
   * How many of them must be above the threshold. Default: all.
   * @example 2
   */
  datapointsToAlarm?: number;
}

/** When to raise an alarm. */
export interface AlarmArgs {
  /**
   * Ticks without a refresh that the failing alarm waits for. Default: 3 at rates up to 5 minutes, 2 up to 30, else 1.
   * @example 5
   */
  failedTicks?: number;
  /**
   * Share of the timeout, in percent, above which a run raises the slow alarm. Default: 80.
   * @example 50
   */
  slowPercent?: number;
  /**
   * A further alarm on plain error counts. Default: none.
   * @example { threshold: 2, periodSeconds: 300, evaluationPeriods: 1 }
   */
  errors?: ErrorsAlarmArgs;
}

/** The database the views live in. */
export interface DatabaseArgs {
  /**
   * Endpoint of the instance, the cluster's writer, or the proxy.
   * @example database.address
   */
  host: pulumi.Input<string>;
  /**
   * Default: 5432.
   * @example 5433
   */
  port?: pulumi.Input<number>;
  /**
   * Name of the database.
   * @example "reports"
   */
  name: pulumi.Input<string>;
  /**
   * Database user of the refresh. Not used with `secret`, which names its own.
   * @example "matview_refresh"
   */
  user?: pulumi.Input<string>;
  /**
   * `iam` (default: a signed token, no password anywhere) or `secret` (Secrets Manager).
   * @example "secret"
   */
  auth?: string;
  /**
   * With `iam`: `db-…`, `cluster-…` or `prx-…`, what IAM's rds-db:connect names.
   * @example database.resourceId
   */
  resourceId?: pulumi.Input<string>;
  /**
   * With `secret`: ARN of a secret of RDS's JSON shape.
   * @example secret.arn
   */
  secretArn?: pulumi.Input<string>;
  /**
   * With `secret`: the key it is encrypted with, where that is not the account's own.
   * @example key.arn
   */
  secretKmsKeyArn?: pulumi.Input<string>;
  /**
   * Whether the host is an RDS Proxy.
   * @example true
   */
  proxy?: boolean;
}

/** Where the function runs. */
export interface NetworkArgs {
  /**
   * The database's VPC.
   * @example vpc.id
   */
  vpcId: pulumi.Input<string>;
  /**
   * Subnets from which the database can be reached: two or more, in different zones.
   * @example subnets.map(({ id }) => id)
   */
  subnetIds: pulumi.Input<pulumi.Input<string>[]>;
  /**
   * Security group of the database: one rule on its port is added, for the function's own group. Needed unless `securityGroupId` is given.
   * @example databaseGroup.id
   */
  databaseSecurityGroupId?: pulumi.Input<string>;
  /**
   * A security group to use instead of one of the component's own. No rule is added to it or to the database's.
   * @example functionGroup.id
   */
  securityGroupId?: pulumi.Input<string>;
  /**
   * With `secret`: create a Secrets Manager endpoint in the VPC, for subnets without a NAT gateway. Default: false.
   * @example true
   */
  secretsEndpoint?: boolean;
}

/**
 * Arguments of {@link MaterializedViewRefresh}. Each setting has a default except the database and the network.
 * Wrong settings are refused all at once, before any resource exists.
 */
export interface MaterializedViewRefreshArgs {
  /**
   * The database the views live in.
   * @example { host: database.address, name: "reports", user: "matview_refresh", resourceId: database.resourceId }
   */
  database: DatabaseArgs;
  /**
   * Where the function runs.
   * @example { vpcId: vpc.id, subnetIds: [a.id, b.id], databaseSecurityGroupId: databaseGroup.id }
   */
  network: NetworkArgs;
  /**
   * AWS region. Default: the provider's; another than the provider's is refused.
   * @example "eu-central-1"
   */
  region?: string;
  /**
   * Resources are named `<prefix>-refresh-<group>`. Default: `<component's name>-<stack>`.
   * @example "reports"
   */
  namePrefix?: string;
  /**
   * Name of the group. Default: the view's name when there is one view.
   * @example "reporting"
   */
  groupName?: string;
  /**
   * The materialized views, refreshed in dependency order. Default: `public.job_progress` with its statistics.
   * @example [{ name: "reporting.sales" }, { name: "reporting.customers", allowBlocking: false }]
   */
  views?: ViewArgs[];
  /**
   * AWS rate or cron syntax, and rate(12, 15, 20 or 30 seconds). Default: `rate(1 minute)`.
   * @example "rate(30 seconds)"
   */
  refreshRate?: string;
  /**
   * False disables the rule and leaves out the stale alarms, which would go off. Default: true.
   * @example false
   */
  refreshEnabled?: boolean;
  /**
   * The age that data may reach until the stale alarm has gone off. Default: from rate and timeout; 540 at a minute.
   * @example 900
   */
  maxStalenessSeconds?: number;
  /**
   * Timeout of the function, 3 to 900 s. Default: 60.
   * @example 120
   */
  timeoutSeconds?: number;
  /**
   * Memory of the function, 128 to 10240 MB. Default: 256.
   * @example 512
   */
  memoryMb?: number;
  /**
   * `arm64` (default) or `x86_64`.
   * @example "x86_64"
   */
  architecture?: string;
  /**
   * Lambda runtime. Default: `nodejs24.x`.
   * @example "nodejs22.x"
   */
  runtime?: string;
  /**
   * Further environment variables of the function.
   * @example { TEAM: "reporting" }
   */
  environment?: Record<string, pulumi.Input<string>>;
  /**
   * Concurrent runs kept for the function. Default: none are.
   * @example 5
   */
  reservedConcurrency?: number;
  /**
   * Put into the `detail` of the scheduled event that every tick carries.
   * @example { team: "reporting" }
   */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- the analyzer knows any, not unknown
  eventPayload?: Record<string, any>;
  /**
   * Seconds an event may wait for the function before it is dropped, 60 to 21600. Default: 60.
   * @example 300 // at rate(5 minutes) or slower
   */
  eventAgeSeconds?: number;
  /**
   * ARN of an SQS queue that is told of a tick that was lost after Lambda had taken it, and takes ticks that
   * EventBridge could not deliver, if its own policy lets events.amazonaws.com send to it. Not covered: ticks that
   * have reached a delay queue (rates under a minute), which vanish there after a minute. Default: none.
   * @example lostTicks.arn
   */
  failureQueueArn?: pulumi.Input<string>;
  /**
   * ARN of an SNS topic that is told of a tick that was lost after Lambda had taken it. Default: none.
   * @example onCall.arn
   */
  failureTopicArn?: pulumi.Input<string>;
  /**
   * ARN of a role to run as, instead of one of the component's own. Nothing is attached to it.
   * @example "arn:aws:iam::123456789012:role/matview-refresh"
   */
  roleArn?: pulumi.Input<string>;
  /**
   * Permissions boundary of the component's own role.
   * @example "arn:aws:iam::123456789012:policy/boundary"
   */
  permissionsBoundaryArn?: pulumi.Input<string>;
  /**
   * Path of the component's own role. Default: `/`.
   * @example "/reporting/"
   */
  rolePath?: string;
  /**
   * KMS key for environment, log group, queues and topic. Default: keys of AWS's own.
   * @example key.arn
   */
  kmsKeyArn?: pulumi.Input<string>;
  /**
   * An existing log group. Default: one named `/aws/lambda/<function>`, with retention.
   * @example logGroup.name
   */
  logGroupName?: pulumi.Input<string>;
  /**
   * Days the component's own log group keeps what is written. Default: 14.
   * @example 30
   */
  logRetentionDays?: number;
  /**
   * `json` (default) or `text`.
   * @example "text"
   */
  logFormat?: string;
  /**
   * Days the refresh history in the database is kept. Default: 30.
   * @example 90
   */
  historyRetentionDays?: number;
  /**
   * When to raise an alarm.
   * @example { failedTicks: 5 }
   */
  alarms?: AlarmArgs;
  /**
   * E-mail addresses that alarms tell, through a topic of the component's own.
   * @example ["on-call@example.com"]
   */
  alarmEmails?: string[];
  /**
   * SNS topics that alarms tell.
   * @example [onCall.arn]
   */
  alarmTopicArns?: pulumi.Input<pulumi.Input<string>[]>;
  /**
   * What is told when an alarm is over. Default: nothing but the component's own topic.
   * @example [onCall.arn]
   */
  okActionArns?: pulumi.Input<pulumi.Input<string>[]>;
  /**
   * Address of the page to open when an alarm goes off; stands in every alarm and on the dashboard.
   * @example "https://wiki.example.com/reporting"
   */
  runbookUrl?: string;
  /**
   * Most that the estimate may come to a month; held by the policy pack.
   * @example 25
   */
  monthlyBudgetUsd?: number;
  /**
   * Written on everything that takes tags.
   * @example { service: "reporting" }
   */
  tags?: Record<string, pulumi.Input<string>>;
}
