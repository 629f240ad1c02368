/** What database and network settings must be, alone and to one another. */
import {
  proxyResourceId,
  RESOURCE_ID,
  SECRET_ARN,
  SECURITY_GROUP_ID,
  SUBNET_ID,
  VPC_ID,
} from "./identifiers";
import { setCommand, unsetItems, type Purpose, type RuleFault } from "./faults";
import { LEAST_RDS_PORT, MOST_SUBNETS } from "../time/limits";
import { KNOWN_LATER } from "./readers";
import type { DatabaseSetting, NetworkSetting } from "./schema";

const EXAMPLE_HOST = "scanner.cluster-abcdefghijkl.us-east-1.rds.amazonaws.com";

/** Every fault of `database` and `network`. */
export function placeFaults(
  { database, network }: { database?: DatabaseSetting; network?: NetworkSetting },
  purpose: Purpose,
): RuleFault[] {
  const faults: RuleFault[] = [];
  if (database !== undefined) faults.push(...databaseFaults(database, purpose));
  if (network !== undefined) faults.push(...networkFaults(network, purpose));
  if (database !== undefined && network !== undefined) faults.push(...pairFaults(database, network, purpose));
  return faults;
}

function missing(key: string, problem: string, limit: string, example: unknown): RuleFault {
  return { key, value: undefined, problem, limit, example };
}

function databaseFaults(database: DatabaseSetting, purpose: Purpose): RuleFault[] {
  if (Object.keys(database).length === 0) {
    if (purpose === "local") return [];
    if (purpose === "component") return existingFaults(database);
    const limit = "an existing database (host, name, ...) or one made with the stack (create)";
    return [
      missing("database", "is missing: there is nothing to refresh", limit, {
        create: { instanceClass: "db.t4g.micro" },
      }),
    ];
  }
  if (database.create === undefined) return existingFaults(database);
  return purpose === "component" ? [madeByStack("database")] : createdFaults(database);
}

/** A component takes what is there or what the program made. */
function madeByStack(key: "database" | "network"): RuleFault {
  const problem = "is not for the component: it uses what is there, or what the program makes";
  return { key: `${key}.create`, value: true, problem, limit: "absent", example: undefined };
}

function createdFaults(database: DatabaseSetting): RuleFault[] {
  const contradicting = (["host", "resourceId", "secretArn", "secretKmsKeyArn", "proxy"] as const).filter(
    (key) => database[key] !== undefined,
  );
  const faults: RuleFault[] = contradicting.map((key) => ({
    key: `database.${key}`,
    value: database[key],
    problem: "belongs to an existing database, and database.create makes a new one",
    limit: key === "proxy" ? "database.create.proxy" : "either an existing database or create",
    example: undefined,
  }));
  faults.push(...madeFaults(database));
  if (database.auth !== "secret") return faults;
  const problem = "a database made with the stack is entered by IAM token";
  return [...faults, { key: "database.auth", value: "secret", problem, limit: "iam", example: "iam" }];
}

/** RDS takes less of a database that it makes than PostgreSQL (CreateDBInstance). */
function madeFaults({ name, port }: DatabaseSetting): RuleFault[] {
  const faults: RuleFault[] = [];
  if (name !== undefined && !/^[A-Za-z][A-Za-z0-9_]*$/.test(name)) {
    const problem = "is not a name that RDS gives to a database that it makes";
    const limit = "with database.create: letters, digits and _, beginning with a letter";
    faults.push({ key: "database.name", value: name, problem, limit, example: "scanner" });
  }
  if (port !== undefined && port < LEAST_RDS_PORT) {
    const problem = "is not a port that RDS opens";
    const limit = `with database.create: ${LEAST_RDS_PORT} to 65535`;
    faults.push({ key: "database.port", value: port, problem, limit, example: 5_432 });
  }
  return faults;
}

function existingFaults(database: DatabaseSetting): RuleFault[] {
  const faults: RuleFault[] = [];
  if (database.host === undefined) {
    faults.push(missing("database.host", "is missing", "the endpoint's host name", EXAMPLE_HOST));
  }
  if (database.name === undefined) {
    faults.push(missing("database.name", "is missing", "the database that holds the views", "scanner"));
  }
  return [...faults, ...(database.auth === "secret" ? secretFaults : iamFaults)(database)];
}

function secretFaults(database: DatabaseSetting): RuleFault[] {
  const faults: RuleFault[] = [];
  if (database.secretArn === undefined) {
    const problem = "is missing, and auth is secret";
    faults.push(missing("database.secretArn", problem, SECRET_ARN.limit, SECRET_ARN.example));
  }
  if (database.user !== undefined) {
    const problem = "is not used: with auth secret the secret names its user";
    const fault = { key: "database.user", value: database.user, problem, limit: "absent with secret" };
    faults.push({ ...fault, example: undefined });
  }
  return faults;
}

function iamFaults(database: DatabaseSetting): RuleFault[] {
  const faults: RuleFault[] = [];
  const { user, proxy, resourceId } = database;
  if (user === undefined) {
    const problem = "is missing, and auth is iam";
    faults.push(missing("database.user", problem, "a user that has been granted rds_iam", "matview_refresh"));
  }
  for (const key of ["secretArn", "secretKmsKeyArn"] as const) {
    if (database[key] === undefined) continue;
    const problem = "is not used: auth is iam";
    const limit = "absent with iam, or database.auth set to secret";
    faults.push({ key: `database.${key}`, value: database[key], problem, limit, example: undefined });
  }
  const proxyId = typeof proxy === "string" ? proxyResourceId(proxy) : undefined;
  if (resourceId === undefined && proxyId === undefined) {
    const problem = "is missing, and auth is iam: rds-db:connect names the database by it";
    const example = proxy === true ? "prx-0123456789abcdef0" : RESOURCE_ID.example;
    faults.push(missing("database.resourceId", problem, RESOURCE_ID.limit, example));
  }
  if (resourceId === KNOWN_LATER) return faults;
  const isProxyId = resourceId?.startsWith("prx-") ?? false;
  const isProxy = proxy === true || proxyId !== undefined;
  const contradicts =
    proxyId === undefined
      ? resourceId !== undefined && isProxyId !== isProxy
      : ![undefined, proxyId].includes(resourceId);
  if (contradicts) {
    const problem = isProxy
      ? "is not the proxy's, and database.proxy says that the host is one"
      : "is a proxy's, and database.proxy does not say that the host is one";
    const example = proxyId ?? (isProxy ? "prx-0123456789abcdef0" : RESOURCE_ID.example);
    const limit = "prx-... with a proxy, db-... or cluster-... without";
    faults.push({ key: "database.resourceId", value: resourceId, problem, limit, example });
  }
  return faults;
}

function networkFaults(network: NetworkSetting, purpose: Purpose): RuleFault[] {
  const { create, zones, vpcId, subnetIds, securityGroupId, databaseSecurityGroupId } = network;
  if (create === true && purpose === "component") return [madeByStack("network")];
  if (create === true) {
    const given = { vpcId, subnetIds, securityGroupId, databaseSecurityGroupId };
    return Object.entries(given)
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => ({
        key: `network.${key}`,
        value,
        problem: "belongs to an existing network, and network.create makes a new one",
        limit: "either an existing network or create",
        example: undefined,
      }));
  }
  const faults: RuleFault[] = [];
  if (zones !== undefined) {
    const problem = "is only for a network made with the stack";
    faults.push({
      key: "network.zones",
      value: zones,
      problem,
      limit: "with create: true",
      example: undefined,
    });
  }
  const isEmpty = vpcId === undefined && subnetIds === undefined;
  if (isEmpty && purpose === "local") return faults;
  if (isEmpty && purpose === "deploy") {
    const limit = "an existing network (vpcId, subnetIds, ...) or one made with the stack (create)";
    return [
      ...faults,
      missing("network", "is missing: the function has to reach the database", limit, { create: true }),
    ];
  }
  if (vpcId === undefined) faults.push(missing("network.vpcId", "is missing", VPC_ID.limit, VPC_ID.example));
  return [...faults, ...subnetFaults(subnetIds, purpose)];
}

function subnetFaults(subnetIds: string[] | undefined, purpose: Purpose): RuleFault[] {
  const key = "network.subnetIds";
  const two = [SUBNET_ID.example, "subnet-0fedcba9876543210"];
  const limit = "two subnets at least, in two availability zones";
  if (subnetIds === undefined) return [missing(key, "is missing", limit, two)];
  if (!Array.isArray(subnetIds)) return [];
  const fault = { key, value: subnetIds, limit, example: undefined };
  const second = (index: number) =>
    setCommand(purpose, `${key}[${index}]`, "<a second subnet in another zone>");
  const doubles = [...subnetIds.keys()].filter((index) => {
    const subnetId = subnetIds[index] ?? KNOWN_LATER;
    return subnetId !== KNOWN_LATER && subnetIds.indexOf(subnetId) < index;
  });
  if (doubles.length > 0) {
    const remedy = subnetIds.length === 2 ? second(1) : unsetItems(purpose, key, doubles);
    return [{ ...fault, problem: "names a subnet twice", remedy }];
  }
  if (subnetIds.length > MOST_SUBNETS) {
    const problem = `has ${subnetIds.length}, and a Lambda function stands in ${MOST_SUBNETS} at most`;
    const remedy = unsetItems(purpose, key, [...subnetIds.keys()].slice(MOST_SUBNETS));
    return [{ ...fault, problem, limit: `2 to ${MOST_SUBNETS} subnets`, remedy }];
  }
  if (subnetIds.length >= 2) return [];
  const problem = `has ${subnetIds.length}: the loss of one zone would stop the refresh`;
  return [
    subnetIds.length === 0 ? { ...fault, problem, example: two } : { ...fault, problem, remedy: second(1) },
  ];
}

function pairFaults(database: DatabaseSetting, network: NetworkSetting, purpose: Purpose): RuleFault[] {
  const isExisting = database.host !== undefined;
  if (isExisting && network.create === true) {
    const problem = "a new network does not reach an existing database";
    const limit = "the database's own network: vpcId, subnetIds, databaseSecurityGroupId";
    return [{ key: "network.create", value: true, problem, limit, example: false }];
  }
  const isOwnGroup = network.securityGroupId === undefined && network.vpcId !== undefined;
  if (purpose !== "local" && isExisting && isOwnGroup && network.databaseSecurityGroupId === undefined) {
    const problem = "is missing: the database's group must let the function in";
    return [
      missing("network.databaseSecurityGroupId", problem, SECURITY_GROUP_ID.limit, SECURITY_GROUP_ID.example),
    ];
  }
  if (network.secretsEndpoint === true && (database.auth ?? "iam") === "iam") {
    const problem = "is paid for by the hour and not used: auth is iam";
    return [
      { key: "network.secretsEndpoint", value: true, problem, limit: "only with secret", example: false },
    ];
  }
  return [];
}
