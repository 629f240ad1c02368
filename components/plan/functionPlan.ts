/** What the function gets: its environment, its limits, and how its time is divided. */
import { toEnvironment, type DatabaseSettings, type HandlerSettings } from "../../handler/settings";
import { statementTimeoutMs } from "../../handler/timeouts";
import type { FunctionPlan, NamesPlan } from "./planTypes";
import type { Schedule } from "../time/schedule";
import type { Settings } from "../settings/settings";

/** Function, role and rule names have this limit, the shortest of all names we make. */
export const LONGEST_FUNCTION_NAME = 64;

/** The next tick is the retry. */
export const ASYNC_RETRIES = 0;

/** What Lambda allows, and the absolute limit of the policy too. */
export const LONGEST_TIMEOUT_SECONDS = 900;

/** All names and values of a function's environment together. */
export const MOST_ENVIRONMENT_BYTES = 4_096;

/**
 * Set beside the handler's own variables. From Node 20 on, the runtime no longer loads the RDS certificate
 * authorities by itself; this file adds them to Node's.
 */
const RUNTIME_ENVIRONMENT = { NODE_EXTRA_CA_CERTS: "/var/runtime/ca-cert.pem" } as const;

/** Where the AWS SDK finds Secrets Manager, if not at the region's public address; set with an endpoint of ours. */
export const SECRETS_URL_VARIABLE = "AWS_ENDPOINT_URL_SECRETS_MANAGER";

/** As long as an endpoint's address gets in any region, for limits before it is known. */
export const LONGEST_SECRETS_URL = `https://vpce-${"0".repeat(17)}-${"0".repeat(8)}.secretsmanager.${"r".repeat(20)}.vpce.amazonaws.com.cn`;

/** Names that Lambda or we set; a stack cannot. */
export const RESERVED_VARIABLES: readonly string[] = [
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
  ...Object.keys(RUNTIME_ENVIRONMENT),
  SECRETS_URL_VARIABLE,
  // Makes the SDK blind to the variable before.
  "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
];

/** The part of the settings the environment is made of. */
export type EnvironmentSettings = Pick<
  Settings,
  "group" | "views" | "logFormat" | "historyRetentionDays" | "environment"
>;

/** The handler's settings, given the database; `Text` is deferred text where the database is made with the stack. */
export function handlerSettings<Text>(
  settings: EnvironmentSettings,
  database: DatabaseSettings<Text>,
): HandlerSettings<Text> {
  const { group, views, logFormat, historyRetentionDays } = settings;
  return { group, views, database, logFormat, historyRetentionDays };
}

/** Every variable of the function. */
export function functionEnvironment<Text>(
  settings: EnvironmentSettings,
  database: DatabaseSettings<Text>,
): Record<string, string | Text> {
  return {
    ...settings.environment,
    ...RUNTIME_ENVIRONMENT,
    ...toEnvironment(handlerSettings(settings, database)),
  };
}

/** How much of Lambda's 4 KB an environment takes: names and values in UTF-8. */
export function environmentBytes(environment: Record<string, string>): number {
  return Object.entries(environment).reduce(
    (bytes, [name, value]) => bytes + Buffer.byteLength(name) + Buffer.byteLength(value),
    0,
  );
}

/**
 * The longest timeout that a schedule bears: two intervals, so that a hung run costs at most one further tick;
 * two minutes where ticks are denser than that, since those only find the lock taken.
 */
export function mostTimeoutSeconds(schedule: Schedule): number {
  return Math.min(LONGEST_TIMEOUT_SECONDS, Math.max(120, 2 * schedule.intervalSeconds));
}

/** The longest an event may wait: an interval, since then the next tick is there; never under Lambda's 60 s. */
export function mostEventAgeSeconds(schedule: Schedule): number {
  return Math.min(21_600, Math.max(60, schedule.intervalSeconds));
}

/** The function without what other resources give it. */
export function planFunction(settings: Settings, names: NamesPlan): FunctionPlan {
  const { timeoutSeconds, memoryMb, architecture, runtime, reservedConcurrency } = settings;
  const timeoutMs = timeoutSeconds * 1_000;
  const viewNames = settings.views.map((view) => `${view.schema}.${view.name}`).join(", ");
  // Without the rate, so that a change of frequency leaves the function as it is.
  const description = `Refreshes ${viewNames}`;
  return {
    name: names.function,
    description: description.length <= 256 ? description : `${description.slice(0, 253)}...`,
    handler: "index.handler",
    runtime,
    architecture,
    timeoutSeconds,
    memoryMb,
    asyncRetries: ASYNC_RETRIES,
    eventAgeSeconds: settings.eventAgeSeconds,
    statementTimeoutMs: statementTimeoutMs(timeoutMs, timeoutMs),
    ...(reservedConcurrency === undefined ? {} : { reservedConcurrency }),
    ...(settings.kmsKeyArn === undefined ? {} : { kmsKeyArn: settings.kmsKeyArn }),
    ...(settings.failureDestinationArn === undefined
      ? {}
      : { failureDestinationArn: settings.failureDestinationArn }),
  };
}
