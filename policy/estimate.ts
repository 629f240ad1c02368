/**
 * What a hand-written refresh costs a month, from the resources of the stack. A component of this product tells
 * its own estimate in a tag; both come from the same arithmetic and the same prices.
 */
import { estimateMonthlyCost, sumUsd, type CostDatabase, type CostUsage } from "../components/cost/cost";
import { PriceUnknownError, recordedPrices } from "../components/cost/prices";
import type { AlarmReading } from "./alarmReading";
import { known, readList, readNumber, readText, withDefault } from "./reading";
import { nameOf, type RefreshFunction, type StackFacts } from "./relations";
import { isOfOurComponents, TYPE, type Resource } from "./resource";
import { runsPerMonth, ticksOf } from "./ticks";

/** What the estimate takes from the rule's configuration. */
export interface EstimateConfig {
  averageDurationSeconds: number;
  /** "" to take the region from the function. */
  region: string;
}

export type StackEstimate =
  | { state: "known"; monthlyUsd: number; parts: string[] }
  | { state: "unknown"; what: string }
  | { state: "unpriced"; problem: string };

const DEFAULT_MEMORY_MB = 128;
const DEFAULT_STORAGE_GB = 20;

/** The estimate of these functions, of what watches them, and of databases, proxies and endpoints beside them. */
export function estimate(fns: RefreshFunction[], facts: StackFacts, config: EstimateConfig): StackEstimate {
  const first = fns[0];
  if (first === undefined) return { state: "known", monthlyUsd: 0, parts: [] };
  const region = config.region || regionOf(first.resource);
  if (region === undefined) return { state: "unknown", what: `the region of ${first.name}` };
  const usages: { name: string; usage: CostUsage }[] = [];
  for (const fn of fns) {
    const usage = usageOf(fn, region, config);
    if (typeof usage === "string") return { state: "unknown", what: usage };
    usages.push({ name: fn.name, usage });
  }
  const besides = besidesOf(facts, region);
  if (typeof besides === "string") return { state: "unknown", what: besides };
  return price([...usages, ...besides]);
}

function price(usages: { name: string; usage: CostUsage }[]): StackEstimate {
  try {
    const amounts = usages.map(({ name, usage }) => ({
      name,
      usd: estimateMonthlyCost(usage, recordedPrices).totalUsd,
    }));
    return {
      state: "known",
      monthlyUsd: sumUsd(amounts.map(({ usd }) => usd)),
      parts: amounts.map(({ name, usd }) => `${name} $${usd.toFixed(2)}`),
    };
  } catch (error) {
    if (error instanceof PriceUnknownError) return { state: "unpriced", problem: error.message };
    throw error;
  }
}

/** The region an ARN or the provider names. */
function regionOf({ props, provider }: Resource): string | undefined {
  const arn = known(readText(props, "arn"))?.split(":")[3];
  const given = known(readText(props, "region")) ?? (provider && known(readText(provider.props, "region")));
  return arn || given || undefined;
}

/** A function's usage, or what of it is not known yet. */
function usageOf(fn: RefreshFunction, region: string, config: EstimateConfig): CostUsage | string {
  const { props } = fn.resource;
  const memory = withDefault(readNumber(props, "memorySize"), DEFAULT_MEMORY_MB);
  const ticks = ticksOf(fn);
  if (memory.state === "unknown") return `the memory of ${fn.name}`;
  if (ticks.state === "unknown") return `how often ${fn.name} runs (${ticks.path})`;
  const triggers = ticks.state === "known" ? ticks.triggers : [];
  const invocationsPerMonth = runsPerMonth(triggers);
  const queued = triggers.filter(({ isQueued }) => isQueued);
  const queues = new Set(fn.triggers.flatMap(({ queue }) => queue ?? []));
  return {
    region,
    // x86 is Lambda's default and the dearer of the two, so what is not known yet is not underestimated.
    architecture: known(readText(props, "architectures", 0)) === "arm64" ? "arm64" : "x86_64",
    memoryMb: known(memory) ?? DEFAULT_MEMORY_MB,
    invocationsPerMonth,
    averageDurationSeconds: config.averageDurationSeconds,
    queues: queues.size,
    queueMessagesPerMonth: runsPerMonth(queued),
    alarmMetrics: countMetrics(fn.alarms.filter((alarm) => !isHighResolution(alarm))),
    highResolutionAlarmMetrics: countMetrics(fn.alarms.filter(isHighResolution)),
  };
}

function countMetrics(alarms: AlarmReading[]): number {
  return alarms.reduce((count, { metrics }) => count + metrics.length, 0);
}

function isHighResolution({ metrics }: AlarmReading): boolean {
  return metrics.some(({ periodSeconds }) => (known(periodSeconds) ?? 60) < 60);
}

/** Databases, proxies, endpoints and secrets that stand beside hand-written functions; or what is not known. */
function besidesOf(facts: StackFacts, region: string): { name: string; usage: CostUsage }[] | string {
  const idle: CostUsage = {
    region,
    architecture: "x86_64",
    memoryMb: DEFAULT_MEMORY_MB,
    invocationsPerMonth: 0,
    averageDurationSeconds: 0,
  };
  const others = (...types: string[]) => facts.ofType(...types).filter(({ urn }) => !isOfOurComponents(urn));
  const usages: { name: string; usage: CostUsage }[] = [];
  for (const resource of others(TYPE.database, TYPE.clusterInstance)) {
    const database = databaseOf(resource);
    if (typeof database === "string") return database;
    if (database !== undefined) usages.push({ name: resource.name, usage: { ...idle, database } });
  }
  for (const { name } of others(TYPE.proxy)) usages.push({ name, usage: { ...idle, proxyVcpus: 2 } });
  for (const resource of others(TYPE.vpcEndpoint)) {
    if (known(readText(resource.props, "vpcEndpointType")) !== "Interface") continue;
    const subnets = readList(resource.props, "subnetIds");
    if (subnets.state === "unknown") return `the subnets of endpoint ${resource.name}`;
    usages.push({ name: resource.name, usage: { ...idle, endpointZones: known(subnets)?.length ?? 1 } });
  }
  const secrets = others(TYPE.secret).length;
  if (secrets > 0) usages.push({ name: "secrets", usage: { ...idle, secrets } });
  const dashboards = others(TYPE.dashboard).length;
  if (dashboards > 0) usages.push({ name: "dashboards", usage: { ...idle, dashboards } });
  return usages;
}

function databaseOf(resource: Resource): CostDatabase | string | undefined {
  const { props } = resource;
  const engine = readText(props, "engine");
  if (engine.state === "known" && !/postgres/i.test(engine.value)) return undefined;
  const instanceClass = readText(props, "instanceClass");
  const storage = withDefault(readNumber(props, "allocatedStorage"), DEFAULT_STORAGE_GB);
  if (instanceClass.state === "unknown") return `the instance class of ${nameOf(resource)}`;
  if (storage.state === "unknown") return `the storage of ${nameOf(resource)}`;
  if (instanceClass.state === "absent") return undefined;
  return { instanceClass: instanceClass.value, storageGb: known(storage) ?? DEFAULT_STORAGE_GB };
}
