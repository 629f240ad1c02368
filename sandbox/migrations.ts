import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import { token } from "../components/plan/arnTemplates";
import { bundleHandler } from "../components/bundle";
import type { FunctionPlan, StatementPlan } from "../components/plan/planTypes";
import { interfacesForLambdaAlone } from "../components/plan/permissionPlan";
import { createFunction } from "../components/resources/function";
import { createLogGroup } from "../components/resources/logGroup";
import { admitToEndpoint, createSecretsEndpoint, createSecurityGroup } from "../components/resources/network";
import { createRole, policyDocument } from "../components/resources/role";
import { partitionOf } from "../components/settings/identifiers";
import type { QualifiedName } from "../handler/settings";
import { MIGRATIONS_FOLDER, REFRESH_USER_VARIABLE } from "../migrations/contract";
import { migrationsFor } from "../migrations/sets";

/** What {@link SandboxMigrations} is told. */
export interface SandboxMigrationsArgs {
  /** Name of the function; its log group and role are named after it. */
  functionName: string;
  runtime: string;
  architecture: "arm64" | "x86_64";
  vpcId: pulumi.Input<string>;
  subnetIds: pulumi.Output<string[]>;
  databaseSecurityGroupId: pulumi.Input<string>;
  databasePort: pulumi.Input<number>;
  /** Secret of the database's master user. */
  masterSecretArn: pulumi.Output<string>;
  /** The handler's environment for a connection with that secret. */
  environment: Record<string, pulumi.Input<string>>;
  /** Views that are refreshed: they decide which migrations there are. */
  views: QualifiedName[];
  /** Database user of the refresh function. */
  refreshUser: string;
  logRetentionDays: number;
  /** Path and permissions boundary of the function's role. */
  rolePath: string;
  permissionsBoundaryArn: pulumi.Input<string> | undefined;
  tags: Record<string, pulumi.Input<string>>;
}

/** Migrations of a small database take seconds; what takes minutes is not for a deployment to wait for. */
const TIMEOUT_SECONDS = 300;
const MEMORY_MB = 256;

/**
 * Applies the migrations during `pulumi up`, from inside the VPC: a function with the migration files beside its
 * code, invoked whenever one of them changes or the database is another. A migration that fails fails the update.
 */
export class SandboxMigrations extends pulumi.ComponentResource {
  /** What the last run answered: the names of the migrations it applied. */
  public readonly result: pulumi.Output<string>;

  constructor(name: string, args: SandboxMigrationsArgs, opts?: pulumi.ComponentResourceOptions) {
    super("matview-refresh:sandbox:Migrations", name, {}, opts);
    const logicalName = `${name}-migrate`;
    const scope = { parent: this, tags: args.tags };
    const region = aws.getRegionOutput({}, { parent: this }).region;
    const files = migrationFiles(args.views);

    // One zone is enough for a call a deployment; every zone is billed.
    const endpoint = createSecretsEndpoint(`${logicalName}-secrets`, scope, {
      vpcId: args.vpcId,
      subnetIds: args.subnetIds.apply((subnetIds) => subnetIds.slice(0, 1)),
      region,
      secretArn: args.masterSecretArn,
    });
    const group = createSecurityGroup(logicalName, scope, {
      name: args.functionName,
      vpcId: args.vpcId,
      databaseSecurityGroupId: args.databaseSecurityGroupId,
      databasePort: args.databasePort,
      reachesSecretsManager: true,
      endpointSecurityGroupId: endpoint.securityGroupId,
    });
    const admitted = admitToEndpoint(`${logicalName}-secrets-in`, scope, endpoint, group.id);
    const logs = createLogGroup(logicalName, scope, {
      name: `/aws/lambda/${args.functionName}`,
      retentionDays: args.logRetentionDays,
    });
    const role = createRole(logicalName, scope, {
      name: args.functionName,
      path: args.rolePath,
      permissionsBoundaryArn: args.permissionsBoundaryArn,
      policy: policyDocument([...STATEMENTS, interfacesForLambdaAlone(args.functionName)], {
        logGroupArn: logs.arn,
        secretArn: args.masterSecretArn,
        region,
        partition: region.apply(partitionOf),
        accountId: aws.getCallerIdentityOutput({}, { parent: this }).accountId,
      }),
      partition: region.apply(partitionOf),
    });
    const fn = createFunction(logicalName, scope, functionPlan(args), {
      code: archive(files),
      roleArn: role.arn,
      logGroupName: logs.name,
      environment: {
        ...args.environment,
        ...endpoint.variables,
        [REFRESH_USER_VARIABLE]: args.refreshUser,
      },
      subnetIds: args.subnetIds,
      securityGroupId: group.id,
      dependsOn: [...role.grants, endpoint.endpoint],
    });
    const invocation = new aws.lambda.Invocation(
      logicalName,
      {
        functionName: fn.name,
        input: JSON.stringify({ source: "pulumi-up" }),
        triggers: {
          migrations: digestOf(files),
          refreshUser: args.refreshUser,
          // A database made anew is empty, and has a secret of its own.
          database: args.masterSecretArn,
        },
      },
      { parent: this, dependsOn: [...group.rules, admitted] },
    );
    this.result = invocation.result;
    this.registerOutputs({ result: this.result });
  }
}

const STATEMENTS: StatementPlan[] = [
  {
    sid: "WriteItsOwnLog",
    actions: ["logs:CreateLogStream", "logs:PutLogEvents"],
    resources: [`${token("logGroupArn")}:*`],
  },
  {
    sid: "ReadTheMasterSecret",
    // Migrations make tables and roles.
    actions: ["secretsmanager:GetSecretValue"],
    resources: [token("secretArn")],
  },
];

function functionPlan(args: SandboxMigrationsArgs): FunctionPlan {
  return {
    name: args.functionName,
    description: "Applies the migrations of the sandbox database; run by pulumi up",
    handler: "index.handler",
    runtime: args.runtime,
    architecture: args.architecture,
    timeoutSeconds: TIMEOUT_SECONDS,
    memoryMb: MEMORY_MB,
  };
}

/** Paths of the migration files, in the order of their names. */
function migrationFiles(views: QualifiedName[]): string[] {
  return migrationsFor(views)
    .flatMap((folder) => readdirSync(folder).map((name) => path.join(folder, name)))
    .filter((file) => file.endsWith(".sql"))
    .sort((one, other) => (path.basename(one) < path.basename(other) ? -1 : 1));
}

/** Changes when a file's name or content does, and only then. */
function digestOf(files: string[]): string {
  const hash = createHash("sha256");
  for (const file of files) hash.update(path.basename(file)).update("\0").update(readFileSync(file));
  return hash.digest("hex");
}

/** The bundle with the migration files beside it. */
function archive(files: string[]): pulumi.Output<pulumi.asset.AssetArchive> {
  const bundle = bundleHandler("migrations/lambda.ts", "dist/migrate");
  const beside = Object.fromEntries(
    files.map((file) => [`${MIGRATIONS_FOLDER}/${path.basename(file)}`, new pulumi.asset.FileAsset(file)]),
  );
  return pulumi
    .output(bundle)
    .apply(
      ({ file }) =>
        new pulumi.asset.AssetArchive({ "index.js": new pulumi.asset.FileAsset(file), ...beside }),
    );
}
