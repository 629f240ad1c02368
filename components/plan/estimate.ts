import { estimateMonthlyCost, type CostEstimate } from "../cost/cost";
import { PriceUnknownError, recordedPrices } from "../cost/prices";
import type { Plan } from "./planTypes";
import { usageOf } from "./usagePlan";

/** What a stack costs a month in a region, or why nobody knows: that is no reason to refuse it. */
export function estimateOf(
  plan: Plan,
  region: string,
): { cost: CostEstimate; problem?: never } | { cost?: never; problem: string } {
  try {
    return { cost: estimateMonthlyCost(usageOf(plan, region), recordedPrices) };
  } catch (error) {
    if (error instanceof PriceUnknownError) return { problem: error.message };
    throw error;
  }
}
