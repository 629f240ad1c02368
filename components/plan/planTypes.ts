/**
 * The plan of a stack: everything that can be known of it without AWS, as plain data. Backends turn it into
 * resources, a local run or a judgement; they decide nothing. What only AWS knows stands in it as placeholders such as
 * `{functionArn}`, see arnTemplates; what depends on the region is made of the plan by dashboard, cost and
 * verification.
 */
import type { ViewSettings } from "../../handler/settings";
import type { Settings } from "../settings/schema";
import type { AlarmMetric, AlarmRule } from "../time/alarmRule";
import type { Series } from "../time/replay";
import type { Schedule } from "../time/schedule";

/** Names of everything: `<prefix>-refresh-<group>`. */
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
}

/** A queue that holds a tick back to its offset, and its mapping to the function. */
export interface QueuePlan {
  name: string;
  offsetSeconds: number;
  /** Equal to the offset. */
  delaySeconds: number;
  retentionSeconds: number;
  visibilityTimeoutSeconds: number;
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

export type AlarmKind = "failing" | "stale" | "slow" | "throttled" | "errors" | "drift" | "fullRuns";

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

/** The dashboard's body, as CloudWatch takes it. */
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
  actions: string[];
  resources: string[];
  /** Present: the statement takes away, from the code of this function alone. */
  deniedToFunctionArn?: string;
}

/** A command that shows whether a stack works, with its names in it. */
export interface VerificationCommand {
  title: string;
  command: string;
}

export interface Plan {
  settings: Settings;
  names: NamesPlan;
  /** As given, not made fit for AWS names: the dimension of every metric. */
  group: string;
  /** In the order given; the handler finds the order of refresh. */
  views: ViewSettings[];
  schedule: Schedule;
  ticksPerMonth: number;
  /** What the failing alarm waits for. */
  failedTicks: number;
  /** Age that data may reach when all is well: interval and timeout. */
  worstStalenessByDesignSeconds: number;
  /** The promise: the age that data reaches at most before the stale alarm has gone off. */
  maxStalenessSeconds: number;
  function: FunctionPlan;
  /** Lambda's own retries of a run that threw: none, the next tick is the retry. */
  asyncRetries: number;
  rule: RulePlan;
  targets: TargetPlan[];
  queues: QueuePlan[];
  /** What the function's role must allow. */
  statements: StatementPlan[];
  alarms: AlarmPlan[];
  tags: Record<string, string>;
}
