import { known, readFlag, readList, readNumber, readText, type Properties } from "../reading";
import { refersTo, type StackFacts } from "../relations";
import { isOfOurComponents, TYPE, type Resource } from "../resource";
import { defineRule, type SingleResource } from "../rule";
import type { Verdicts } from "../verdict";

interface ExposureConfig {
  databasePorts: number[];
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
      description: "Ports of PostgreSQL: no security group of the stack opens one of them to the internet.",
    },
  },
  judgeResource(resource, { databasePorts }, verdicts) {
    judgeDatabase(resource, verdicts);
    for (const opening of openingsOf(resource, verdicts)) {
      const port = databasePorts.find((candidate) => opening.from <= candidate && candidate <= opening.to);
      if (port === undefined) continue;
      verdicts.refuse(`${resource.name} opens port ${port} to ${opening.source}, which is the internet.`);
    }
  },
  judgeStack(facts, { databasePorts }, verdicts) {
    const guarded = guardedGroups(facts);
    const silent: Verdicts = { ...verdicts, judgedAtUpdate: () => undefined };
    for (const resource of facts.ofType(TYPE.securityGroup, TYPE.securityGroupRule, TYPE.ingressRule)) {
      const isGuarded =
        guarded.includes(resource) ||
        guarded.some((group) => refersTo(resource, ["securityGroupId"], group) === "yes");
      if (!isGuarded) continue;
      // What a preview does not know of a group was said when the group itself was judged.
      for (const { from, to, source } of openingsOf(resource, silent)) {
        if (databasePorts.some((port) => from <= port && port <= to)) continue;
        verdicts.refuse(
          `${resource.name} opens ports ${from} to ${to} of a security group of the refresh or its database to ` +
            `${source}, which is the internet.`,
          resource.urn,
        );
      }
    }
  },
});

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
  // A replica takes its engine and its encryption from its source.
  const isReplica = readText(props, "replicateSourceDb").state !== "absent";
  if (!isReplica && !/postgres/i.test(known(engine) ?? "")) return;
  if (isInstance) judgePublic(name, props, verdicts);
  if (type === TYPE.clusterInstance || isReplica) return;
  const encrypted = readFlag(props, "storageEncrypted");
  if (encrypted.state === "unknown") verdicts.judgedAtUpdate(`whether the storage of ${name} is encrypted`);
  else if (known(encrypted) !== true) verdicts.refuse(`The storage of database ${name} is not encrypted.`);
}

function judgePublic(name: string, props: Properties, verdicts: Verdicts): void {
  const isPublic = readFlag(props, "publiclyAccessible");
  if (isPublic.state === "unknown") verdicts.judgedAtUpdate(`whether ${name} is publicly accessible`);
  else if (known(isPublic) === true) verdicts.refuse(`Database ${name} is publicly accessible.`);
}

/** Ports that the internet reaches. */
interface Opening {
  from: number;
  to: number;
  source: string;
}

/** What a security group, or a rule of one, opens to the internet. */
function openingsOf({ type, name, props }: SingleResource, verdicts: Verdicts): Opening[] {
  if (type === TYPE.securityGroup) {
    const ingress = readList(props, "ingress");
    if (ingress.state === "unknown") verdicts.judgedAtUpdate(`what ${name} lets in`);
    const rules = [...(known(ingress) ?? []).keys()];
    return rules.flatMap((index) => openings(name, props, ["ingress", index], verdicts));
  }
  if (type === TYPE.securityGroupRule && known(readText(props, "type")) === "ingress") {
    return openings(name, props, [], verdicts);
  }
  return type === TYPE.ingressRule ? openings(name, props, [], verdicts) : [];
}

function openings(name: string, props: Properties, at: (string | number)[], verdicts: Verdicts): Opening[] {
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
    source.state === "known" && isInternet(source.value) ? [source.value] : [],
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

/** Ranges so wide that no private network has them; two halves of the internet are as open as the whole. */
function isInternet(cidr: string): boolean {
  const bits = Number(cidr.split("/")[1] ?? 128);
  return bits < (cidr.includes(":") ? 16 : 8);
}
