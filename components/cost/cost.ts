/**
 * What a stack costs a month, line by line: pure arithmetic over a usage and a price table. What a month is
 * stands in {@link file://./costItems.ts}, what things cost in priceTable.json.
 */
import { costItems, type CostItem, type CostPart } from "./costItems";
import { databaseInstancePrice, priceOf, type Price, type PriceId, type PriceTable } from "./prices";

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
  /** The same for alarms whose period is under a minute. */
  highResolutionAlarmMetrics?: number;
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
  part: CostPart;
}

/** A month's lines and their sums. Free tiers are the account's: other workloads may have used them up. */
export interface CostEstimate {
  region: string;
  lines: CostLine[];
  totalUsd: number;
  totalWithFreeTierUsd: number;
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
  const lines = costItems(usage).map((item) => priceLine(item, usage.region, prices, freeLeft));
  return {
    region: usage.region,
    lines,
    totalUsd: sumUsd(lines.map((line) => line.monthlyUsd)),
    totalWithFreeTierUsd: sumUsd(lines.map((line) => line.monthlyWithFreeTierUsd)),
  };
}

/** Draws on what the lines before it left of the free tier: two lines of one price share one allowance. */
function priceLine(
  item: CostItem,
  region: string,
  table: PriceTable,
  freeLeft: Map<PriceId, number>,
): CostLine {
  const price = lookUp(item.price, region, table);
  const freeQuantity = takeFree(item, freeLeft);
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
    part: item.part,
  };
}

function takeFree({ price, quantity }: CostItem, freeLeft: Map<PriceId, number>): number {
  if (typeof price !== "string") return 0;
  const left = freeLeft.get(price) ?? 0;
  const taken = Math.min(quantity, left);
  freeLeft.set(price, left - taken);
  return taken;
}

function lookUp(price: CostItem["price"], region: string, table: PriceTable): Price {
  return typeof price === "string"
    ? priceOf(table, region, price)
    : databaseInstancePrice(table, region, price.instanceClass);
}

/** Sums without rounding; amounts are rounded only where they are shown. */
export function sumUsd(amounts: number[]): number {
  return amounts.reduce((total, amount) => total + amount, 0);
}
