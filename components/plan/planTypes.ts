/**
 * The plan of a stack: everything that can be known of it without AWS, as plain data. Backends turn it into
 * resources, a local run or a judgement; they decide nothing. ARNs that only AWS knows stand in it as
 * placeholders such as `{functionArn}`, see arnTemplates.
 */
import type { CostEstimate, CostUsage } from "../cost/cost";
import type { AlarmMetric, AlarmRule } from "../time/alarmRule";
import type { Series } from "../time/replay";
import type { Schedule } from "../time/schedule";

/** Where the stack is. */
export interface Place {
  /** For instance us-east-1. */
  region: string;
  /** ARN partition; derived from the region when absent. */
  partition?: string;
}

/** Names of everything, after the guide's pattern `<prefix>-refresh-<group>`. */
export interface NamesPlan {
  /** The group, fit for names: `job-progress`. */
  group: string;
  /** Also the name of rule, role, security group, dashboard and topic: `matview-refresh-job-progress`. */
  base: string;
  function: string;
  role: string;
  rule: string;
  logGroup: string;
  securityGroup: string;
  topic: string;
  dashboard: string;
}

/** The function, but for what other resources give it. */
export interface FunctionPlan {
  name: string;
  description: string;
  /** `index.handler` of the bundle. */
  handler: string;
  runtime: string;
  architecture: "arm64" | "x86_64";
  timeoutSeconds: number;
  memoryMb: number;
  reservedConcurrency?: number;
  kmsKeyArn?: string;
  /** Lambda's own retries of a run that threw: none, the next tick is the retry. */
  asyncRetries: number;
  /** Seconds an event waits for a free function before it is dropped. */
  eventAgeSeconds: number;
  failureDestinationArn?: string;
  /** The most a statement can get, in milliseconds; less than the timeout by the handler's margin. */
  statementTimeoutMs: number;
}

/** The log group; `isGiven` when it is there already and only its name is used. */
export interface LogsPlan {
  name: string;
  retentionDays: number;
  isGiven: boolean;
  kmsKeyArn?: string;
}

/** The EventBridge rule. */
export interface RulePlan {
  name: string;
  description: string;
  scheduleExpression: string;
  isEnabled: boolean;
}

/** One target of the rule: the function at offset 0, a queue at each further one. */
export interface TargetPlan {
  /** Target id, unique within the rule. */
  id: string;
  offsetSeconds: number;
  /** Name of the queue; absent: the function itself. */
  queue?: string;
  /** What the target gets instead of EventBridge's own event, as JSON. */
  input?: string;
  /** EventBridge's own delivery to the target. */
  retryAttempts: number;
  /** EventBridge drops what it could not deliver in this time. */
  eventAgeSeconds: number;
  /** SQS queue that takes what EventBridge could not deliver. */
  deadLetterArn?: string;
}

/** A queue that holds a tick back to its offset, and its mapping to the function. */
export interface QueuePlan {
  name: string;
  offsetSeconds: number;
  /** Equal to the offset. */
  delaySeconds: number;
  retentionSeconds: number;
  visibilityTimeoutSeconds: number;
  kmsKeyArn?: string;
  /** One tick is one run. */
  batchSize: number;
  /** Least that a mapping takes: 2. */
  maximumConcurrency: number;
}

/** A metric that an alarm reads; its id is that of the series in the replay of a schedule. */
export interface MetricPlan extends AlarmMetric {
  id: Series;
  namespace: string;
  name: string;
  dimensions: Record<string, string>;
}

export type AlarmKind = "failing" | "stale" | "slow" | "throttled" | "errors";

/** One alarm. Its rule is what CloudWatch gets, and what the replay of a schedule is held against. */
export interface AlarmPlan extends AlarmRule<MetricPlan> {
  /** Stable within the stack: `slow`, `stale-public.job_progress`. For names of resources. */
  key: string;
  kind: AlarmKind;
  /** Name in CloudWatch. */
  name: string;
  /** What happened, what to do, and where the runbook is. */
  description: string;
  /** The view that it is about, as `schema.name`. */
  view?: string;
  /** Whether the schedule can bring enough errors: false for an errors alarm that was asked for and never fires. */
  canFire: boolean;
}

/** Who is told by the stack itself; topics that are given go straight from the arguments to the alarms. */
export interface SubscriptionsPlan {
  /** Topic to create; absent where nobody is to be told by e-mail. */
  topic?: { name: string; emails: string[]; kmsKeyArn?: string };
}

/** The dashboard: a name and CloudWatch's own body, as data. */
export interface DashboardPlan {
  name: string;
  body: DashboardBody;
}

export interface DashboardBody {
  start: string;
  periodOverride: "inherit";
  widgets: DashboardWidget[];
}

export interface DashboardWidget {
  type: "metric" | "text" | "alarm";
  x: number;
  y: number;
  width: number;
  height: number;
  properties: Record<string, unknown>;
}

/** One statement of a policy; resources may hold placeholders. */
export interface StatementPlan {
  sid: string;
  /** Why the function needs it. */
  reason: string;
  actions: string[];
  resources: string[];
}

/** What the function may do. */
export interface PermissionPlan {
  /** A role that is there already: nothing is attached to it, `statements` is what it must allow. */
  roleArn?: string;
  rolePath: string;
  permissionsBoundaryArn?: string;
  /** AWS's own policy for network interfaces: describing them takes no resource, so we write no `*` ourselves. */
  managedPolicyArns: string[];
  statements: StatementPlan[];
}

/** The function's network side. */
export interface NetworkPlan {
  /** A security group that is there already; no rule is added then. */
  securityGroupId?: string;
  /** The one port the function reaches. */
  databasePort: number;
  /** Whether a Secrets Manager endpoint is made in the VPC. */
  hasSecretsEndpoint: boolean;
}

/** One command of the guide's Verification part, filled in. */
export interface VerificationCommand {
  title: string;
  command: string;
}

export interface Plan {
  place: Required<Place>;
  names: NamesPlan;
  schedule: Schedule;
  ticksPerMonth: number;
  /** Age that data may reach when all is well: interval and timeout. */
  worstStalenessByDesignSeconds: number;
  /** The promise: an alarm within this time. */
  maxStalenessSeconds: number;
  function: FunctionPlan;
  logs: LogsPlan;
  rule: RulePlan;
  targets: TargetPlan[];
  queues: QueuePlan[];
  permissions: PermissionPlan;
  network: NetworkPlan;
  alarms: AlarmPlan[];
  subscriptions: SubscriptionsPlan;
  dashboard: DashboardPlan;
  tags: Record<string, string>;
  /** Further tags of the rule alone: the promise and its price, for policies and people to read. */
  promiseTags: Record<string, string>;
  costUsage: CostUsage;
  /** Absent where prices are not recorded: a stack may be deployed there, but nobody tells what it costs. */
  cost?: CostEstimate;
  /** Why there is no `cost`, and how to record the prices. */
  costProblem?: string;
  monthlyBudgetUsd?: number;
  /** SQL that lets the database user refresh the views. */
  grants: string[];
  /** SQL that tells how old each view is. */
  freshnessQuery: string;
  verification: VerificationCommand[];
}
