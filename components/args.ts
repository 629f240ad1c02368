/**
 * What a program gives the component. Two kinds of values: settings are plain, because the plan is made of them
 * before any resource exists; places and ARNs are inputs, because other resources may make them.
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
  /** Consecutive failed ticks that raise the failing alarm. Default: 3. */
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
  name: string;
  /** Database user of the refresh. Not used with `secret`, which names its own. */
  user?: string;
  /** `iam` (default: a signed token, no password anywhere) or `secret` (Secrets Manager). */
  auth?: string;
  /** With `iam`: `db-…`, `cluster-…` or `prx-…`, what IAM's rds-db:connect names. */
  resourceId?: pulumi.Input<string>;
  /** With `secret`: ARN of a secret of RDS's JSON shape. */
  secretArn?: pulumi.Input<string>;
  /** Whether the host is an RDS Proxy. */
  proxy?: boolean;
}

/** Where the function runs. */
export interface NetworkArgs {
  /** The database's VPC. */
  vpcId: pulumi.Input<string>;
  /** Subnets from which the database can be reached: two or more, in different zones. */
  subnetIds: pulumi.Input<pulumi.Input<string>[]>;
  /** Security group of the database: one rule on its port is added, for the function's own group. */
  databaseSecurityGroupId: pulumi.Input<string>;
  /** A security group to use instead of one of the component's own. No rule is added then. */
  securityGroupId?: pulumi.Input<string>;
  /** With `secret`: create a Secrets Manager endpoint in the VPC, for subnets without a NAT gateway. Default: false. */
  secretsEndpoint?: boolean;
}
