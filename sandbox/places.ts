import * as pulumi from "@pulumi/pulumi";
import type { DatabaseArgs, NetworkArgs } from "../components/args";
import { functionEnvironment } from "../components/plan/functionPlan";
import type { Plan } from "../components/plan/plan";
import type { CreatedDatabase, ExistingDatabase, Settings } from "../components/settings/settings";
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

/** Subnets and their VPC. */
interface Subnets {
  vpcId: pulumi.Output<string>;
  subnetIds: pulumi.Output<string[]>;
}

/** Makes what the settings want made, and names the rest. Settings for a deployment name both places. */
export function createPlaces(name: string, settings: Settings, plan: Plan): Places {
  const subnets = createSubnets(name, settings, plan);
  const { database } = settings;
  if (database.kind === "create") return createdDatabase(name, settings, database, plan, subnets);
  if (database.kind === "existing") return existingDatabase(settings, database, subnets);
  throw new pulumi.RunError(
    "No database is set. pulumi config set --path database.create.instanceClass db.t4g.micro",
  );
}

function createSubnets(name: string, { network }: Settings, { tags }: Plan): Subnets {
  if (network.kind === "create") {
    const { vpcId, subnetIds } = new SandboxNetwork(name, { zones: network.zones, tags });
    return { vpcId, subnetIds };
  }
  if (network.kind === "none") throw new pulumi.RunError("No network is set.");
  return { vpcId: pulumi.output(network.vpcId), subnetIds: pulumi.output(network.subnetIds) };
}

function existingDatabase(settings: Settings, database: ExistingDatabase, subnets: Subnets): Places {
  const { kind: _kind, isProxy, ...rest } = database;
  const given = settings.network.kind === "existing" ? settings.network : undefined;
  return {
    database: { ...rest, proxy: isProxy },
    network: {
      ...subnets,
      databaseSecurityGroupId: given?.databaseSecurityGroupId,
      securityGroupId: given?.securityGroupId,
      secretsEndpoint: given?.secretsEndpoint,
    },
    ready: [],
  };
}

function createdDatabase(
  name: string,
  settings: Settings,
  database: CreatedDatabase,
  plan: Plan,
  subnets: Subnets,
): Places {
  const { tags } = plan;
  const { rolePath, permissionsBoundaryArn } = settings;
  const boundary = permissionsBoundaryArn === undefined ? {} : { permissionsBoundaryArn };
  const made = new SandboxDatabase(name, {
    ...subnets,
    instanceClass: database.instanceClass,
    storageGb: database.storageGb,
    port: database.port,
    databaseName: database.name,
    refreshUser: database.user,
    proxy: database.proxy,
    rolePath,
    ...boundary,
    tags,
  });
  const migrations = new SandboxMigrations(name, {
    ...subnets,
    functionName: `${plan.names.base}-migrate`,
    region: plan.place.region,
    runtime: settings.runtime,
    architecture: settings.architecture,
    databaseSecurityGroupId: made.securityGroupId,
    databasePort: database.port,
    masterSecretArn: made.masterSecretArn,
    // Without the variables that a stack adds: they are the refresh function's.
    environment: functionEnvironment<pulumi.Input<string>>(
      { ...settings, environment: {} },
      {
        host: made.instanceHost,
        port: String(database.port),
        name: database.name,
        auth: "secret",
        secretArn: made.masterSecretArn,
        tls: "verify-full",
      },
    ),
    refreshUser: database.user,
    logRetentionDays: settings.logRetentionDays,
    rolePath,
    ...boundary,
    tags,
  });
  return {
    database: {
      host: made.host,
      port: database.port,
      name: database.name,
      user: database.user,
      auth: "iam",
      resourceId: made.resourceId,
      proxy: database.proxy,
    },
    network: { ...subnets, databaseSecurityGroupId: made.securityGroupId },
    ready: [migrations, ...made.ready],
  };
}
