import * as pulumi from "@pulumi/pulumi";
import type { DatabaseArgs, NetworkArgs } from "../components/args";
import { toCents } from "../components/cost/cost";
import { inCents, type MonthlyCost } from "../components/materializedViewRefresh";
import { createdDatabaseEstimate } from "../components/plan/estimate";
import { MONTHLY_USD_IS_AT_LEAST_TAG, MONTHLY_USD_TAG, tagsOf } from "../components/plan/plan";
import { planNames } from "../components/plan/tickPlan";
import { functionEnvironment } from "../components/settings/environment";
import { proxyResourceId } from "../components/settings/identifiers";
import { groupOf, viewSettingsOf } from "../components/settings/rules";
import type { Settings } from "../components/settings/schema";
import { SandboxDatabase } from "./database";
import { SandboxMigrations } from "./migrations";
import { SandboxNetwork } from "./network";

/** Where the views are and where the function runs, made with the stack or there already. */
export interface Places {
  /** Of the component, and of whatever else is made. */
  name: string;
  database: DatabaseArgs;
  network: NetworkArgs;
  /** What must be done before the first refresh: the migrations of a database made with the stack, and its proxy. */
  ready: pulumi.Resource[];
  /** The component's month with that of a database made with the stack. */
  withDatabase: (component: MonthlyCost) => MonthlyCost;
}

/** Makes what the settings of a stack want made, and names the rest. */
export function createPlaces(settings: Settings, region: string): Places {
  const { database, network } = settings;
  const group = groupOf(settings) ?? "";
  const names = planNames(settings, group);
  const name = names.base;
  const tags = tagsOf(settings, names);
  // The rules of the settings have asked for what is missing here.
  const { host = "", name: databaseName = "", vpcId = "", subnetIds = [] } = { ...database, ...network };
  const subnets =
    network.create === true
      ? new SandboxNetwork(name, { zones: network.zones ?? 2, tags })
      : { vpcId, subnetIds };
  if (database.create !== undefined) {
    return createdDatabase({ name, group, tags, settings, region }, database.create, subnets);
  }
  const { create: _created, proxy, resourceId, ...given } = database;
  return {
    name,
    database: {
      ...given,
      host,
      name: databaseName,
      resourceId: resourceId ?? (typeof proxy === "string" ? proxyResourceId(proxy) : undefined),
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
    withDatabase: (component) => component,
  };
}

/** Subnets and their VPC. */
interface Subnets {
  vpcId: pulumi.Input<string>;
  subnetIds: pulumi.Input<pulumi.Input<string>[]>;
}

/** Database and user of a database made with the stack, unless named. */
const CREATED = { name: "scanner", user: "matview_refresh_function", port: 5_432 } as const;

/** What all that is made with a stack is made of. */
interface Stack {
  name: string;
  group: string;
  tags: Record<string, string>;
  settings: Settings;
  region: string;
}

function createdDatabase(
  { name, group, tags, settings, region }: Stack,
  create: NonNullable<Settings["database"]["create"]>,
  subnets: Subnets,
): Places {
  const views = settings.views.map(viewSettingsOf);
  const cost = createdDatabaseEstimate(create, region);
  if (cost.missingPrices !== undefined) void pulumi.log.warn(cost.missingPrices);
  const { database, rolePath, permissionsBoundaryArn, runtime, logRetentionDays } = settings;
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
    // The component tells its own price; the budget's rule adds them up.
    instanceTags: {
      [MONTHLY_USD_TAG]: cost.totalUsd.toFixed(2),
      [MONTHLY_USD_IS_AT_LEAST_TAG]: String(cost.isLowerBound),
    },
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
    name,
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
    withDatabase: (component) => sumOf(component, inCents(cost)),
  };
}

function sumOf(component: MonthlyCost, database: MonthlyCost): MonthlyCost {
  return {
    totalUsd: toCents(component.totalUsd + database.totalUsd),
    totalWithFreeTierUsd: toCents(component.totalWithFreeTierUsd + database.totalWithFreeTierUsd),
    isLowerBound: component.isLowerBound || database.isLowerBound,
    lines: [...component.lines, ...database.lines],
    notPriced: [...component.notPriced, ...database.notPriced],
  };
}
