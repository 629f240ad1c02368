/** What a stack is expected to use in a month. Where no figure is known beforehand, the assumption is named. */
import type { CostUsage } from "../cost/cost";
import { METRIC } from "../../handler/metricNames";
import { maintainedViews } from "./alarmPlan";
import type { Plan } from "./planTypes";
import { DAYS_PER_MONTH } from "../time/schedule";
import type { Settings } from "../settings/schema";

/** Assumed: a refresh takes a second. */
const AVERAGE_DURATION_SECONDS = 1;

/** Assumed for a cold start in a VPC. */
const COLD_START_SECONDS = 0.5;

/** Assumed: Lambda replaces a function's environment about every two hours, and drops one idle for ten minutes. */
const REPLACEMENTS_PER_DAY = 12;
const IDLE_LIMIT_SECONDS = 600;

/** Lambda's own lines and the handler's JSON lines of one view, measured and rounded up; then each further view. */
const LOG_BYTES_PER_RUN = 1_500;
const LOG_BYTES_PER_VIEW = 1_000;

/** Metrics of maintained views alone. */
const MAINTAINED_METRICS = [METRIC.changes, METRIC.drift, METRIC.fullRuns];

/** Metrics of any view: all but those and that of the whole run. */
const VIEW_METRICS = Object.keys(METRIC).length - MAINTAINED_METRICS.length - 1;

/** What a stack in a region uses, a database that is made with it included. */
export function usageOf(plan: Plan, region: string) {
  const { settings, schedule, views, queues, alarms } = plan;
  const { architecture, memoryMb, logRetentionDays } = settings;
  const invocationsPerMonth = plan.ticksPerMonth;
  return {
    region,
    architecture,
    memoryMb,
    invocationsPerMonth,
    averageDurationSeconds: AVERAGE_DURATION_SECONDS,
    coldStartsPerMonth: coldStartsPerMonth(schedule.intervalSeconds, invocationsPerMonth),
    coldStartSeconds: COLD_START_SECONDS,
    queues: queues.length,
    queueMessagesPerMonth: (invocationsPerMonth * queues.length) / schedule.offsetsSeconds.length,
    alarmMetrics: alarms.reduce((sum, { metrics }) => sum + metrics.length, 0),
    dashboards: 1,
    customMetrics: views.length * VIEW_METRICS + maintainedViews(plan).length * MAINTAINED_METRICS.length + 1,
    logBytesPerInvocation: LOG_BYTES_PER_RUN + LOG_BYTES_PER_VIEW * views.length,
    logRetentionDays,
    ...(settings.database.create === undefined
      ? secretUsage(settings, invocationsPerMonth)
      : createdDatabaseUsage(settings.database.create)),
  } satisfies CostUsage;
}

function coldStartsPerMonth(intervalSeconds: number, invocationsPerMonth: number): number {
  if (intervalSeconds >= IDLE_LIMIT_SECONDS) return invocationsPerMonth;
  return Math.min(invocationsPerMonth, REPLACEMENTS_PER_DAY * DAYS_PER_MONTH);
}

/**
 * What is made with the stack beside the component: the database with the secret of its administrator, and an
 * endpoint, in one zone, through which the migration function reads it.
 */
export function createdDatabaseUsage(create: NonNullable<Settings["database"]["create"]>) {
  const { instanceClass, storageGb, proxy } = create;
  return {
    database: { instanceClass, storageGb },
    secrets: 1,
    endpointZones: 1,
    ...(proxy ? { proxyVcpus: 2 } : {}),
  } satisfies Partial<CostUsage>;
}

function secretUsage({ database, network }: Settings, invocationsPerMonth: number): Partial<CostUsage> {
  if (database.auth !== "secret") return {};
  const { secretsEndpoint = false, subnetIds } = network;
  // Two subnets stand for a list that is known later.
  const zones = Array.isArray(subnetIds) ? subnetIds.length : 2;
  return { secretCallsPerMonth: invocationsPerMonth, endpointZones: secretsEndpoint ? zones : 0 };
}
