import * as pulumi from "@pulumi/pulumi";
import { componentArgs } from "./components/componentSettings";
import { MaterializedViewRefresh } from "./components/materializedViewRefresh";
import { makePlan } from "./components/plan/plan";
import { providerRegion, stackSettings } from "./components/stackSettings";
import { createPlaces } from "./sandbox/places";

const settings = stackSettings();
const plan = makePlan(settings, { region: providerRegion() });
if (plan.costProblem !== undefined) void pulumi.log.warn(plan.costProblem);

const name = plan.names.base;
const places = createPlaces(name, settings, plan);
const refresh = new MaterializedViewRefresh(name, componentArgs(settings, places), {
  dependsOn: places.ready,
});

export const functionName = refresh.functionName;
export const functionArn = refresh.functionArn;
export const codeHash = refresh.codeHash;
export const roleArn = refresh.roleArn;
export const rolePolicy = refresh.rolePolicy;
export const ruleName = refresh.ruleName;
export const logGroupName = refresh.logGroupName;
export const queueUrls = refresh.queueUrls;
export const alarmArns = refresh.alarmArns;
export const topicArn = refresh.topicArn ?? "none";
export const dashboardUrl = refresh.dashboardUrl;
export const securityGroupId = refresh.securityGroupId;
export const schedule = plan.schedule.description;
export const worstStalenessByDesignSeconds = plan.worstStalenessByDesignSeconds;
export const maxStalenessSeconds = refresh.maxStalenessSeconds;
export const monthlyCost = {
  totalUsd: plan.cost && toCents(plan.cost.totalUsd),
  totalWithFreeTierUsd: plan.cost && toCents(plan.cost.totalWithFreeTierUsd),
  lines: plan.cost?.lines.map((line) => ({ [line.description]: toCents(line.monthlyUsd) })),
};
export const verification = Object.fromEntries(plan.verification.map((step) => [step.title, step.command]));
export const grants = refresh.grants;
export const freshnessQuery = refresh.freshnessQuery;

function toCents(usd: number): number {
  return Math.round(usd * 100) / 100;
}
