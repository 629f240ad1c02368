/**
 * The component's arguments as settings, and back. Places may be outputs, known only after deployment: a value of the right
 * shape stands in for them where settings want one, and never reaches a resource.
 */
import type { DatabaseArgs, MaterializedViewRefreshArgs, NetworkArgs } from "./args";
import { parseSettings } from "./settings/parseSettings";
import type { Settings } from "./settings/settings";
import { writeViewName } from "./settings/viewNames";

/** What stands in for a value that is known later, by the argument's name. */
const KNOWN_LATER = {
  host: "known-after-deployment.invalid",
  databaseId: "db-KNOWNAFTERDEPLOYMENT",
  proxyId: "prx-00000000000000000",
  secretArn: "arn:aws:secretsmanager:us-east-1:000000000000:secret:known-after-deployment-000000",
  vpcId: "vpc-00000000000000000",
  subnetIds: ["subnet-00000000000000000", "subnet-00000000000000001"],
  securityGroupId: "sg-00000000000000000",
} as const;

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

/**
 * @param region where the component's resources are.
 * @throws SettingsFaults with every fault, each with the argument that mends it.
 */
export function componentSettings(args: MaterializedViewRefreshArgs, region?: string): Settings {
  const { database, network, alarmTopicArns, okActionArns, ...rest } = withoutRegion(args);
  const settings = parseSettings(
    {
      ...rest,
      database: databaseValues(database),
      network: networkValues(network),
      alarmTopicArns: knownArns(alarmTopicArns, region),
      okActionArns: knownArns(okActionArns, region),
    },
    "component",
    region,
  );
  return {
    ...settings,
    alarmTopicArns: plainItems(alarmTopicArns),
    okActionArns: plainItems(okActionArns),
  };
}

function withoutRegion(args: MaterializedViewRefreshArgs): SettingArgs {
  const { region: _region, ...rest } = args;
  return rest;
}

function databaseValues(database: DatabaseArgs | undefined): Record<string, unknown> {
  // A program without type checks may leave it out; that is a fault like any other.
  if (database === undefined) return {};
  const { host, port, resourceId, secretArn, proxy } = database;
  return {
    ...database,
    host: knownText(host, KNOWN_LATER.host),
    port: typeof port === "object" ? undefined : port,
    resourceId: knownText(resourceId, proxy === true ? KNOWN_LATER.proxyId : KNOWN_LATER.databaseId),
    secretArn: knownText(secretArn, KNOWN_LATER.secretArn),
  };
}

function networkValues(network: NetworkArgs | undefined): Record<string, unknown> {
  if (network === undefined) return {};
  const { vpcId, subnetIds, databaseSecurityGroupId, securityGroupId } = network;
  return {
    ...network,
    vpcId: knownText(vpcId, KNOWN_LATER.vpcId),
    subnetIds: subnetIds === undefined || isAllKnown(subnetIds) ? subnetIds : [...KNOWN_LATER.subnetIds],
    databaseSecurityGroupId: knownText(databaseSecurityGroupId, KNOWN_LATER.securityGroupId),
    securityGroupId: knownText(securityGroupId, KNOWN_LATER.securityGroupId),
  };
}

/** Absent stays absent, and text as it is; what a resource or a promise will give has a stand-in. */
function knownText(value: unknown, standIn: string): unknown {
  return typeof value === "object" && value !== null ? standIn : value;
}

function isAllKnown(values: unknown): boolean {
  return Array.isArray(values) && values.every((value) => typeof value !== "object");
}

/** The list with a topic for each one known later, so that their number is known now. */
function knownArns(values: unknown, region = "us-east-1"): unknown {
  if (!Array.isArray(values)) return typeof values === "object" ? undefined : values;
  return values.map((value, index) =>
    knownText(value, `arn:aws:sns:${region}:000000000000:known-after-deployment-${index}`),
  );
}

/** Those items of a list that are known now. */
function plainItems(values: unknown): string[] {
  return Array.isArray(values) ? values.filter((value): value is string => typeof value === "string") : [];
}
