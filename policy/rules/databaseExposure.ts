/** Rule: no database and no PostgreSQL port that is open to all. */
import { known, readFlag, readList, readNumber, readText, type Properties, type Reading } from "../reading";
import { TYPE, type SingleResource } from "../resource";
import { defineRule } from "../rule";
import type { Verdicts } from "../verdict";

/** A database that the internet reaches. */
export const databaseExposure = defineRule<{ databasePorts: number[] }>({
  name: "database-exposure",
  description:
    "PostgreSQL databases of the stack are private, and no security group opens their port to all.",
  remedy: "Set publiclyAccessible false; let security groups in by group, as the component does.",
  severity: "critical",
  schema: {
    databasePorts: {
      type: "array",
      items: { type: "integer", minimum: 1, maximum: 65_535 },
      default: [5_432],
      description: "Ports of PostgreSQL: no security group of the stack opens one of them to every address.",
    },
  },
  judgeResource(resource, { databasePorts }, verdicts) {
    const { type, name, props } = resource;
    if (type === TYPE.database || type === TYPE.clusterInstance) return judgeDatabase(resource, verdicts);
    const isRule = type === TYPE.securityGroupRule && known(readText(props, "type")) === "ingress";
    if (isRule || type === TYPE.ingressRule) judgeIngress(resource, [], databasePorts, verdicts);
    if (type !== TYPE.securityGroup) return;
    const ingress = readList(props, "ingress");
    if (ingress.state === "unknown") verdicts.judgedAtUpdate(`what ${name} lets in`);
    for (const index of (known(ingress) ?? []).keys()) {
      judgeIngress(resource, ["ingress", index], databasePorts, verdicts);
    }
  },
});

function judgeDatabase({ name, props }: SingleResource, verdicts: Verdicts): void {
  const engine = readText(props, "engine");
  const isPublic = readFlag(props, "publiclyAccessible");
  if (known(isPublic) === false || isPublic.state === "absent") return;
  if (engine.state === "known" && !/postgres/i.test(engine.value)) return;
  if (engine.state === "unknown" || isPublic.state === "unknown") {
    return verdicts.judgedAtUpdate(`whether ${name} is publicly accessible, and PostgreSQL`);
  }
  verdicts.refuse(`Database ${name} is publicly accessible. Set publiclyAccessible false.`);
}

const EVERY_ADDRESS = ["0.0.0.0/0", "::/0"];

/** Judges what one rule of a security group lets in; `at` is where the rule is in the resource. */
function judgeIngress(
  { name, props }: SingleResource,
  at: (string | number)[],
  databasePorts: number[],
  verdicts: Verdicts,
): void {
  const sources = sourcesOf(props, at);
  const open = sources.map(known).find((source) => source !== undefined && EVERY_ADDRESS.includes(source));
  const from = readNumber(props, ...at, "fromPort");
  const to = readNumber(props, ...at, "toPort");
  // Every protocol (-1) is every port, and its ports are written as 0 or left out.
  const protocol = known(readText(props, ...at, "ipProtocol")) ?? known(readText(props, ...at, "protocol"));
  const isAll = protocol === "-1" || protocol === "all" || from.state === "absent";
  const port = databasePorts.find(
    (candidate) => isAll || ((known(from) ?? 0) <= candidate && candidate <= (known(to) ?? 65_535)),
  );
  if (port === undefined) return;
  const undecided = open === undefined ? sources : [from, to];
  if (undecided.some(({ state }) => state === "unknown")) {
    verdicts.judgedAtUpdate(`whom ${name} lets in`);
  } else if (open !== undefined) {
    verdicts.refuse(
      `${name} opens port ${port} to ${open}. Let in the security group of who needs the database, or its own range.`,
    );
  }
}

function sourcesOf(props: Properties, at: (string | number)[]): Reading<string>[] {
  const lists = ["cidrBlocks", "ipv6CidrBlocks"].flatMap((list): Reading<string>[] => {
    const blocks = readList(props, ...at, list);
    if (blocks.state === "unknown") return [blocks];
    return [...(known(blocks) ?? []).keys()].map((index) => readText(props, ...at, list, index));
  });
  return [...lists, readText(props, ...at, "cidrIpv4"), readText(props, ...at, "cidrIpv6")];
}
