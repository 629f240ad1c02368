/**
 * What a stack costs a month, line by line: pure arithmetic over a usage and a price table. What is billed in which
 * quantity is in {@link file://./costItems.ts}, what it costs in priceTable.json.
 */
import { costItems, type CostItem, type CostUsage } from "./costItems";
import {
  databaseInstancePrice,
  databaseInstanceUnit,
  priceOf,
  priceUnits,
  type Price,
  type PriceId,
  type PriceTable,
} from "./prices";

export type { CostDatabase, CostUsage } from "./costItems";

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
  const { unit, usd, source, date } = lookUp(item.price, region, table);
  const freeQuantity = takeFree(item, freeLeft);
  return {
    id: item.id,
    description: item.description,
    unit,
    quantity: item.quantity,
    unitPriceUsd: usd,
    freeQuantity,
    monthlyUsd: item.quantity * usd,
    monthlyWithFreeTierUsd: (item.quantity - freeQuantity) * usd,
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

function lookUp(price: CostItem["price"], region: string, table: PriceTable): Price & { unit: string } {
  return typeof price === "string"
    ? { ...priceOf(table, region, price), unit: priceUnits[price] }
    : { ...databaseInstancePrice(table, region, price.instanceClass), unit: databaseInstanceUnit };
}

/** Sums without rounding; amounts are rounded only where they are shown. */
export function sumUsd(amounts: number[]): number {
  return amounts.reduce((total, amount) => total + amount, 0);
}
