/**
 * Reads prices out of AWS's public bulk price list. Pure: the files come in as values or lines, fetching them is
 * {@link file://./priceListSource.ts}'s job. The format is AWS's: an offer (service) has `products` by SKU, each
 * with attributes, and `terms.OnDemand[sku][term].priceDimensions` with the tiers of its price.
 */
import { parse } from "csv-parse/sync";
import { z } from "zod";
import {
  databaseInstanceUnit,
  priceUnits,
  type Price,
  type PriceId,
  type RegionPrices,
} from "../components/cost/prices";

const dimensionSchema = z.object({
  beginRange: z.string().optional(),
  pricePerUnit: z.record(z.string(), z.string()),
});

const productSchema = z.object({
  productFamily: z.string().optional(),
  attributes: z.record(z.string(), z.string()),
});

const offerSchema = z.object({
  offerCode: z.string(),
  version: z.string(),
  publicationDate: z.string(),
  products: z.record(z.string(), productSchema),
  terms: z.object({
    OnDemand: z
      .record(
        z.string(),
        z.record(z.string(), z.object({ priceDimensions: z.record(z.string(), dimensionSchema) })),
      )
      .default({}),
  }),
});

/** A service's price list for one region, as AWS publishes it. */
export type Offer = z.infer<typeof offerSchema>;

/** Checks the parts of a price list file that are read here. @throws Error naming what is wrong. */
export function parseOffer(value: unknown): Offer {
  const parsed = offerSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new Error(`Not a price list file in AWS's format:\n${z.prettifyError(parsed.error)}`);
}

/** Which product of which offer a price is. */
interface Rule {
  offer: string;
  /** Without the region's prefix: "USW2-VpcEndpoint-Hours" in Oregon, with or without "USE1-" in Virginia. */
  usageType?: string;
  productFamily?: string;
  attributes?: Record<string, string>;
}

const postgresql = { databaseEngine: "PostgreSQL" };

/** Dashboards and scheduled rules are missing: no regional list has them. EC2's list is read as CSV, below. */
const rules: Partial<Record<PriceId, Rule>> = {
  lambdaArm64GbSecond: { offer: "AWSLambda", usageType: "Lambda-GB-Second-ARM" },
  lambdaX86GbSecond: { offer: "AWSLambda", usageType: "Lambda-GB-Second" },
  lambdaRequest: { offer: "AWSLambda", usageType: "Request" },
  // Virginia names the usage type Requests-RBP, other regions <prefix>Requests-Tier1; the queue type is the same.
  sqsRequest: {
    offer: "AWSQueueService",
    productFamily: "API Request",
    attributes: { queueType: "Standard" },
  },
  alarmMetric: { offer: "AmazonCloudWatch", usageType: "CW:AlarmMonitorUsage" },
  highResolutionAlarmMetric: { offer: "AmazonCloudWatch", usageType: "CW:HighResAlarmMonitorUsage" },
  compositeAlarm: { offer: "AmazonCloudWatch", usageType: "CW:CompositeAlarmMonitorUsage" },
  customMetric: { offer: "AmazonCloudWatch", usageType: "CW:MetricMonitorUsage" },
  logIngestedGb: { offer: "AmazonCloudWatch", usageType: "DataProcessing-Bytes" },
  logStoredGbMonth: { offer: "AmazonCloudWatch", usageType: "TimedStorage-ByteHrs" },
  emailNotification: { offer: "AmazonSNS", usageType: "DeliveryAttempts-SMTP" },
  secretMonth: { offer: "AWSSecretsManager", usageType: "AWSSecretsManager-Secrets" },
  secretCall: { offer: "AWSSecretsManager", usageType: "AWSSecretsManagerAPIRequest" },
  endpointZoneHour: { offer: "AmazonVPC", usageType: "VpcEndpoint-Hours" },
  endpointDataGb: { offer: "AmazonVPC", usageType: "VpcEndpoint-Bytes" },
  publicIpv4Hour: { offer: "AmazonVPC", usageType: "PublicIPv4:InUseAddress" },
  proxyVcpuHour: { offer: "AmazonRDS", usageType: "RDS:ProxyUsage", attributes: postgresql },
  databaseStorageGbMonth: {
    offer: "AmazonRDS",
    usageType: "RDS:GP3-Storage",
    attributes: { ...postgresql, deploymentOption: "Single-AZ" },
  },
};

/** The offers {@link readRegion} needs, by code. */
export const jsonOffers = [...new Set(Object.values(rules).map(({ offer }) => offer))];

/** What was read for a region, and what was looked for and not there. */
export interface RegionReading {
  region: RegionPrices;
  missing: string[];
}

/**
 * Reads every price the estimate knows from a region's offers.
 * @throws Error where two products fit one rule at different prices: a guess would be worse.
 */
export function readRegion(offers: Offer[], region: string, instanceClasses: string[]): RegionReading {
  const reading: RegionReading = { region: { prices: {}, databaseInstances: {} }, missing: [] };
  for (const [id, rule] of Object.entries(rules) as [PriceId, Rule][]) {
    const price = findPrice(offers, rule, region, priceUnits[id]);
    if (price) reading.region.prices[id] = price;
    else reading.missing.push(id);
  }
  for (const instanceClass of instanceClasses) {
    const price = findPrice(offers, instanceRule(instanceClass), region, databaseInstanceUnit);
    if (price) reading.region.databaseInstances[instanceClass] = price;
    else reading.missing.push(instanceClass);
  }
  return reading;
}

function instanceRule(instanceType: string): Rule {
  const attributes = { ...postgresql, instanceType, deploymentOption: "Single-AZ" };
  return { offer: "AmazonRDS", productFamily: "Database Instance", attributes };
}

function findPrice(offers: Offer[], rule: Rule, region: string, unit: string): Price | undefined {
  const offer = offers.find(({ offerCode }) => offerCode === rule.offer);
  if (!offer) return undefined;
  const found = Object.entries(offer.products)
    .filter(([, product]) => fits(product, rule, region))
    .flatMap(([sku, product]) => {
      const usd = firstPaidTierUsd(offer, sku);
      return usd === undefined ? [] : [{ usd, sku, usageType: product.attributes["usagetype"] ?? "" }];
    });
  const first = found[0];
  if (!first) return undefined;
  const different = found.find(({ usd }) => usd !== first.usd);
  if (different) {
    throw new Error(
      `${rule.offer} in ${region} has two products for "${rule.usageType ?? rule.productFamily}" at different ` +
        `prices: ${first.sku} (${first.usageType}) ${first.usd}, ${different.sku} (${different.usageType}) ${different.usd}`,
    );
  }
  return {
    usd: first.usd,
    unit,
    source: `AWS price list ${offer.offerCode} ${offer.version}, ${first.usageType}, SKU ${first.sku}`,
    date: offer.publicationDate.slice(0, 10),
  };
}

function fits(
  { attributes, productFamily }: z.infer<typeof productSchema>,
  rule: Rule,
  region: string,
): boolean {
  // Local zones are in their region's list, under a region code or a prefix of their own.
  if (attributes["regionCode"] !== undefined && attributes["regionCode"] !== region) return false;
  if (attributes["locationType"] !== undefined && attributes["locationType"] !== "AWS Region") return false;
  if (rule.usageType !== undefined && !isUsageType(attributes["usagetype"], rule.usageType)) return false;
  if (rule.productFamily !== undefined && productFamily !== rule.productFamily) return false;
  return Object.entries(rule.attributes ?? {}).every(([name, value]) => attributes[name] === value);
}

const regionPrefix = /^(?:[A-Z]{2,4}\d?-)?/;

function isUsageType(usageType: string | undefined, wanted: string): boolean {
  return usageType?.replace(regionPrefix, "") === wanted;
}

/** Free allowances stand in the list as a first tier at $0; later tiers are beyond what one group uses. */
function firstPaidTierUsd(offer: Offer, sku: string): number | undefined {
  return Object.values(offer.terms.OnDemand[sku] ?? {})
    .flatMap(({ priceDimensions }) => Object.values(priceDimensions))
    .map(({ beginRange, pricePerUnit }) => ({
      from: Number(beginRange ?? 0),
      usd: Number(pricePerUnit["USD"]),
    }))
    .filter(({ usd }) => usd > 0)
    .sort((a, b) => a.from - b.from)[0]?.usd;
}

/** EC2's list has hundreds of megabytes, so it is read as CSV, a line at a time, for the compared server only. */
const csvRules: { id: PriceId; usageType: string; operation?: string }[] = [
  { id: "t3MicroHour", usageType: "BoxUsage:t3.micro", operation: "RunInstances" },
  { id: "volumeGbMonth", usageType: "EBS:VolumeUsage.gp3" },
];

/** Lines before the column names that describe the file: "Version", "20260924010101" and so on. */
const csvPrefaceLines = 5;

/**
 * Reads the compared server's prices from EC2's regional list, stopping as soon as it has them.
 * @throws Error if the lines are not such a list.
 */
export async function readServerPrices(lines: AsyncIterable<string>): Promise<RegionPrices["prices"]> {
  const preface: string[] = [];
  const prices: RegionPrices["prices"] = {};
  for await (const line of lines) {
    if (preface.length <= csvPrefaceLines) {
      preface.push(line);
      continue;
    }
    const rule = csvRules.find(({ id, usageType }) => !prices[id] && line.includes(`${usageType}"`));
    const price = rule && csvPrice(line, rule, preface);
    if (rule && price) prices[rule.id] = price;
    if (csvRules.every(({ id }) => prices[id])) break;
  }
  return prices;
}

function csvPrice(line: string, rule: (typeof csvRules)[number], preface: string[]): Price | undefined {
  const names = csvFields(preface[csvPrefaceLines] ?? "");
  if (!names.includes("PricePerUnit"))
    throw new Error("Not a price list in AWS's CSV format: no PricePerUnit column");
  const values = csvFields(line);
  const row = Object.fromEntries(names.map((name, index) => [name, values[index] ?? ""]));
  if (row["TermType"] !== "OnDemand" || !isUsageType(row["usageType"], rule.usageType)) return undefined;
  if (rule.operation !== undefined && row["operation"] !== rule.operation) return undefined;
  const about = new Map(
    preface.map((entry) => csvFields(entry)).map(([name = "", value = ""]) => [name, value]),
  );
  const usd = Number(row["PricePerUnit"]);
  if (!(usd > 0)) return undefined;
  return {
    usd,
    unit: priceUnits[rule.id],
    source: `AWS price list AmazonEC2 ${about.get("Version")}, ${row["usageType"]}, SKU ${row["SKU"]}`,
    date: (about.get("Publication Date") ?? "").slice(0, 10),
  };
}

function csvFields(line: string): string[] {
  return parse(line, { relaxColumnCount: true })[0] ?? [];
}
