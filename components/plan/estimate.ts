/** The plan's cost: its usage at the recorded prices. */
import { estimateMonthlyCost, type CostEstimate } from "../cost/cost";
import { recordedPrices } from "../cost/prices";
import type { Plan } from "./planTypes";
import { createdDatabaseUsage, usageOf } from "./usagePlan";
import type { Settings } from "../settings/schema";

/** What a stack costs a month in a region, at the recorded prices. */
export function estimateOf(plan: Plan, region: string): CostEstimate {
  return estimateMonthlyCost(usageOf(plan, region), recordedPrices);
}

/** What a database that is made with a stack adds to it. */
export function createdDatabaseEstimate(
  create: NonNullable<Settings["database"]["create"]>,
  region: string,
): CostEstimate {
  return estimateMonthlyCost({ region, ...createdDatabaseUsage(create) }, recordedPrices);
}
