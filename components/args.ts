/**
 * What a program gives the component. What the plan is made of is plain, since the plan comes before any resource;
 * whatever another resource may give (places, ARNs, names, variables, tags) is an input.
 *
 * This file is read by Pulumi's component analyzer too, which turns it into the schema that Python, Go, .NET,
 * Java and YAML programs see. Hence interfaces of primitives, inputs, arrays and records only.
 */
import type * as pulumi from "@pulumi/pulumi";

/** One materialized view of the group. */
export interface ViewArgs {
  /** Schema-qualified name, for example `public.job_progress`. */
  name: string;
  /** Schema-qualified relation of one row that is read and reported after each refresh. Default: the view's row count. */
  statistics?: string;
  /** Whether a plain refresh, which blocks readers, may stand in where a concurrent one cannot. Default: true. */
  allowBlocking?: boolean;
}

/** An alarm on the function's own errors, in CloudWatch's terms. */
export interface ErrorsAlarmArgs {
  /** The alarm goes off above this many errors in a period. */
  threshold: number;
  /** Length of a period in seconds: 60 or a multiple of it. */
  periodSeconds: number;
  /** How many periods are looked at. */
  evaluationPeriods: number;
  /** How many of them must be above the threshold. Default: all. */
  datapointsToAlarm?: number;
}

/** When to raise an alarm. */
export interface AlarmArgs {
  /** Ticks without a refresh that the failing alarm waits for. Default: 3 at rates up to 5 minutes, 2 up to 30, else 1. */
  failedTicks?: number;
  /** Share of the timeout, in percent, above which a run raises the slow alarm. Default: 80. */
  slowPercent?: number;
  /** A further alarm on plain error counts. Default: none. */
  errors?: ErrorsAlarmArgs;
}

/** The database the views live in. */
export interface DatabaseArgs {
  /** Endpoint of the instance, the cluster's writer, or the proxy. */
  host: pulumi.Input<string>;
  /** Default: 5432. */
  port?: pulumi.Input<number>;
  /** Name of the database. */
  name: pulumi.Input<string>;
  /** Database user of the refresh. Not used with `secret`, which names its own. */
  user?: pulumi.Input<string>;
  /** `iam` (default: a signed token, no password anywhere) or `secret` (Secrets Manager). */
  auth?: string;
  /** With `iam`: `db-…`, `cluster-…` or `prx-…`, what IAM's rds-db:connect names. */
  resourceId?: pulumi.Input<string>;
  /** With `secret`: ARN of a secret of RDS's JSON shape. */
  secretArn?: pulumi.Input<string>;
  /** With `secret`: the key it is encrypted with, where that is not the account's own. */
  secretKmsKeyArn?: pulumi.Input<string>;
  /** Whether the host is an RDS Proxy. */
  proxy?: boolean;
}

/** Where the function runs. */
export interface NetworkArgs {
  /** The database's VPC. */
  vpcId: pulumi.Input<string>;
  /** Subnets from which the database can be reached: two or more, in different zones. */
  subnetIds: pulumi.Input<pulumi.Input<string>[]>;
  /** Security group of the database: one rule on its port is added, for the function's own group. Needed unless `securityGroupId` is given. */
  databaseSecurityGroupId?: pulumi.Input<string>;
  /** A security group to use instead of one of the component's own. No rule is added to it or to the database's. */
  securityGroupId?: pulumi.Input<string>;
  /** With `secret`: create a Secrets Manager endpoint in the VPC, for subnets without a NAT gateway. Default: false. */
  secretsEndpoint?: boolean;
}

/**
 * Arguments of {@link MaterializedViewRefresh}. Each setting has a default except the database and the network.
 * Wrong settings are refused all at once, before any resource exists.
 */
export interface MaterializedViewRefreshArgs {
  /** The database the views live in. */
  database: DatabaseArgs;
  /** Where the function runs. */
  network: NetworkArgs;
  /** AWS region. Default: the provider's; another than the provider's is refused. */
  region?: string;
  /** Resources are named `<prefix>-refresh-<group>`. Default: `<component's name>-<stack>`. */
  namePrefix?: string;
  /** Name of the group. Default: the view's name when there is one view. */
  groupName?: string;
  /** The materialized views, refreshed in dependency order. Default: `public.job_progress` with its statistics. */
  views?: ViewArgs[];
  /** AWS rate or cron syntax, and rate(12, 15, 20 or 30 seconds). Default: `rate(1 minute)`. */
  refreshRate?: string;
  /** False disables the rule and leaves out the stale alarms, which would go off. Default: true. */
  refreshEnabled?: boolean;
  /** The age that data may reach until the stale alarm has gone off. Default: from rate and timeout; 540 at a minute. */
  maxStalenessSeconds?: number;
  /** Timeout of the function, 3 to 900 s. Default: 60. */
  timeoutSeconds?: number;
  /** Memory of the function, 128 to 10240 MB. Default: 256. */
  memoryMb?: number;
  /** `arm64` (default) or `x86_64`. */
  architecture?: string;
  /** Lambda runtime. Default: `nodejs24.x`. */
  runtime?: string;
  /** Further environment variables of the function. */
  environment?: Record<string, pulumi.Input<string>>;
  /** Concurrent runs kept for the function. Default: none are. */
  reservedConcurrency?: number;
  /** Put into the `detail` of the scheduled event that every tick carries. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- the analyzer knows any, not unknown
  eventPayload?: Record<string, any>;
  /** Seconds an event may wait for the function before it is dropped, 60 to 21600. Default: 60. */
  eventAgeSeconds?: number;
  /**
   * ARN of an SQS queue that is told of a tick that was lost after Lambda had taken it, and takes ticks that
   * EventBridge could not deliver, if its own policy lets events.amazonaws.com send to it. Not covered: ticks that
   * have reached a delay queue (rates under a minute), which vanish there after a minute. Default: none.
   */
  failureQueueArn?: pulumi.Input<string>;
  /** ARN of an SNS topic that is told of a tick that was lost after Lambda had taken it. Default: none. */
  failureTopicArn?: pulumi.Input<string>;
  /** ARN of a role to run as, instead of one of the component's own. Nothing is attached to it. */
  roleArn?: pulumi.Input<string>;
  /** Permissions boundary of the component's own role. */
  permissionsBoundaryArn?: pulumi.Input<string>;
  /** Path of the component's own role. Default: `/`. */
  rolePath?: string;
  /** KMS key for environment, log group, queues and topic. Default: keys of AWS's own. */
  kmsKeyArn?: pulumi.Input<string>;
  /** An existing log group. Default: one named `/aws/lambda/<function>`, with retention. */
  logGroupName?: pulumi.Input<string>;
  /** Days the component's own log group keeps what is written. Default: 14. */
  logRetentionDays?: number;
  /** `json` (default) or `text`. */
  logFormat?: string;
  /** Days the refresh history in the database is kept. Default: 30. */
  historyRetentionDays?: number;
  /** When to raise an alarm. */
  alarms?: AlarmArgs;
  /** E-mail addresses that alarms tell, through a topic of the component's own. */
  alarmEmails?: string[];
  /** SNS topics that alarms tell. */
  alarmTopicArns?: pulumi.Input<pulumi.Input<string>[]>;
  /** What is told when an alarm is over. Default: nothing but the component's own topic. */
  okActionArns?: pulumi.Input<pulumi.Input<string>[]>;
  /** Address of the page to open when an alarm goes off; stands in every alarm and on the dashboard. */
  runbookUrl?: string;
  /** Most that the estimate may come to a month; held by the policy pack. */
  monthlyBudgetUsd?: number;
  /** Written on everything that takes tags. */
  tags?: Record<string, pulumi.Input<string>>;
}
