/**
 * What AWS charges, as data: one price table per region with the source and date of every price. Nothing here
 * is computed; {@link file://./cost.ts} does that. A price nobody has sourced is absent from the table: what it is for
 * is then listed as not priced, never guessed.
 *
 * A source on github.com is a file that AWS's own price pages are drawn from, as a public repository keeps it; the date
 * is that of its publication by AWS.
 */
import { z } from "zod";
import recorded from "./priceTable.json";

/** Every price the estimate can ask for, with the unit it is per. Database instances are kept by class. */
export const priceUnits = {
  lambdaArm64GbSecond: "GB-second",
  lambdaX86GbSecond: "GB-second",
  lambdaRequest: "request",
  scheduledRule: "rule-month",
  sqsRequest: "request",
  alarmMetric: "metric in an alarm",
  dashboard: "dashboard-month",
  customMetric: "metric-month",
  logIngestedGb: "GB",
  logStoredGbMonth: "GB-month",
  secretMonth: "secret-month",
  secretCall: "call",
  endpointZoneHour: "zone-hour",
  endpointDataGb: "GB",
  proxyVcpuHour: "vCPU-hour",
  databaseStorageGbMonth: "GB-month",
} as const;

export type PriceId = keyof typeof priceUnits;

/** Unit of every price in `databaseInstances`. */
export const databaseInstanceUnit = "hour";

/** How to add or renew the prices of a region, that of a further class of instances included. */
export function rebuildCommand(region: string, instanceClass?: string): string {
  const further = instanceClass === undefined ? "" : ` --instance-class ${instanceClass}`;
  return `npx tsx cli/main.ts prices --rebuild --region ${region}${further}`;
}

const priceSchema = z.strictObject({
  /** US dollars for one of {@link priceUnits}, or for an hour of a database instance. */
  usd: z.number().nonnegative(),
  /** Where the price was read: a page's address, or the price list's offer, version and usage type. */
  source: z.string().min(1),
  /** The day it was read, or the day the price list was published. */
  date: z.iso.date(),
});

const allowanceSchema = z.strictObject({
  /** Units free every month, for every account and without end; trials and first-year offers are not here. */
  quantity: z.number().nonnegative(),
  source: z.string().min(1),
  date: z.iso.date(),
});

const priceIdSchema = z.enum(Object.keys(priceUnits) as [PriceId, ...PriceId[]]);

const regionSchema = z.strictObject({
  prices: z.partialRecord(priceIdSchema, priceSchema),
  /** Single-AZ PostgreSQL on RDS, on demand, by instance class ("db.t4g.micro"). */
  databaseInstances: z.record(z.string(), priceSchema),
});

const tableSchema = z.strictObject({
  /** The same everywhere; the regional price lists do not carry them. */
  worldwide: z.partialRecord(priceIdSchema, priceSchema),
  regions: z.record(z.string(), regionSchema),
  /** Shared by all regions of an account, so not under a region. */
  freeTiers: z.partialRecord(priceIdSchema, allowanceSchema),
});

export type Price = z.infer<typeof priceSchema>;
type RegionPrices = z.infer<typeof regionSchema>;
export type PriceTable = z.infer<typeof tableSchema>;

/**
 * Checks a price table's shape.
 * @throws Error naming every entry that is wrong.
 */
export function parsePriceTable(value: unknown): PriceTable {
  const parsed = tableSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new Error(`The price table is not usable:\n${z.prettifyError(parsed.error)}`);
}

/** The table kept beside this file. */
export const recordedPrices: PriceTable = parsePriceTable(recorded);

/** The price in a region, where one is recorded. A region without prices has those that are worldwide neither. */
export function priceOf(table: PriceTable, region: string, id: PriceId): Price | undefined {
  const recordedOnes = regionPrices(table, region);
  return recordedOnes && (recordedOnes.prices[id] ?? table.worldwide[id]);
}

/** The price of an hour of a database instance in a region, where one is recorded. */
export function databaseInstancePrice(
  table: PriceTable,
  region: string,
  instanceClass: string,
): Price | undefined {
  const classes = regionPrices(table, region)?.databaseInstances;
  return classes && Object.hasOwn(classes, instanceClass) ? classes[instanceClass] : undefined;
}

/** Whether anything is recorded for a region. */
export function isRecorded(table: PriceTable, region: string): boolean {
  return regionPrices(table, region) !== undefined;
}

function regionPrices(table: PriceTable, region: string): RegionPrices | undefined {
  return Object.hasOwn(table.regions, region) ? table.regions[region] : undefined;
}
