import { known, read, readFlag, readList, readNumber, readText, type Properties } from "../reading";
import { isCidr, isPrivateRange } from "../privateRanges";
import { refersTo, type StackFacts } from "../relations";
import { isOfOurComponents, TYPE, type Resource } from "../resource";
import { defineRule, PolicyConfigError, type SingleResource } from "../rule";
import type { Verdicts } from "../verdict";

interface ExposureConfig {
  databasePorts: number[];
  allowedCidrs: string[];
}

/** A database that the internet reaches, or whose disk can be read without a key. */
export const databaseExposure = defineRule<ExposureConfig>({
  name: "database-exposure",
  description:
    "Databases of the stack are private and encrypted; nobody on the internet reaches them or the function.",
  remedy:
    "Set publiclyAccessible false and storageEncrypted true; let security groups in by group or private range, as the component does.",
  severity: "critical",
  schema: {
    databasePorts: {
      type: "array",
      items: { type: "integer", minimum: 1, maximum: 65_535 },
      default: [5_432],
      description: "Ports of PostgreSQL: no security group of the stack opens one of them to a public range.",
    },
    allowedCidrs: {
      type: "array",
      items: { type: "string", minLength: 1 },
      default: [],
      description:
        "Public ranges that security groups may let in all the same, beside private ones: an office, for instance.",
    },
  },
  judgeResource(resource, { databasePorts, allowedCidrs }, verdicts) {
    checkRanges(allowedCidrs);
    judgeDatabase(resource, verdicts);
    for (const opening of openingsOf(resource, allowedCidrs, verdicts)) {
      const port = databasePorts.find((candidate) => opening.from <= candidate && candidate <= opening.to);
      if (port === undefined) continue;
      verdicts.refuse(`${resource.name} opens port ${port} to ${opening.source}, which is no private range.`);
    }
  },
  judgeStack(facts, { databasePorts, allowedCidrs }, verdicts) {
    for (const resource of facts.ofType(TYPE.database, TYPE.databaseCluster)) {
      judgeInherited(resource, verdicts);
    }
    const guarded = guardedGroups(facts);
    const silent: Verdicts = { ...verdicts, judgedAtUpdate: () => undefined };
    for (const resource of facts.ofType(TYPE.securityGroup, TYPE.securityGroupRule, TYPE.ingressRule)) {
      const isGuarded =
        guarded.includes(resource) ||
        guarded.some((group) => refersTo(resource, ["securityGroupId"], group) === "yes");
      if (!isGuarded) continue;
      // What a preview does not know of a group was said when the group itself was judged.
      for (const { from, to, source } of openingsOf(resource, allowedCidrs, silent)) {
        if (databasePorts.some((port) => from <= port && port <= to)) continue;
        verdicts.refuse(
          `${resource.name} opens ports ${from} to ${to} of a security group of the refresh or its database to ` +
            `${source}, which is no private range.`,
          resource.urn,
        );
      }
    }
  },
});

function checkRanges(allowedCidrs: string[]): void {
  const wrong = allowedCidrs.find((cidr) => !isCidr(cidr));
  if (wrong === undefined) return;
  throw new PolicyConfigError(
    `"${wrong}" in allowedCidrs of database-exposure is no range, such as 203.0.113.0/24.`,
  );
}

/** Security groups of refresh functions, of PostgreSQL databases and of proxies. */
function guardedGroups(facts: StackFacts): Resource[] {
  const holders: [Resource, (string | number)[]][] = [
    ...facts.functions.map(({ resource }): [Resource, string[]] => [
      resource,
      ["vpcConfig", "securityGroupIds"],
    ]),
    ...facts
      .ofType(TYPE.database, TYPE.databaseCluster, TYPE.proxy)
      .map((resource): [Resource, string[]] => [resource, ["vpcSecurityGroupIds"]]),
  ];
  return facts
    .ofType(TYPE.securityGroup)
    .filter(
      (group) => isOfOurComponents(group.urn) || holders.some(([holder, path]) => holds(holder, path, group)),
    );
}

function holds(holder: Resource, path: (string | number)[], group: Resource): boolean {
  const ids = readList(holder.props, ...path);
  if (ids.state === "known") {
    return ids.value.some((_, index) => refersTo(holder, [...path, index], group) === "yes");
  }
  const sources = holder.propertyDependencies[String(path[0])] ?? [];
  return ids.state === "unknown" && sources.some(({ urn }) => urn === group.urn);
}

function judgeDatabase({ type, name, props }: SingleResource, verdicts: Verdicts): void {
  const isInstance = type === TYPE.database || type === TYPE.clusterInstance;
  if (!isInstance && type !== TYPE.databaseCluster) return;
  const engine = readText(props, "engine");
  if (engine.state === "unknown") return verdicts.judgedAtUpdate(`whether ${name} is PostgreSQL`);
  // What is made from a source takes its engine and its encryption from there.
  const isHeir = inherits(props);
  if (!isPostgres(props) && !(isHeir && engine.state === "absent")) return;
  if (isInstance) judgePublic(name, props, verdicts);
  if (type === TYPE.clusterInstance) return;
  const encrypted = readFlag(props, "storageEncrypted");
  // What it takes from its source shows in the outputs; a replica's own setting is ignored.
  if (isHeir && (encrypted.state === "absent" || isReplica(props))) return;
  if (encrypted.state === "unknown") verdicts.judgedAtUpdate(`whether the storage of ${name} is encrypted`);
  else if (known(encrypted) !== true) verdicts.refuse(`The storage of database ${name} is not encrypted.`);
}

/** What AWS made of a database that says nothing of its encryption itself; a preview does not know it. */
function judgeInherited({ name, props, urn }: Resource, verdicts: Verdicts): void {
  const engine = readText(props, "engine");
  if (!inherits(props) || (engine.state === "known" && !isPostgres(props))) return;
  if (known(readFlag(props, "storageEncrypted")) === true) return;
  const isMade = readText(props, "arn").state === "known";
  if (!isMade) return verdicts.judgedAtUpdate(`whether the storage of ${name} is encrypted`, urn);
  verdicts.refuse(`The storage of database ${name} is not encrypted, nor is what it was made from.`, urn);
}

function isPostgres(props: Properties): boolean {
  return /postgres/i.test(known(readText(props, "engine")) ?? "");
}

function isReplica(props: Properties): boolean {
  return ["replicateSourceDb", "replicationSourceIdentifier"].some((source) => isGiven(props, source));
}

/** Whether a database is made from another one or from a snapshot. */
function inherits(props: Properties): boolean {
  return (
    isReplica(props) ||
    ["snapshotIdentifier", "restoreToPointInTime"].some((source) => isGiven(props, source))
  );
}

function isGiven(props: Properties, name: string): boolean {
  const reading = read(props, name);
  return reading.state === "unknown" || (reading.state === "known" && reading.value !== "");
}

function judgePublic(name: string, props: Properties, verdicts: Verdicts): void {
  const isPublic = readFlag(props, "publiclyAccessible");
  if (isPublic.state === "unknown") verdicts.judgedAtUpdate(`whether ${name} is publicly accessible`);
  else if (known(isPublic) === true) verdicts.refuse(`Database ${name} is publicly accessible.`);
}

/** Ports that a public range reaches. */
interface Opening {
  from: number;
  to: number;
  source: string;
}

/** What a security group, or a rule of one, opens to public ranges. */
function openingsOf(
  { type, name, props }: SingleResource,
  allowedCidrs: string[],
  verdicts: Verdicts,
): Opening[] {
  if (type === TYPE.securityGroup) {
    const ingress = readList(props, "ingress");
    if (ingress.state === "unknown") verdicts.judgedAtUpdate(`what ${name} lets in`);
    const rules = [...(known(ingress) ?? []).keys()];
    return rules.flatMap((index) => openings(name, props, ["ingress", index], allowedCidrs, verdicts));
  }
  if (type === TYPE.securityGroupRule && known(readText(props, "type")) === "ingress") {
    return openings(name, props, [], allowedCidrs, verdicts);
  }
  return type === TYPE.ingressRule ? openings(name, props, [], allowedCidrs, verdicts) : [];
}

function openings(
  name: string,
  props: Properties,
  at: (string | number)[],
  allowedCidrs: string[],
  verdicts: Verdicts,
): Opening[] {
  const sources = [readText(props, ...at, "cidrIpv4"), readText(props, ...at, "cidrIpv6")];
  for (const list of ["cidrBlocks", "ipv6CidrBlocks"]) {
    const blocks = readList(props, ...at, list);
    if (blocks.state === "unknown") sources.push(blocks);
    const count = known(blocks)?.length ?? 0;
    for (let index = 0; index < count; index += 1) sources.push(readText(props, ...at, list, index));
  }
  const from = readNumber(props, ...at, "fromPort");
  const to = readNumber(props, ...at, "toPort");
  const open = sources.flatMap((source) =>
    source.state === "known" && !isPrivateRange(source.value, allowedCidrs) ? [source.value] : [],
  );
  const isUnknown = sources.some(({ state }) => state === "unknown");
  if (isUnknown || (open.length > 0 && (from.state === "unknown" || to.state === "unknown"))) {
    verdicts.judgedAtUpdate(`whom ${name} lets in`);
    return [];
  }
  // Every protocol (-1) is every port, and its ports are written as 0 or left out.
  const protocol = known(readText(props, ...at, "ipProtocol")) ?? known(readText(props, ...at, "protocol"));
  const isAll = protocol === "-1" || protocol === "all" || from.state === "absent";
  const ports = isAll ? { from: 0, to: 65_535 } : { from: known(from) ?? 0, to: known(to) ?? 65_535 };
  return open.map((source) => ({ ...ports, source }));
}
