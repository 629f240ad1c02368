/**
 * What a stack costs a month, line by line: pure arithmetic over a usage and a price table. What is billed in which
 * quantity is in {@link file://./costItems.ts}, what it costs in priceTable.json.
 */
import { costItems, type CostItem, type CostUsage } from "./costItems";
import {
  databaseInstancePrice,
  databaseInstanceUnit,
  isRecorded,
  priceOf,
  priceUnits,
  rebuildCommand,
  type Price,
  type PriceId,
  type PriceTable,
} from "./prices";

export type { CostDatabase, CostUsage } from "./costItems";

/** One billed thing whose price is recorded. Amounts are exact; round them only to show them. */
export interface PricedLine {
  isPriced: true;
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
}

/** One billed thing whose price nobody has recorded for the region. It counts for nothing in the sums. */
export interface UnpricedLine {
  isPriced: false;
  id: string;
  description: string;
  unit: string;
  quantity: number;
}

export type CostLine = PricedLine | UnpricedLine;

/** A month's lines and their sums. Free tiers are the account's: other workloads may have used them up. */
export interface CostEstimate {
  region: string;
  lines: CostLine[];
  /** The sum of what is priced. */
  totalUsd: number;
  totalWithFreeTierUsd: number;
  /** Whether a line is not priced: the month then costs at least the totals. */
  isLowerBound: boolean;
  /** Where it is a lower bound: what is not priced, and the command that records the prices. */
  missingPrices?: string;
}

/**
 * Prices a month. A line appears for each thing used, plus the schedule's rule, which is free.
 * @throws RangeError for a quantity that is negative or not finite.
 */
export function estimateMonthlyCost(usage: CostUsage, prices: PriceTable): CostEstimate {
  const { region } = usage;
  const freeLeft = new Map<PriceId, number>();
  for (const [id, allowance] of Object.entries(prices.freeTiers))
    freeLeft.set(id as PriceId, allowance.quantity);
  const lines = costItems(usage).map((item) => costLine(item, region, prices, freeLeft));
  const priced = pricedLines(lines);
  const isLowerBound = priced.length < lines.length;
  return {
    region,
    lines,
    totalUsd: sumUsd(priced.map((line) => line.monthlyUsd)),
    totalWithFreeTierUsd: sumUsd(priced.map((line) => line.monthlyWithFreeTierUsd)),
    isLowerBound,
    ...(isLowerBound ? { missingPrices: missingPricesText(usage, lines, prices) } : {}),
  };
}

/** Those lines whose price is recorded. */
export function pricedLines(lines: CostLine[]): PricedLine[] {
  return lines.filter((line) => line.isPriced);
}

/** Those lines whose price is not recorded. */
export function unpricedLines(lines: CostLine[]): UnpricedLine[] {
  return lines.filter((line) => !line.isPriced);
}

function missingPricesText({ region, database }: CostUsage, lines: CostLine[], table: PriceTable): string {
  const ids = unpricedLines(lines).map(({ id }) => id);
  const missing = isRecorded(table, region)
    ? `No price is recorded in region "${region}" for ${ids.join(", ")}.`
    : `No prices are recorded for region "${region}". Known regions: ${Object.keys(table.regions).join(", ")}.`;
  const command = rebuildCommand(
    region,
    ids.includes("database-instance") ? database?.instanceClass : undefined,
  );
  return `${missing}\nRecord them from AWS's public price list (no credentials needed): ${command}`;
}

/** Draws on what the lines before it left of the free tier: two lines of one price share one allowance. */
function costLine(
  item: CostItem,
  region: string,
  table: PriceTable,
  freeLeft: Map<PriceId, number>,
): CostLine {
  const { id, description, quantity } = item;
  const { unit, price } = lookUp(item.price, region, table);
  if (price === undefined) return { isPriced: false, id, description, unit, quantity };
  const { usd, source, date } = price;
  const freeQuantity = takeFree(item, freeLeft);
  return {
    isPriced: true,
    id,
    description,
    unit,
    quantity,
    unitPriceUsd: usd,
    freeQuantity,
    monthlyUsd: quantity * usd,
    monthlyWithFreeTierUsd: (quantity - freeQuantity) * usd,
    source,
    date,
  };
}

function takeFree({ price, quantity }: CostItem, freeLeft: Map<PriceId, number>): number {
  if (typeof price !== "string") return 0;
  const left = freeLeft.get(price) ?? 0;
  const taken = Math.min(quantity, left);
  freeLeft.set(price, left - taken);
  return taken;
}

function lookUp(
  price: CostItem["price"],
  region: string,
  table: PriceTable,
): { unit: string; price: Price | undefined } {
  return typeof price === "string"
    ? { price: priceOf(table, region, price), unit: priceUnits[price] }
    : { price: databaseInstancePrice(table, region, price.instanceClass), unit: databaseInstanceUnit };
}

/** Sums without rounding; amounts are rounded only where they are shown. */
export function sumUsd(amounts: number[]): number {
  return amounts.reduce((total, amount) => total + amount, 0);
}

/** An amount as it is shown. */
export function toCents(usd: number): number {
  return Math.round(usd * 100) / 100;
}
