/**
 * What a stack costs a month, line by line: pure arithmetic over a usage and a price table.
 *
 * Two months are in use, and this is the one place that says so. What is counted by event (invocations, polls,
 * messages) uses a month of 30 days, as AWS's own examples do: rate(1 minute) is 43,200 invocations. What is
 * billed by the hour uses 730 hours, a twelfth of a year of 8,760.
 */
import { databaseInstancePrice, priceOf, type Price, type PriceId, type PriceTable } from "./prices";

export const daysPerMonth = 30;
export const hoursPerMonth = 730;

const secondsPerMonth = daysPerMonth * 86_400;
const mebibytesPerGb = 1024;
const bytesPerGb = 1024 ** 3;

/** Lambda polls an SQS queue with five long polls of 20 seconds at a time, message or none. */
const pollersPerQueue = 5;
const longPollSeconds = 20;
export const idlePollsPerQueueMonth = (pollersPerQueue * secondsPerMonth) / longPollSeconds;

/**
 * EventBridge's send, the receive that carries the message, Lambda's delete. The receive is counted on top of
 * the idle polls, which makes this a slight overestimate.
 */
const requestsPerMessage = 3;

/** AWS bills a proxy in front of a provisioned instance for at least two vCPUs. */
const leastProxyVcpus = 2;

/** One GetSecretValue over TLS, both ways, handshake included: an assumption, rounded up. */
const bytesPerSecretCall = 10_000;

/** A database the stack creates. */
export interface CostDatabase {
  /** RDS class, "db.t4g.micro". */
  instanceClass: string;
  /** gp3 storage, in GB. */
  storageGb: number;
}

/** What a stack uses in a month. Counts left out are zero. */
export interface CostUsage {
  region: string;
  architecture: "arm64" | "x86_64";
  memoryMb: number;
  invocationsPerMonth: number;
  averageDurationSeconds: number;
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
  compositeAlarms?: number;
  dashboards?: number;
  /** Distinct custom metrics (name and dimensions) the function's logs yield. */
  customMetrics?: number;
  logBytesPerInvocation?: number;
  logRetentionDays?: number;
  emailNotificationsPerMonth?: number;
  /** Secrets the stack creates. */
  secrets?: number;
  secretCallsPerMonth?: number;
  /** Availability zones of the Secrets Manager interface endpoint the stack creates. */
  endpointZones?: number;
  /** vCPUs of the instance behind a proxy the stack creates. */
  proxyVcpus?: number;
  database?: CostDatabase;
}

/** One billed thing. Amounts are exact; round them only to show them. */
export interface CostLine {
  id: string;
  description: string;
  unit: string;
  quantity: number;
  unitPriceUsd: number;
  /** Units of `quantity` the free tier covers. */
  freeQuantity: number;
  /** quantity x unitPriceUsd. */
  monthlyUsd: number;
  /** The same for what the free tier leaves. */
  monthlyWithFreeTierUsd: number;
  source: string;
  /** The day the price was read or published, YYYY-MM-DD. */
  date: string;
  /** Whether a server running cron would need this too (the database it refreshes). */
  neededByCronToo: boolean;
}

/** A month's lines and their sums. Free tiers are the account's: other workloads may have used them up. */
export interface CostEstimate {
  region: string;
  lines: CostLine[];
  totalUsd: number;
  totalWithFreeTierUsd: number;
}

interface Item {
  id: string;
  description: string;
  quantity: number;
  price: PriceId | { instanceClass: string };
  /** Kept even when nothing is used, since its being free is worth saying. */
  always?: boolean;
  neededByCronToo?: boolean;
}

/**
 * Prices a month. A line appears for each thing used, plus the schedule's rule, which is free.
 * @throws PriceUnknownError where a line's price is not in the table for this region.
 * @throws RangeError for a quantity that is negative or not finite.
 */
export function estimateMonthlyCost(usage: CostUsage, prices: PriceTable): CostEstimate {
  const freeLeft = new Map<PriceId, number>();
  for (const [id, allowance] of Object.entries(prices.freeTiers))
    freeLeft.set(id as PriceId, allowance.quantity);
  const lines = itemsOf(usage)
    .filter((item) => item.quantity > 0 || item.always)
    .map((item) => priceLine(item, usage.region, prices, freeLeft));
  return {
    region: usage.region,
    lines,
    totalUsd: sum(lines.map((line) => line.monthlyUsd)),
    totalWithFreeTierUsd: sum(lines.map((line) => line.monthlyWithFreeTierUsd)),
  };
}

function itemsOf(usage: CostUsage): Item[] {
  const items = [
    ...functionItems(usage),
    ...queueItems(usage),
    ...watchItems(usage),
    ...networkItems(usage),
    ...databaseItems(usage),
  ];
  for (const { id, quantity } of items) {
    if (!Number.isFinite(quantity) || quantity < 0) {
      throw new RangeError(`The quantity of ${id} must be zero or more, not ${quantity}`);
    }
  }
  return items;
}

function functionItems(usage: CostUsage): Item[] {
  const { architecture, memoryMb, invocationsPerMonth, averageDurationSeconds } = usage;
  const memoryGb = memoryMb / mebibytesPerGb;
  const price = architecture === "arm64" ? "lambdaArm64GbSecond" : "lambdaX86GbSecond";
  const coldStarts = usage.coldStartsPerMonth ?? 0;
  const coldStartSeconds = usage.coldStartSeconds ?? 0;
  return [
    {
      id: "lambda-compute",
      description: `Lambda ${architecture}: ${invocationsPerMonth} runs x ${averageDurationSeconds} s x ${memoryGb} GB`,
      quantity: invocationsPerMonth * averageDurationSeconds * memoryGb,
      price,
    },
    {
      id: "lambda-cold-starts",
      description: `Lambda ${architecture}: ${coldStarts} cold starts x ${coldStartSeconds} s x ${memoryGb} GB`,
      quantity: coldStarts * coldStartSeconds * memoryGb,
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
      description: "EventBridge rule: scheduled rules and deliveries to AWS services are not charged",
      quantity: 1,
      price: "scheduledRule",
      always: true,
    },
  ];
}

function queueItems(usage: CostUsage): Item[] {
  const queues = usage.queues ?? 0;
  return [
    {
      id: "sqs-idle-polling",
      description: `SQS: Lambda polling ${queues} queue(s), ${pollersPerQueue} long polls of ${longPollSeconds} s each`,
      quantity: queues * idlePollsPerQueueMonth,
      price: "sqsRequest",
    },
    {
      id: "sqs-messages",
      description: "SQS: send, receive and delete of each delayed tick",
      quantity: (usage.queueMessagesPerMonth ?? 0) * requestsPerMessage,
      price: "sqsRequest",
    },
  ];
}

function watchItems(usage: CostUsage): Item[] {
  const logGb = ((usage.logBytesPerInvocation ?? 0) * usage.invocationsPerMonth) / bytesPerGb;
  const retentionDays = usage.logRetentionDays ?? 0;
  return [
    {
      id: "alarms",
      description: "CloudWatch alarms",
      quantity: usage.alarmMetrics ?? 0,
      price: "alarmMetric",
    },
    {
      id: "composite-alarms",
      description: "CloudWatch composite alarms",
      quantity: usage.compositeAlarms ?? 0,
      price: "compositeAlarm",
    },
    {
      id: "dashboard",
      description: "CloudWatch dashboard",
      quantity: usage.dashboards ?? 0,
      price: "dashboard",
    },
    {
      id: "custom-metrics",
      description: "CloudWatch custom metrics (from the function's logs)",
      quantity: usage.customMetrics ?? 0,
      price: "customMetric",
    },
    { id: "logs-ingested", description: "CloudWatch Logs ingested", quantity: logGb, price: "logIngestedGb" },
    {
      id: "logs-stored",
      description: `CloudWatch Logs kept ${retentionDays} days (uncompressed, so at most this)`,
      quantity: (logGb * retentionDays) / daysPerMonth,
      price: "logStoredGbMonth",
    },
    {
      id: "email-notifications",
      description: "SNS e-mails from alarms",
      quantity: usage.emailNotificationsPerMonth ?? 0,
      price: "emailNotification",
    },
  ];
}

function networkItems(usage: CostUsage): Item[] {
  const zones = usage.endpointZones ?? 0;
  const calls = usage.secretCallsPerMonth ?? 0;
  return [
    {
      id: "secrets",
      description: "Secrets Manager secrets",
      quantity: usage.secrets ?? 0,
      price: "secretMonth",
    },
    { id: "secret-calls", description: "Secrets Manager API calls", quantity: calls, price: "secretCall" },
    {
      id: "endpoint-hours",
      description: `Interface endpoint for Secrets Manager in ${zones} zone(s) x ${hoursPerMonth} h`,
      quantity: zones * hoursPerMonth,
      price: "endpointZoneHour",
    },
    {
      id: "endpoint-data",
      description: "Data through the interface endpoint",
      quantity: zones > 0 ? (calls * bytesPerSecretCall) / bytesPerGb : 0,
      price: "endpointDataGb",
    },
  ];
}

function databaseItems(usage: CostUsage): Item[] {
  const proxyVcpus = usage.proxyVcpus ? Math.max(leastProxyVcpus, usage.proxyVcpus) : 0;
  const items: Item[] = [
    {
      id: "database-proxy",
      description: `RDS Proxy: ${proxyVcpus} vCPU x ${hoursPerMonth} h`,
      quantity: proxyVcpus * hoursPerMonth,
      price: "proxyVcpuHour",
    },
  ];
  if (!usage.database) return items;
  const { instanceClass, storageGb } = usage.database;
  return [
    ...items,
    {
      id: "database-instance",
      description: `RDS PostgreSQL ${instanceClass}, single zone x ${hoursPerMonth} h`,
      quantity: hoursPerMonth,
      price: { instanceClass },
      neededByCronToo: true,
    },
    {
      id: "database-storage",
      description: "RDS gp3 storage",
      quantity: storageGb,
      price: "databaseStorageGbMonth",
      neededByCronToo: true,
    },
  ];
}

/** Draws on what the lines before it left of the free tier: two lines of one price share one allowance. */
function priceLine(item: Item, region: string, table: PriceTable, freeLeft: Map<PriceId, number>): CostLine {
  const price = lookUp(item.price, region, table);
  const free = typeof item.price === "string" ? (freeLeft.get(item.price) ?? 0) : 0;
  const freeQuantity = Math.min(item.quantity, free);
  if (typeof item.price === "string") freeLeft.set(item.price, free - freeQuantity);
  return {
    id: item.id,
    description: item.description,
    unit: price.unit,
    quantity: item.quantity,
    unitPriceUsd: price.usd,
    freeQuantity,
    monthlyUsd: item.quantity * price.usd,
    monthlyWithFreeTierUsd: (item.quantity - freeQuantity) * price.usd,
    source: price.source,
    date: price.date,
    neededByCronToo: item.neededByCronToo ?? false,
  };
}

function lookUp(price: Item["price"], region: string, table: PriceTable): Price {
  return typeof price === "string"
    ? priceOf(table, region, price)
    : databaseInstancePrice(table, region, price.instanceClass);
}

function sum(amounts: number[]): number {
  return amounts.reduce((total, amount) => total + amount, 0);
}
