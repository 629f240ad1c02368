/** Settings in, plan out: pure, so that the same settings give the same plan everywhere and every day. */
import { planAlarms } from "./alarmPlan";
import { partitionOf } from "./arnTemplates";
import { estimateMonthlyCost, type CostUsage } from "../cost/cost";
import { planDashboard } from "./dashboardPlan";
import { planFunction } from "./functionPlan";
import { planFreshnessQuery, planGrants, planPermissions } from "./permissionPlan";
import type { LogsPlan, NamesPlan, NetworkPlan, Place, Plan, SubscriptionsPlan } from "./planTypes";
import { PriceUnknownError, recordedPrices } from "../cost/prices";
import { ticksPerMonth } from "../time/schedule";
import type { Settings } from "../settings/settings";
import { planNames, planQueues, planRule, planTargets } from "./tickPlan";
import { planUsage } from "./usagePlan";
import { planVerification } from "./verificationPlan";

export type * from "./planTypes";
export { functionEnvironment, handlerSettings } from "./functionPlan";

/** Tags of the rule that hold facts of the plan, for policies and people to read. */
export const MAX_STALENESS_TAG = "matview-refresh:max-staleness-seconds";
export const MONTHLY_USD_TAG = "matview-refresh:monthly-usd";
export const MONTHLY_BUDGET_USD_TAG = "matview-refresh:monthly-budget-usd";
/** Tag of everything the component makes: which group it belongs to. */
export const GROUP_TAG = "matview-refresh:group";

/** Makes the plan of a stack. */
export function makePlan(settings: Settings, where: Place): Plan {
  const place = { region: where.region, partition: where.partition ?? partitionOf(where.region) };
  const names = planNames(settings);
  const planned = planFunction(settings, names);
  const queues = planQueues(settings, names);
  const alarms = planAlarms(settings, names);
  const costUsage = planUsage(settings, place, queues, alarms);
  const costs = planCost(costUsage);
  const { schedule, timeoutSeconds, maxStalenessSeconds, monthlyBudgetUsd, tags } = settings;
  return {
    place,
    names,
    schedule,
    ticksPerMonth: ticksPerMonth(schedule),
    worstStalenessByDesignSeconds: schedule.intervalSeconds + timeoutSeconds,
    maxStalenessSeconds,
    function: planned,
    logs: planLogs(settings, names),
    rule: planRule(settings, names),
    targets: planTargets(settings, queues, planned),
    queues,
    permissions: planPermissions(settings, place, queues),
    network: planNetwork(settings),
    alarms,
    subscriptions: planSubscriptions(settings, names),
    dashboard: planDashboard({ settings, names, place, alarms }),
    tags: { [GROUP_TAG]: names.group, ...tags },
    promiseTags: {
      [MAX_STALENESS_TAG]: String(maxStalenessSeconds),
      ...(costs.cost === undefined ? {} : { [MONTHLY_USD_TAG]: costs.cost.totalUsd.toFixed(2) }),
      ...(monthlyBudgetUsd === undefined ? {} : { [MONTHLY_BUDGET_USD_TAG]: String(monthlyBudgetUsd) }),
    },
    costUsage,
    ...costs,
    ...(monthlyBudgetUsd === undefined ? {} : { monthlyBudgetUsd }),
    grants: planGrants(settings),
    freshnessQuery: planFreshnessQuery(settings),
    verification: planVerification(names, place, alarms),
  };
}

/** The estimate, or why there is none: not knowing a price is no reason to refuse a stack. */
function planCost(usage: CostUsage): Pick<Plan, "cost" | "costProblem"> {
  try {
    return { cost: estimateMonthlyCost(usage, recordedPrices) };
  } catch (error) {
    if (error instanceof PriceUnknownError) return { costProblem: error.message };
    throw error;
  }
}

function planLogs({ logRetentionDays, logGroupName, kmsKeyArn }: Settings, names: NamesPlan): LogsPlan {
  return {
    name: names.logGroup,
    retentionDays: logRetentionDays,
    isGiven: logGroupName !== undefined,
    ...(kmsKeyArn === undefined ? {} : { kmsKeyArn }),
  };
}

function planNetwork({ database, network }: Settings): NetworkPlan {
  const isSecret = database.kind === "existing" && database.auth === "secret";
  const given = network.kind === "existing" ? network.securityGroupId : undefined;
  return {
    databasePort: database.kind === "none" ? 5_432 : database.port,
    hasSecretsEndpoint: isSecret && network.kind === "existing" && network.secretsEndpoint,
    ...(given === undefined ? {} : { securityGroupId: given }),
  };
}

function planSubscriptions({ alarmEmails, kmsKeyArn }: Settings, names: NamesPlan): SubscriptionsPlan {
  if (alarmEmails.length === 0) return {};
  const key = kmsKeyArn === undefined ? {} : { kmsKeyArn };
  return { topic: { name: names.topic, emails: alarmEmails, ...key } };
}
