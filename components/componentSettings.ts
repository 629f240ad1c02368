/**
 * The component's arguments as settings, and back. Places may be outputs, known only after deployment: a value of the right
 * shape stands in for them where settings want one, and never reaches a resource.
 */
import type { DatabaseArgs, MaterializedViewRefreshArgs, NetworkArgs } from "./args";
import { parseSettings } from "./parseSettings";
import type { Settings } from "./settings";
import { writeViewName } from "./viewNames";

const HOST_KNOWN_LATER = "known-after-deployment.invalid";
const VPC_KNOWN_LATER = "vpc-00000000000000000";
const SUBNETS_KNOWN_LATER = ["subnet-00000000000000000", "subnet-00000000000000001"];

/** The arguments that a stack's settings make, with the places as they were found or made. */
export function componentArgs(
  settings: Settings,
  places: { database: DatabaseArgs; network: NetworkArgs },
): MaterializedViewRefreshArgs {
  const { group, schedule, views, database: _database, network: _network, ...rest } = settings;
  return {
    ...rest,
    groupName: group,
    views: views.map((view) => ({
      name: writeViewName(view),
      allowBlocking: view.allowBlocking,
      ...(view.statistics === undefined ? {} : { statistics: writeViewName(view.statistics) }),
    })),
    refreshRate: schedule.refreshRate,
    database: places.database,
    network: places.network,
  };
}

/** Which arguments are no settings: the region belongs to the provider. */
type SettingArgs = Omit<MaterializedViewRefreshArgs, "region">;

/** @throws SettingsFaults with every fault, each with the argument that mends it. */
export function componentSettings(args: MaterializedViewRefreshArgs): Settings {
  const { database, network, alarmTopicArns, okActionArns, ...rest } = withoutRegion(args);
  return parseSettings(
    {
      ...rest,
      database: databaseValues(database),
      network: networkValues(network),
      alarmTopicArns: plainItems(alarmTopicArns),
      okActionArns: plainItems(okActionArns),
    },
    "component",
  );
}

function withoutRegion(args: MaterializedViewRefreshArgs): SettingArgs {
  const { region: _region, ...rest } = args;
  return rest;
}

function databaseValues(database: DatabaseArgs): Record<string, unknown> {
  return {
    ...database,
    host: plainText(database.host) ?? HOST_KNOWN_LATER,
    port: typeof database.port === "number" ? database.port : undefined,
    resourceId: plainText(database.resourceId),
    secretArn: plainText(database.secretArn),
  };
}

function networkValues(network: NetworkArgs): Record<string, unknown> {
  const subnetIds = plainItems(network.subnetIds);
  const allAreKnown = Array.isArray(network.subnetIds) && subnetIds.length === network.subnetIds.length;
  return {
    ...network,
    vpcId: plainText(network.vpcId) ?? VPC_KNOWN_LATER,
    subnetIds: allAreKnown ? subnetIds : SUBNETS_KNOWN_LATER,
    databaseSecurityGroupId: plainText(network.databaseSecurityGroupId),
    securityGroupId: plainText(network.securityGroupId),
  };
}

function plainText(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/** Those items of a list that are known now. */
function plainItems(values: unknown): string[] {
  return Array.isArray(values) ? values.filter((value): value is string => typeof value === "string") : [];
}
