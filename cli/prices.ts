/** `prices --rebuild`: reads a region's prices from AWS's public price list into the estimate's price table. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Command } from "commander";
import { parsePriceTable, type Price, type PriceId, type PriceTable } from "../components/cost/prices";

/** RDS's list has tens of megabytes. */
const requestTimeoutMs = 15 * 60_000;

/** What is read here of a service's price list for one region; products and terms are by SKU. */
interface Offer {
  version: string;
  publicationDate: string;
  products: Record<string, { productFamily?: string; attributes: Record<string, string> }>;
  terms: { OnDemand: Record<string, Record<string, { priceDimensions: Record<string, Tier> }>> };
}

interface Tier {
  /** First unit the price is for; absent where there is one tier. */
  beginRange?: string;
  pricePerUnit: { USD: string };
}

/** A service, and what tells the product from its others. The usage type is without its region's prefix. */
type Wanted = [service: string, facts: Record<string, string>];

const postgresql = { databaseEngine: "PostgreSQL" };
const inOneZone = { ...postgresql, deploymentOption: "Single-AZ" };

/** Dashboards and scheduled rules are missing: no regional list has them. */
const wantedPrices: Partial<Record<PriceId, Wanted>> = {
  lambdaArm64GbSecond: ["AWSLambda", { usagetype: "Lambda-GB-Second-ARM" }],
  lambdaX86GbSecond: ["AWSLambda", { usagetype: "Lambda-GB-Second" }],
  lambdaRequest: ["AWSLambda", { usagetype: "Request" }],
  // The usage type is Requests-RBP in Virginia and Requests-Tier1 elsewhere.
  sqsRequest: ["AWSQueueService", { productFamily: "API Request", queueType: "Standard" }],
  alarmMetric: ["AmazonCloudWatch", { usagetype: "CW:AlarmMonitorUsage" }],
  customMetric: ["AmazonCloudWatch", { usagetype: "CW:MetricMonitorUsage" }],
  logIngestedGb: ["AmazonCloudWatch", { usagetype: "DataProcessing-Bytes" }],
  logStoredGbMonth: ["AmazonCloudWatch", { usagetype: "TimedStorage-ByteHrs" }],
  secretMonth: ["AWSSecretsManager", { usagetype: "AWSSecretsManager-Secrets" }],
  secretCall: ["AWSSecretsManager", { usagetype: "AWSSecretsManagerAPIRequest" }],
  endpointZoneHour: ["AmazonVPC", { usagetype: "VpcEndpoint-Hours" }],
  endpointDataGb: ["AmazonVPC", { usagetype: "VpcEndpoint-Bytes" }],
  proxyVcpuHour: ["AmazonRDS", { usagetype: "RDS:ProxyUsage", ...postgresql }],
  databaseStorageGbMonth: ["AmazonRDS", { usagetype: "RDS:GP3-Storage", ...inOneZone }],
};

/** Without these there is no estimate at all: a list that lacks them has changed its form. */
const indispensable: PriceId[] = ["lambdaArm64GbSecond", "lambdaX86GbSecond", "lambdaRequest", "sqsRequest"];

const smallInstanceClasses = ["db.t4g.micro", "db.t4g.small", "db.t4g.medium", "db.t3.micro"];

interface PricesOptions {
  region: string;
  instanceClass: string[];
  priceList: string;
  table: string;
}

/** The `prices` subcommand. Exit code 1, a message and an unchanged table when something cannot be had. */
export function pricesCommand(): Command {
  const recordedTable = join(__dirname, "..", "components", "cost", "priceTable.json");
  const command = new Command("prices")
    .description("record the prices the cost estimate uses from AWS's public price list")
    .requiredOption("--rebuild", "replace the region's recorded prices")
    .requiredOption("--region <region>", "AWS region")
    .option("--instance-class <class...>", "also read these RDS classes", [])
    .option(
      "--price-list <url>",
      "the price list or a mirror of it",
      "https://pricing.us-east-1.amazonaws.com",
    )
    .option("--table <file>", "the price table", recordedTable);
  return command.action(async (options: PricesOptions) => {
    const report = (line: string): void => command.configureOutput().writeErr?.(`${line}\n`);
    try {
      const table = parsePriceTable(JSON.parse(await readFile(options.table, "utf8")));
      const rebuilt = await rebuild(table, options, report);
      await writeFile(options.table, `${JSON.stringify(rebuilt, null, 2)}\n`);
      report(`recorded the prices of ${options.region} in ${options.table}`);
    } catch (error) {
      command.error(`error: ${error instanceof Error ? error.message : String(error)}`, { exitCode: 1 });
    }
  });
}

/** The table with the region's prices read anew; what the list no longer has is not kept. */
async function rebuild(
  table: PriceTable,
  { region, instanceClass, priceList }: PricesOptions,
  report: (line: string) => void,
): Promise<PriceTable> {
  const offers = new Map<string, Offer>();
  const find = async (all: [string, Wanted][]): Promise<Record<string, Price>> => {
    const prices: Record<string, Price> = {};
    for (const [name, wanted] of all) {
      const offer = offers.get(wanted[0]) ?? (await readOffer(priceList, wanted[0], region));
      offers.set(wanted[0], offer);
      const price = findPrice(offer, wanted, region);
      if (price) prices[name] = price;
      else report(`not in the list of ${region}: ${name}`);
    }
    return prices;
  };
  const recorded = Object.keys(table.regions[region]?.databaseInstances ?? {});
  const classes = [...new Set([...smallInstanceClasses, ...recorded, ...instanceClass])];
  const prices = await find(Object.entries(wantedPrices));
  const databaseInstances = await find(
    classes.map((instanceType) => {
      return [
        instanceType,
        ["AmazonRDS", { productFamily: "Database Instance", instanceType, ...inOneZone }],
      ];
    }),
  );
  const lost = indispensable.filter((id) => !prices[id]);
  if (lost.length > 0) throw new Error(`The list has no ${lost.join(", ")}: its form may have changed.`);
  return parsePriceTable({
    ...table,
    regions: { ...table.regions, [region]: { prices, databaseInstances } },
  });
}

async function readOffer(baseUrl: string, service: string, region: string): Promise<Offer> {
  const url = new URL(
    `/offers/v1.0/aws/${service}/current/${encodeURIComponent(region)}/index.json`,
    baseUrl,
  );
  const cannotRead = (why: unknown): Error => new Error(`Cannot read ${url.href}: ${String(why)}`);
  const response = await fetch(url, { signal: AbortSignal.timeout(requestTimeoutMs) }).catch((error: Error) =>
    Promise.reject(cannotRead(error.cause ?? error)),
  );
  if (!response.ok) throw cannotRead(`HTTP ${response.status}`);
  const offer = (await response.json()) as Partial<Offer>;
  if (offer.products && offer.terms?.OnDemand && offer.version && offer.publicationDate)
    return offer as Offer;
  throw cannotRead("not a price list in AWS's format");
}

/** @throws Error where products at different prices fit: a guess would be worse. */
function findPrice(offer: Offer, [service, facts]: Wanted, region: string): Price | undefined {
  // Local zones are in their region's list, under a region code of their own.
  const wanted = Object.entries({ regionCode: region, ...facts });
  const found = Object.entries(offer.products).flatMap(([sku, { productFamily, attributes }]) => {
    const usagetype = attributes["usagetype"]?.replace(/^[A-Z]{2,4}\d?-/, "");
    const product: Record<string, string | undefined> = {
      regionCode: region,
      ...attributes,
      productFamily,
      usagetype,
    };
    const usd = firstPaidTierUsd(offer, sku);
    const fits = usd !== undefined && wanted.every(([name, value]) => product[name] === value);
    return fits ? [{ usd, name: `${attributes["usagetype"]}, SKU ${sku}` }] : [];
  });
  const [first] = found;
  if (!first) return undefined;
  if (found.some(({ usd }) => usd !== first.usd)) {
    const prices = found.map(({ usd, name }) => `${name} at ${usd}`).join("; ");
    throw new Error(`${service} has products at different prices for ${JSON.stringify(facts)}: ${prices}`);
  }
  const source = `AWS price list ${service} ${offer.version}, ${first.name}`;
  return { usd: first.usd, source, date: offer.publicationDate.slice(0, 10) };
}

/** A free allowance is a first tier at $0; later tiers are beyond what one stack uses. */
function firstPaidTierUsd({ terms }: Offer, sku: string): number | undefined {
  return Object.values(terms.OnDemand[sku] ?? {})
    .flatMap(({ priceDimensions }) => Object.values(priceDimensions))
    .map(({ beginRange, pricePerUnit }) => ({ from: Number(beginRange ?? 0), usd: Number(pricePerUnit.USD) }))
    .filter(({ usd }) => usd > 0)
    .sort((a, b) => a.from - b.from)[0]?.usd;
}
