/** The plan's cost: its usage at the recorded prices. */
import { estimateMonthlyCost, type CostEstimate } from "../cost/cost";
import { recordedPrices } from "../cost/prices";
import type { Plan } from "./planTypes";
import { usageOf } from "./usagePlan";

/** What a stack costs a month in a region, at the recorded prices. */
export function estimateOf(plan: Plan, region: string): CostEstimate {
  return estimateMonthlyCost(usageOf(plan, region), recordedPrices);
}
