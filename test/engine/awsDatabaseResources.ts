/** The part of the table that is data: RDS, Aurora, RDS Proxy, Secrets Manager, KMS. */
import type { ResourceAnswer, ResourceContext } from "./answers";
import { text, uuidOf } from "./answerValues";

/** The part of an RDS host name that stands for account and region. */
const accountSuffix = "c9akciq32rrx";

/** A database's resource id, `db-` and 26 capitals: what `rds-db:connect` names. */
function resourceId(prefix: string): (context: ResourceContext) => string {
  return ({ hex }) => `${prefix}-${hex(26).toUpperCase()}`;
}

function identifier({ inputs, name }: ResourceContext, property: string): string {
  return text(inputs[property], name);
}

/** `<name>[.proxy|.cluster]-<suffix>.<region>.rds.amazonaws.com` */
function host(name: string, context: ResourceContext, kind = ""): string {
  return `${name}.${kind}${accountSuffix}.${context.world.region}.rds.amazonaws.com`;
}

const relationalAnswers: Record<string, ResourceAnswer> = {
  "aws:rds/instance:Instance": {
    nameProperty: "identifier",
    required: ["instanceClass"],
    tagged: true,
    defaults: {
      applyImmediately: false,
      autoMinorVersionUpgrade: true,
      copyTagsToSnapshot: false,
      deleteAutomatedBackups: true,
      monitoringInterval: 0,
      publiclyAccessible: false,
      skipFinalSnapshot: false,
    },
    replaceOn: ["availabilityZone", "dbName", "engine", "kmsKeyId", "storageEncrypted", "username"],
    deleteBeforeReplace: true,
    id: resourceId("db"),
    computed: (context) => {
      const database = identifier(context, "identifier");
      const port = typeof context.inputs.port === "number" ? context.inputs.port : 5432;
      return {
        address: host(database, context),
        arn: context.arn("rds", `db:${database}`),
        availabilityZone: `${context.world.region}a`,
        caCertIdentifier: "rds-ca-rsa2048-g1",
        endpoint: `${host(database, context)}:${port}`,
        engineVersionActual: text(context.inputs.engineVersion, "17.4"),
        hostedZoneId: "Z2R2ITUGPM61AM",
        masterUserSecrets: context.inputs.manageMasterUserPassword
          ? [
              {
                kmsKeyId: context.arn("kms", `key/${context.hex(32)}`),
                secretArn: context.arn(
                  "secretsmanager",
                  `secret:rds!db-${context.hex(32)}-${context.hex(6)}`,
                ),
                secretStatus: "active",
              },
            ]
          : [],
        multiAz: false,
        networkType: "IPV4",
        parameterGroupName: "default.postgres17",
        port,
        resourceId: resourceId("db")(context),
        status: "available",
      };
    },
    changesWith: { engineVersionActual: ["engineVersion"], endpoint: ["port"] },
  },
  "aws:rds/cluster:Cluster": {
    nameProperty: "clusterIdentifier",
    required: ["engine"],
    tagged: true,
    defaults: { backupRetentionPeriod: 1, skipFinalSnapshot: false },
    replaceOn: [
      "clusterIdentifier",
      "databaseName",
      "engine",
      "kmsKeyId",
      "masterUsername",
      "storageEncrypted",
    ],
    id: (context) => identifier(context, "clusterIdentifier"),
    computed: (context) => {
      const cluster = identifier(context, "clusterIdentifier");
      return {
        arn: context.arn("rds", `cluster:${cluster}`),
        clusterResourceId: resourceId("cluster")(context),
        endpoint: host(cluster, context, "cluster-"),
        hostedZoneId: "Z2R2ITUGPM61AM",
        port: 5432,
        readerEndpoint: host(cluster, context, "cluster-ro-"),
      };
    },
  },
  "aws:rds/clusterInstance:ClusterInstance": {
    nameProperty: "identifier",
    required: ["clusterIdentifier", "engine", "instanceClass"],
    tagged: true,
    replaceOn: ["clusterIdentifier", "engine", "identifier"],
    id: (context) => identifier(context, "identifier"),
    computed: (context) => {
      const instance = identifier(context, "identifier");
      return {
        arn: context.arn("rds", `db:${instance}`),
        dbiResourceId: resourceId("db")(context),
        endpoint: host(instance, context),
        port: 5432,
        writer: true,
      };
    },
  },
  "aws:rds/subnetGroup:SubnetGroup": {
    nameProperty: "name",
    required: ["subnetIds"],
    tagged: true,
    defaults: { description: "Managed by Pulumi" },
    replaceOn: ["name"],
    id: (context) => identifier(context, "name"),
    computed: (context) => ({
      arn: context.arn("rds", `subgrp:${identifier(context, "name")}`),
      supportedNetworkTypes: ["IPV4"],
      vpcId: `vpc-0${context.hex(16)}`,
    }),
  },
  "aws:rds/parameterGroup:ParameterGroup": {
    nameProperty: "name",
    required: ["family"],
    tagged: true,
    defaults: { description: "Managed by Pulumi", skipDestroy: false },
    replaceOn: ["description", "family", "name"],
    id: (context) => identifier(context, "name"),
    computed: (context) => ({ arn: context.arn("rds", `pg:${identifier(context, "name")}`) }),
  },
};

const proxyAnswers: Record<string, ResourceAnswer> = {
  "aws:rds/proxy:Proxy": {
    nameProperty: "name",
    required: ["engineFamily", "roleArn", "vpcSubnetIds"],
    tagged: true,
    replaceOn: ["engineFamily", "vpcSubnetIds"],
    id: (context) => identifier(context, "name"),
    computed: (context) => ({
      // The last part of this ARN is the proxy's resource id, which `rds-db:connect` names.
      arn: context.arn("rds", `db-proxy:prx-0${context.hex(16)}`),
      endpoint: host(identifier(context, "name"), context, "proxy-"),
      idleClientTimeout: 1800,
      vpcSecurityGroupIds: [`sg-0${context.hex(16)}`],
    }),
  },
  "aws:rds/proxyDefaultTargetGroup:ProxyDefaultTargetGroup": {
    required: ["dbProxyName"],
    replaceOn: ["dbProxyName"],
    id: ({ inputs }) => text(inputs.dbProxyName),
    computed: (context) => ({
      arn: context.arn("rds", `target-group:prx-tg-0${context.hex(16)}`),
      name: "default",
    }),
  },
  "aws:rds/proxyTarget:ProxyTarget": {
    required: ["dbProxyName", "targetGroupName"],
    replaceOn: ["dbClusterIdentifier", "dbInstanceIdentifier", "dbProxyName", "targetGroupName"],
    id: ({ inputs }) => {
      const cluster = text(inputs.dbClusterIdentifier);
      const target = cluster
        ? `TRACKED_CLUSTER/${cluster}`
        : `RDS_INSTANCE/${text(inputs.dbInstanceIdentifier)}`;
      return `${text(inputs.dbProxyName)}/${text(inputs.targetGroupName)}/${target}`;
    },
    computed: (context) => ({
      endpoint: host(text(context.inputs.dbInstanceIdentifier, context.name), context),
      port: 5432,
      rdsResourceId: text(context.inputs.dbInstanceIdentifier, text(context.inputs.dbClusterIdentifier)),
      targetArn: "",
      trackedClusterId: text(context.inputs.dbClusterIdentifier),
      type: text(context.inputs.dbClusterIdentifier) ? "TRACKED_CLUSTER" : "RDS_INSTANCE",
    }),
  },
};

const secretAnswers: Record<string, ResourceAnswer> = {
  "aws:secretsmanager/secret:Secret": {
    nameProperty: "name",
    tagged: true,
    defaults: { forceOverwriteReplicaSecret: false, recoveryWindowInDays: 30 },
    replaceOn: ["name"],
    id: secretArn,
    computed: (context) => ({ arn: secretArn(context) }),
  },
  "aws:secretsmanager/secretVersion:SecretVersion": {
    required: ["secretId"],
    replaceOn: ["secretBinary", "secretId", "secretString"],
    id: (context) => `${text(context.inputs.secretId)}|terraform-${context.hex(26)}`,
    computed: ({ inputs, hex }) => ({
      arn: text(inputs.secretId),
      hasSecretStringWo: false,
      secretArn: text(inputs.secretId),
      versionId: `terraform-${hex(26)}`,
      versionStages: ["AWSCURRENT"],
    }),
  },
  "aws:secretsmanager/secretPolicy:SecretPolicy": {
    required: ["policy", "secretArn"],
    replaceOn: ["secretArn"],
    id: ({ inputs }) => text(inputs.secretArn),
  },
  "aws:kms/key:Key": {
    tagged: true,
    defaults: { enableKeyRotation: false, isEnabled: true },
    replaceOn: ["customerMasterKeySpec", "keyUsage", "multiRegion"],
    id: keyId,
    computed: (context) => ({ arn: context.arn("kms", `key/${keyId(context)}`), keyId: keyId(context) }),
  },
};

/** The database types of the table. */
export const databaseAnswers: Record<string, ResourceAnswer> = {
  ...relationalAnswers,
  ...proxyAnswers,
  ...secretAnswers,
};

/** Secrets Manager adds six characters to the name. */
function secretArn(context: ResourceContext): string {
  return context.arn("secretsmanager", `secret:${identifier(context, "name")}-${context.hex(6)}`);
}

function keyId({ hex }: ResourceContext): string {
  return uuidOf(hex(32));
}
