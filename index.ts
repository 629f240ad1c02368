import { MaterializedViewRefresh } from "./components/materializedViewRefresh";
import { stackRegion, stackSettings } from "./components/stackSettings";
import { createPlaces } from "./sandbox/places";

const settings = stackSettings();
const places = createPlaces(settings, stackRegion());
const refresh = new MaterializedViewRefresh(
  places.name,
  { ...settings, database: places.database, network: places.network },
  { dependsOn: places.ready },
);

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
export const schedule = refresh.schedule;
export const worstStalenessByDesignSeconds = refresh.worstStalenessByDesignSeconds;
export const maxStalenessSeconds = refresh.maxStalenessSeconds;
/** Of the whole stack: a database that is made with it is not the component's. */
export const monthlyCost = refresh.monthlyCost.apply(places.withDatabase);
export const verification = refresh.verification;
export const grants = refresh.grants;
export const freshnessQuery = refresh.freshnessQuery;
