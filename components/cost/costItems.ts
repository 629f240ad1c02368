/**
 * What a stack uses in a month, and what AWS bills for it, in the units AWS bills it by. No prices here: {@link file://./cost.ts} adds them.
 *
 * Two months are in use, and this is the one place that says so. What is counted by event (invocations, polls,
 * messages, logs) uses the 30 days of `DAYS_PER_MONTH`, so rate(1 minute) is 43,200 invocations. What is billed
 * by the hour uses 730 hours, a twelfth of a year, as AWS's own calculator does.
 */
import type { PriceId } from "./prices";
import { DAYS_PER_MONTH } from "../time/schedule";

export const HOURS_PER_MONTH = 730;

const MB_PER_GB = 1024;
const BYTES_PER_GB = 1024 ** 3;

/** Lambda keeps five long polls of 20 seconds open on a queue, message or none. */
const POLLERS_PER_QUEUE = 5;
const LONG_POLL_SECONDS = 20;
const IDLE_POLLS_PER_QUEUE = (POLLERS_PER_QUEUE * DAYS_PER_MONTH * 86_400) / LONG_POLL_SECONDS;

/**
 * EventBridge's send, the receive that carries the message, Lambda's delete. The receive is counted on top of
 * the idle polls, which makes this a slight overestimate.
 */
const REQUESTS_PER_MESSAGE = 3;

/** AWS bills a proxy in front of a provisioned instance for at least two vCPUs. */
const LEAST_PROXY_VCPUS = 2;

/** One GetSecretValue over TLS, both ways, handshake included: an assumption, rounded up. */
const BYTES_PER_SECRET_CALL = 10_000;

/** A database the stack creates. */
export interface CostDatabase {
  /** RDS class, "db.t4g.micro". */
  instanceClass: string;
  /** gp3 storage, in GB. */
  storageGb: number;
}

/** What a stack, or a part of it, uses in a month. Counts left out are zero. */
export interface CostUsage {
  region: string;
  architecture?: "arm64" | "x86_64";
  memoryMb?: number;
  /** Left out where there is no function, and then its schedule is not listed either. */
  invocationsPerMonth?: number;
  averageDurationSeconds?: number;
  /** Cold starts; their INIT phase is billed like a run's. */
  coldStartsPerMonth?: number;
  /** Length of one INIT phase. */
  coldStartSeconds?: number;
  /** Delay queues of a sub-minute rate. */
  queues?: number;
  /** Messages over all queues. */
  queueMessagesPerMonth?: number;
  /** Metrics that alarms read: 1 for a plain alarm, the number of metrics for one on metric math. */
  alarmMetrics?: number;
  dashboards?: number;
  /** Distinct custom metrics (name and dimensions) the function's logs yield. */
  customMetrics?: number;
  logBytesPerInvocation?: number;
  logRetentionDays?: number;
  /** Secrets the stack creates. */
  secrets?: number;
  secretCallsPerMonth?: number;
  /** Availability zones of the Secrets Manager interface endpoint the stack creates. */
  endpointZones?: number;
  /** vCPUs of the instance behind a proxy the stack creates. */
  proxyVcpus?: number;
  database?: CostDatabase;
}

/** One billed thing before it is priced. */
export interface CostItem {
  id: string;
  description: string;
  /** In the unit of its price. */
  quantity: number;
  price: PriceId | { instanceClass: string };
  /** Listed even though it costs nothing, since that is worth knowing. */
  isAlwaysListed?: boolean;
}

/**
 * Everything a month's usage is billed for, those with a quantity of zero left out.
 * @throws RangeError for a quantity that is negative or not finite.
 */
export function costItems(usage: CostUsage): CostItem[] {
  const items = [
    ...(usage.invocationsPerMonth === undefined ? [] : functionItems(usage)),
    ...queueItems(usage),
    ...secretItems(usage),
    proxyItem(usage),
    ...monitoringItems(usage),
    ...databaseItems(usage),
  ];
  for (const { id, quantity } of items) {
    if (!Number.isFinite(quantity) || quantity < 0) {
      throw new RangeError(`The quantity of ${id} must be zero or more, not ${quantity}`);
    }
  }
  return items.filter((item) => item.quantity > 0 || item.isAlwaysListed);
}

function functionItems(usage: CostUsage): CostItem[] {
  const { architecture, memoryMb = 0, invocationsPerMonth = 0, averageDurationSeconds = 0 } = usage;
  const { coldStartsPerMonth = 0, coldStartSeconds = 0 } = usage;
  const memoryGb = memoryMb / MB_PER_GB;
  const price = architecture === "arm64" ? "lambdaArm64GbSecond" : "lambdaX86GbSecond";
  return [
    {
      id: "lambda-compute",
      description: `Lambda ${architecture}, ${invocationsPerMonth} runs x ${averageDurationSeconds} s x ${memoryGb} GB`,
      quantity: invocationsPerMonth * averageDurationSeconds * memoryGb,
      price,
    },
    {
      id: "lambda-cold-starts",
      description: `Lambda ${architecture}, ${coldStartsPerMonth} cold starts x ${coldStartSeconds} s x ${memoryGb} GB`,
      quantity: coldStartsPerMonth * coldStartSeconds * memoryGb,
      price,
    },
    {
      id: "lambda-requests",
      description: "Lambda requests",
      quantity: invocationsPerMonth,
      price: "lambdaRequest",
    },
    {
      id: "schedule",
      description: "EventBridge rule (scheduled rules are free, whatever their rate)",
      quantity: 1,
      price: "scheduledRule",
      isAlwaysListed: true,
    },
  ];
}

function queueItems(usage: CostUsage): CostItem[] {
  const { queues = 0, queueMessagesPerMonth = 0 } = usage;
  return [
    {
      id: "sqs-idle-polling",
      description: `SQS, Lambda polling ${queues} queue(s): ${POLLERS_PER_QUEUE} polls of ${LONG_POLL_SECONDS} s at a time`,
      quantity: queues * IDLE_POLLS_PER_QUEUE,
      price: "sqsRequest",
    },
    {
      id: "sqs-messages",
      description: "SQS, send, receive and delete of each delayed tick",
      quantity: queueMessagesPerMonth * REQUESTS_PER_MESSAGE,
      price: "sqsRequest",
    },
  ];
}

function monitoringItems(usage: CostUsage): CostItem[] {
  const { alarmMetrics = 0, dashboards = 0, customMetrics = 0 } = usage;
  const { logBytesPerInvocation = 0, logRetentionDays = 0 } = usage;
  const logGb = (logBytesPerInvocation * (usage.invocationsPerMonth ?? 0)) / BYTES_PER_GB;
  return [
    { id: "alarms", description: "CloudWatch alarms", quantity: alarmMetrics, price: "alarmMetric" },
    { id: "dashboard", description: "CloudWatch dashboard", quantity: dashboards, price: "dashboard" },
    {
      id: "custom-metrics",
      description: "CloudWatch metrics taken from the function's logs",
      quantity: customMetrics,
      price: "customMetric",
    },
    {
      id: "logs-ingested",
      description: "CloudWatch Logs, ingested",
      quantity: logGb,
      price: "logIngestedGb",
    },
    {
      id: "logs-stored",
      description: `CloudWatch Logs, kept ${logRetentionDays} days (uncompressed, so at most this)`,
      quantity: (logGb * logRetentionDays) / DAYS_PER_MONTH,
      price: "logStoredGbMonth",
    },
  ];
}

function secretItems(usage: CostUsage): CostItem[] {
  const { secrets = 0, secretCallsPerMonth = 0, endpointZones = 0 } = usage;
  const callsThroughEndpoint = endpointZones > 0 ? secretCallsPerMonth : 0;
  return [
    { id: "secrets", description: "Secrets Manager secrets", quantity: secrets, price: "secretMonth" },
    {
      id: "secret-calls",
      description: "Secrets Manager API calls",
      quantity: secretCallsPerMonth,
      price: "secretCall",
    },
    {
      id: "endpoint-hours",
      description: `Interface endpoint to Secrets Manager, ${endpointZones} zone(s) x ${HOURS_PER_MONTH} h`,
      quantity: endpointZones * HOURS_PER_MONTH,
      price: "endpointZoneHour",
    },
    {
      id: "endpoint-data",
      description: "Interface endpoint, data",
      quantity: (callsThroughEndpoint * BYTES_PER_SECRET_CALL) / BYTES_PER_GB,
      price: "endpointDataGb",
    },
  ];
}

function proxyItem(usage: CostUsage): CostItem {
  const vcpus = usage.proxyVcpus ? Math.max(LEAST_PROXY_VCPUS, usage.proxyVcpus) : 0;
  return {
    id: "database-proxy",
    description: `RDS Proxy, ${vcpus} vCPU x ${HOURS_PER_MONTH} h`,
    quantity: vcpus * HOURS_PER_MONTH,
    price: "proxyVcpuHour",
  };
}

function databaseItems({ database }: CostUsage): CostItem[] {
  if (!database) return [];
  const { instanceClass, storageGb } = database;
  return [
    {
      id: "database-instance",
      description: `RDS PostgreSQL ${instanceClass}, one zone x ${HOURS_PER_MONTH} h`,
      quantity: HOURS_PER_MONTH,
      price: { instanceClass },
    },
    {
      id: "database-storage",
      description: "RDS gp3 storage",
      quantity: storageGb,
      price: "databaseStorageGbMonth",
    },
  ];
}
