import * as pulumi from "@pulumi/pulumi";
import type { DatabaseArgs, NetworkArgs } from "../components/args";
import { estimateOf } from "../components/plan/estimate";
import { makePlan, MONTHLY_USD_IS_AT_LEAST_TAG, MONTHLY_USD_TAG, type Plan } from "../components/plan/plan";
import { functionEnvironment } from "../components/settings/environment";
import type { Settings } from "../components/settings/schema";
import { SandboxDatabase } from "./database";
import { SandboxMigrations } from "./migrations";
import { SandboxNetwork } from "./network";

/** Where the views are and where the function runs, made with the stack or there already. */
export interface Places {
  database: DatabaseArgs;
  network: NetworkArgs;
  /** What must be done before the first refresh: the migrations of a database made with the stack, and its proxy. */
  ready: pulumi.Resource[];
}

/** Makes what the settings of a stack want made, and names the rest. */
export function createPlaces(plan: Plan, region: string): Places {
  const { tags } = plan;
  const { database, network } = plan.settings;
  const name = plan.names.base;
  // The rules of the settings have asked for what is missing here.
  const { host = "", name: databaseName = "", vpcId = "", subnetIds = [] } = { ...database, ...network };
  const subnets =
    network.create === true
      ? new SandboxNetwork(name, { zones: network.zones ?? 2, tags })
      : { vpcId, subnetIds };
  if (database.create !== undefined) return createdDatabase(plan, database.create, subnets, region);
  const { create: _created, proxy, resourceId, ...given } = database;
  return {
    database: {
      ...given,
      host,
      name: databaseName,
      resourceId: resourceId ?? (typeof proxy === "string" ? proxyId(proxy) : undefined),
      proxy: proxy !== undefined && proxy !== false,
    },
    network: {
      vpcId: subnets.vpcId,
      subnetIds: subnets.subnetIds,
      databaseSecurityGroupId: network.databaseSecurityGroupId,
      securityGroupId: network.securityGroupId,
      secretsEndpoint: network.secretsEndpoint,
    },
    ready: [],
  };
}

/** The `prx-…` id at the end of a proxy's ARN. */
function proxyId(proxyArn: string): string {
  return proxyArn.slice(proxyArn.lastIndexOf(":") + 1);
}

/** Subnets and their VPC. */
interface Subnets {
  vpcId: pulumi.Input<string>;
  subnetIds: pulumi.Input<pulumi.Input<string>[]>;
}

/** Database and user of a database made with the stack, unless named. */
const CREATED = { name: "scanner", user: "matview_refresh_function", port: 5_432 } as const;

function createdDatabase(
  plan: Plan,
  create: NonNullable<Settings["database"]["create"]>,
  subnets: Subnets,
  region: string,
): Places {
  const { settings, names, group, views, tags } = plan;
  const { database, rolePath, permissionsBoundaryArn, runtime, logRetentionDays } = settings;
  const name = names.base;
  const { vpcId } = subnets;
  const subnetIds = pulumi.output(subnets.subnetIds);
  const port = database.port ?? CREATED.port;
  const user = database.user ?? CREATED.user;
  const databaseName = database.name ?? CREATED.name;
  const made = new SandboxDatabase(name, {
    vpcId,
    subnetIds,
    ...create,
    port,
    databaseName,
    refreshUser: user,
    rolePath,
    permissionsBoundaryArn,
    tags,
    instanceTags: priceTags(plan, region),
  });
  const migrations = new SandboxMigrations(name, {
    vpcId,
    subnetIds,
    functionName: `${name}-migrate`,
    runtime,
    architecture: settings.architecture,
    databaseSecurityGroupId: made.securityGroupId,
    databasePort: port,
    masterSecretArn: made.masterSecretArn,
    // Without the variables that a stack adds: they are the refresh function's.
    environment: functionEnvironment<pulumi.Input<string>>(
      { ...settings, group, views, environment: {} },
      {
        host: made.instanceHost,
        port: String(port),
        name: databaseName,
        auth: "secret",
        secretArn: made.masterSecretArn,
        tls: "verify-full",
      },
    ),
    views,
    refreshUser: user,
    logRetentionDays,
    rolePath,
    permissionsBoundaryArn,
    tags,
  });
  return {
    database: {
      host: made.host,
      port,
      name: databaseName,
      user,
      auth: "iam",
      resourceId: made.resourceId,
      proxy: create.proxy,
    },
    network: { vpcId, subnetIds, databaseSecurityGroupId: made.securityGroupId },
    ready: [migrations, ...made.ready],
  };
}

/** What the database adds to the component's own price, which the component tells itself; the budget's rule adds them up. */
function priceTags(plan: Plan, region: string): Record<string, string> {
  const { create: _made, ...database } = plan.settings.database;
  const alone = makePlan({ ...plan.settings, database });
  const whole = estimateOf(plan, region);
  return {
    [MONTHLY_USD_TAG]: (whole.totalUsd - estimateOf(alone, region).totalUsd).toFixed(2),
    [MONTHLY_USD_IS_AT_LEAST_TAG]: String(whole.isLowerBound),
  };
}
