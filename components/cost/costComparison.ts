/** The two comparisons of the original cost analysis, computed: its own sum, and a server running cron. */
import { sumUsd, type CostEstimate, type CostUsage } from "./cost";
import { HOURS_PER_MONTH, type CostPart } from "./costItems";
import { priceOf, type PriceId, type PriceTable } from "./prices";

/** Disk of the compared server: the size of Amazon Linux's default root volume. */
const SERVER_DISK_GB = 8;

/** What the original analysis left out: Lambda is billed for seconds times memory, not for seconds. */
export interface GuideComparison {
  /** Compute and requests as they are billed, without the free tier. */
  lambdaUsd: number;
  /** The same with the memory forgotten, as the original sum had it: $0.73 for 43,200 runs of a second. */
  withoutMemoryUsd: number;
  reason: string;
}

/** One thing a server that runs cron is billed for. */
export interface ServerLine {
  description: string;
  unit: string;
  quantity: number;
  unitPriceUsd: number;
  monthlyUsd: number;
  source: string;
  date: string;
}

/** What is saved against one of the two servers by one of the two readings of what takes its place. */
export interface Saving {
  /** The whole server, or its instance alone, as the original comparison had it. */
  against: "server" | "instance";
  /** The refresh alone, as in the original comparison, or with its alarms, dashboard, metrics and logs. */
  stack: "refresh" | "refresh and monitoring";
  stackUsd: number;
  stackWithFreeTierUsd: number;
  /** Share of the server's cost, in percent; negative where the stack costs more. */
  savingPercent: number;
  savingWithFreeTierPercent: number;
}

const countedParts: Record<Saving["stack"], CostPart[]> = {
  refresh: ["refresh"],
  "refresh and monitoring": ["refresh", "monitoring"],
};

/** A t3.micro running cron against the stack; the database, which both need, is on neither side. */
export interface ServerComparison {
  /** Instance, its public address, its disk. */
  lines: ServerLine[];
  serverUsd: number;
  instanceUsd: number;
  savings: Saving[];
}

/** @throws PriceUnknownError as {@link estimateMonthlyCost} does. */
export function compareWithGuide(usage: CostUsage, prices: PriceTable): GuideComparison {
  const compute = usage.architecture === "arm64" ? "lambdaArm64GbSecond" : "lambdaX86GbSecond";
  const computeUsd = priceOf(prices, usage.region, compute).usd;
  const requestsUsd = usage.invocationsPerMonth * priceOf(prices, usage.region, "lambdaRequest").usd;
  const seconds = usage.invocationsPerMonth * usage.averageDurationSeconds;
  const memoryGb = usage.memoryMb / 1024;
  return {
    lambdaUsd: seconds * memoryGb * computeUsd + requestsUsd,
    withoutMemoryUsd: seconds * computeUsd + requestsUsd,
    reason: `The price is for a GB-second: the original sum left out x ${memoryGb} GB`,
  };
}

/** @throws PriceUnknownError if the region has no sourced price for a part of the server. */
export function compareWithServer(estimate: CostEstimate, prices: PriceTable): ServerComparison {
  const line = (description: string, quantity: number, id: PriceId): ServerLine => {
    const { usd, unit, source, date } = priceOf(prices, estimate.region, id);
    return { description, unit, quantity, unitPriceUsd: usd, monthlyUsd: quantity * usd, source, date };
  };
  const instance = line("EC2 t3.micro, Linux", HOURS_PER_MONTH, "t3MicroHour");
  const lines = [
    instance,
    line("Public IPv4 address", HOURS_PER_MONTH, "publicIpv4Hour"),
    line("EBS gp3 volume", SERVER_DISK_GB, "volumeGbMonth"),
  ];
  const serverUsd = sumUsd(lines.map(({ monthlyUsd }) => monthlyUsd));
  const saving = (against: Saving["against"], stack: Saving["stack"], comparedUsd: number): Saving => {
    const counted = estimate.lines.filter(({ part }) => countedParts[stack].includes(part));
    const stackUsd = sumUsd(counted.map(({ monthlyUsd }) => monthlyUsd));
    const stackWithFreeTierUsd = sumUsd(counted.map(({ monthlyWithFreeTierUsd }) => monthlyWithFreeTierUsd));
    return {
      against,
      stack,
      stackUsd,
      stackWithFreeTierUsd,
      savingPercent: savingPercent(stackUsd, comparedUsd),
      savingWithFreeTierPercent: savingPercent(stackWithFreeTierUsd, comparedUsd),
    };
  };
  return {
    lines,
    serverUsd,
    instanceUsd: instance.monthlyUsd,
    savings: [
      saving("server", "refresh", serverUsd),
      saving("server", "refresh and monitoring", serverUsd),
      saving("instance", "refresh", instance.monthlyUsd),
      saving("instance", "refresh and monitoring", instance.monthlyUsd),
    ],
  };
}

function savingPercent(costUsd: number, comparedUsd: number): number {
  return 100 * (1 - costUsd / comparedUsd);
}
