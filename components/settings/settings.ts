/**
 * The settings of a stack, as Pulumi config or as Pulumi.local.yaml: plain values, checked all at once before
 * anything is made of them.
 */
import type { ViewSettings } from "../../handler/settings";
import type { Schedule } from "../time/schedule";

export { parseSettings } from "./parseSettings";
export { SettingsFaults, type Fault, type Purpose } from "./settingsFaults";

/** Processor of the function. */
export type Architecture = "arm64" | "x86_64";

/** The guide's form of an errors alarm: more than `threshold` errors in each of so many periods. */
export interface ErrorsAlarmSettings {
  /** The alarm wants more errors than this in a period. */
  threshold: number;
  /** A multiple of 60: Lambda reports errors once a minute. */
  periodSeconds: number;
  evaluationPeriods: number;
  datapointsToAlarm: number;
}

/** The alarms' thresholds. */
export interface AlarmSettings {
  /** How many ticks in a row must fail before the alarm. */
  failedTicks: number;
  /** Share of the timeout, 1 to 99, above which a run is slow. */
  slowPercent: number;
  /** Only when asked for, beside the others. */
  errors?: ErrorsAlarmSettings;
}

/** A database that is there already. */
export interface ExistingDatabase {
  kind: "existing";
  host: string;
  port: number;
  name: string;
  /** Absent with `secret`: the secret names its user. */
  user?: string;
  auth: "iam" | "secret";
  /** db-…, cluster-… or prx-…: what `rds-db:connect` names; present with `iam`. */
  resourceId?: string;
  /** Present with `secret`. */
  secretArn?: string;
  /** Customer key the secret is encrypted with, where it is not the account's own. */
  secretKmsKeyArn?: string;
  /** Whether `host` is the endpoint of an RDS Proxy. */
  isProxy: boolean;
}

/** A small database made with the stack. */
export interface CreatedDatabase {
  kind: "create";
  name: string;
  port: number;
  /** The database user the function becomes, by IAM token. */
  user: string;
  auth: "iam";
  instanceClass: string;
  storageGb: number;
  /** Whether an RDS Proxy is put before it. */
  proxy: boolean;
}

/** No database is named: only for the run on this machine, which brings its own. */
export interface NoDatabase {
  kind: "none";
}

/** A network that is there already. */
export interface ExistingNetwork {
  kind: "existing";
  vpcId: string;
  /** Two at least, so that the loss of one zone does not stop the refresh. */
  subnetIds: string[];
  /** Security group of the existing database; gets one rule that lets the function in. */
  databaseSecurityGroupId?: string;
  /** A security group for the function, instead of one made by the stack. */
  securityGroupId?: string;
  /** Whether `secret` mode makes a Secrets Manager endpoint here: not where one or a NAT is there already. */
  secretsEndpoint: boolean;
}

/** A network made with the stack. */
export interface CreatedNetwork {
  kind: "create";
  /** Availability zones, two at least. */
  zones: number;
}

/** No network is named: only for the run on this machine. */
export interface NoNetwork {
  kind: "none";
}

export type DatabasePlace = ExistingDatabase | CreatedDatabase | NoDatabase;
export type NetworkPlace = ExistingNetwork | CreatedNetwork | NoNetwork;

/** Every setting, checked and with its default filled in. Plain data. */
export interface Settings {
  namePrefix: string;
  /** The view's name when there is one view and no groupName; as given, not made fit for AWS names. */
  group: string;
  /** In the order given; the handler finds the order of refresh. */
  views: ViewSettings[];
  schedule: Schedule;
  refreshEnabled: boolean;
  /** The promise the stale alarm keeps; derived from schedule and timeout when not given. */
  maxStalenessSeconds: number;
  timeoutSeconds: number;
  memoryMb: number;
  architecture: Architecture;
  runtime: string;
  /** Further variables of the function. */
  environment: Record<string, string>;
  /** Concurrent runs kept for the function; absent: none are. */
  reservedConcurrency?: number;
  /** Put into the `detail` of the scheduled event that every tick carries. */
  eventPayload?: Record<string, unknown>;
  /** Seconds an event waits in Lambda's queue before it is dropped. */
  eventAgeSeconds: number;
  /** SQS queue or SNS topic that hears of a tick that was lost. */
  failureDestinationArn?: string;
  /** An execution role that is there already; no role is made then. */
  roleArn?: string;
  permissionsBoundaryArn?: string;
  rolePath: string;
  /** Customer key for environment, logs, queues and topic. */
  kmsKeyArn?: string;
  alarms: AlarmSettings;
  alarmEmails: string[];
  /** SNS topics that every alarm tells. */
  alarmTopicArns: string[];
  /** What is told when an alarm is over. */
  okActionArns: string[];
  runbookUrl?: string;
  logRetentionDays: number;
  logFormat: "text" | "json";
  /** A log group that is there already. */
  logGroupName?: string;
  /** Rows of the history older than this are deleted. */
  historyRetentionDays: number;
  database: DatabasePlace;
  network: NetworkPlace;
  /** Held by the policy; absent: no budget. */
  monthlyBudgetUsd?: number;
  tags: Record<string, string>;
}
