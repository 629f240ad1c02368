/** The database and network settings, told apart: there already, made with the stack, or none. */
import { proxyResourceId } from "./awsIdentifiers";
import type { DatabasePlace, NetworkPlace } from "./settings";
import type { ShapedSettings } from "./settingsShapes";

type DatabaseValues = ShapedSettings["database"];
type NetworkValues = ShapedSettings["network"];

/** Database and user of a database made with the stack, unless named. */
export const CREATED_DATABASE = { name: "scanner", user: "matview_refresh_function" } as const;

export const DEFAULT_DATABASE_PORT = 5_432;

/** Reads a database that has passed the rules. */
export function databasePlace(values: DatabaseValues): DatabasePlace {
  const { host, name, create, resourceId, proxy, auth = "iam", port = DEFAULT_DATABASE_PORT } = values;
  if (create !== undefined) {
    return {
      kind: "create",
      name: name ?? CREATED_DATABASE.name,
      user: values.user ?? CREATED_DATABASE.user,
      port,
      auth: "iam",
      ...create,
    };
  }
  if (host === undefined || name === undefined) return { kind: "none" };
  const proxyArn = typeof proxy === "string" ? proxy : undefined;
  const namedResource = resourceId ?? (proxyArn === undefined ? undefined : proxyResourceId(proxyArn));
  return {
    kind: "existing",
    host,
    port,
    name,
    auth,
    isProxy: proxy !== undefined && proxy !== false,
    ...(auth === "iam" ? { user: values.user, resourceId: namedResource } : {}),
    ...(auth === "secret" ? { secretArn: values.secretArn, secretKmsKeyArn: values.secretKmsKeyArn } : {}),
  };
}

/** Reads a network that has passed the rules. */
export function networkPlace(values: NetworkValues): NetworkPlace {
  const { vpcId, subnetIds, databaseSecurityGroupId, securityGroupId, secretsEndpoint = false } = values;
  if (values.create === true) return { kind: "create", zones: values.zones ?? 2 };
  if (vpcId === undefined || subnetIds === undefined) return { kind: "none" };
  return {
    kind: "existing",
    vpcId,
    subnetIds,
    secretsEndpoint,
    ...(databaseSecurityGroupId === undefined ? {} : { databaseSecurityGroupId }),
    ...(securityGroupId === undefined ? {} : { securityGroupId }),
  };
}
