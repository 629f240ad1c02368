/** What AWS allows of a function, its events and its environment, and what a schedule allows of a timeout. */
import type { Schedule } from "./schedule";

/** Function, role and rule names have this limit, the shortest of all names we make. */
export const LONGEST_FUNCTION_NAME = 64;

/** Lambda's own limit. */
export const LONGEST_TIMEOUT_SECONDS = 900;

/** All names and values of a function's environment together, in UTF-8. */
export const MOST_ENVIRONMENT_BYTES = 4_096;

/** CloudWatch's limit on the actions of one state of an alarm (PutMetricAlarm). */
export const MOST_ALARM_ACTIONS = 5;

/** EventBridge's limit on a target's constant input, in characters (PutTargets). */
export const LONGEST_TARGET_INPUT = 8_192;

/** AWS allows 50 tags on a resource; ours and those that a provider adds by default take some. */
export const MOST_TAGS = 45;

/** Lambda's limit on the subnets of a function (VpcConfig). */
export const MOST_SUBNETS = 16;

/** What RDS allows in the identifiers of instances and proxies. */
export const LONGEST_RDS_IDENTIFIER = 63;

/** The lowest port of an instance (CreateDBInstance). */
export const LEAST_RDS_PORT = 1_150;

/** Retention periods that CloudWatch Logs accepts, in days. */
export const LOG_RETENTION_DAYS = [
  1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
];

/** Node runtimes of Lambda that new functions may still use. */
export const RUNTIMES = ["nodejs24.x", "nodejs22.x"] as const;

/** Variables that Lambda sets; a stack cannot. */
export const LAMBDA_VARIABLES: readonly string[] = [
  "_HANDLER",
  "_X_AMZN_TRACE_ID",
  "AWS_DEFAULT_REGION",
  "AWS_REGION",
  "AWS_EXECUTION_ENV",
  "AWS_LAMBDA_FUNCTION_NAME",
  "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
  "AWS_LAMBDA_FUNCTION_VERSION",
  "AWS_LAMBDA_INITIALIZATION_TYPE",
  "AWS_LAMBDA_LOG_GROUP_NAME",
  "AWS_LAMBDA_LOG_STREAM_NAME",
  "AWS_ACCESS_KEY",
  "AWS_ACCESS_KEY_ID",
  "AWS_SECRET_ACCESS_KEY",
  "AWS_SESSION_TOKEN",
  "AWS_LAMBDA_RUNTIME_API",
  "LAMBDA_TASK_ROOT",
  "LAMBDA_RUNTIME_DIR",
];

/**
 * The longest timeout that a schedule allows: two intervals, so that a hung run costs at most one further tick;
 * two minutes where ticks are denser than that, since those only find the view held.
 */
export function mostTimeoutSeconds(schedule: Schedule): number {
  return Math.min(LONGEST_TIMEOUT_SECONDS, Math.max(120, 2 * schedule.intervalSeconds));
}

/** The longest an event may wait: an interval, since then the next tick is there; never under Lambda's 60 s. */
export function mostEventAgeSeconds(schedule: Schedule): number {
  return Math.min(21_600, Math.max(60, schedule.intervalSeconds));
}
