/** Databases that the internet reaches by a public range, and those that inherit their encryption. */
import assert from "node:assert/strict";
import { databaseExposure } from "../../policy/rules/databaseExposure";
import { TYPE } from "../../policy/resource";
import { advice, judge, refusals, unknown, type TestResource } from "./judge";

const group = (cidr: string, port = 5432): TestResource => ({
  type: TYPE.securityGroup,
  name: "guard",
  props: {
    id: "sg-db",
    name: "guard",
    ingress: [
      {
        [cidr.includes(":") ? "ipv6CidrBlocks" : "cidrBlocks"]: [cidr],
        fromPort: port,
        toPort: port,
        protocol: "tcp",
      },
    ],
  },
});

async function refused(resources: TestResource[], config = {}): Promise<string[]> {
  return refusals(await judge(databaseExposure, resources, { config }));
}

describe("database-exposure by address range", () => {
  const open = [
    "203.0.113.0/24",
    "54.0.0.0/8",
    "10.0.0.0/7",
    "172.32.0.0/16",
    "100.0.0.0/8",
    "192.168.0.0/15",
  ];
  for (const cidr of [
    ...open,
    "8.8.8.8/32",
    "2001:db8::/32",
    "f000::/4",
    "::ffff:10.0.0.0/104",
    "anything",
  ]) {
    it(`refuses ${cidr}`, async () => {
      const messages = await refused([group(cidr)]);
      assert.equal(messages.length, 1);
      assert.ok(messages[0]?.includes(`guard opens port 5432 to ${cidr}, which is no private range`));
    });
  }

  it("is content with private ranges and parts of them", async () => {
    const ranges = ["10.0.0.0/8", "10.20.30.0/24", "172.31.0.0/16", "192.168.1.7/32", "100.64.0.0/10"];
    for (const cidr of [...ranges, "fc00::/7", "fd12:3456::/48"]) {
      assert.deepEqual(await judge(databaseExposure, [group(cidr)]), [], cidr);
    }
  });

  it("judges every port of a database's group", async () => {
    const props = { engine: "postgres", storageEncrypted: true, vpcSecurityGroupIds: ["sg-db"] };
    const db = { type: TYPE.database, name: "db", props };
    assert.match((await refused([group("203.0.113.0/24", 22), db]))[0] ?? "", /opens ports 22 to 22/);
    assert.deepEqual(await refused([group("203.0.113.0/24", 22)]), []);
    assert.deepEqual(await refused([group("10.0.0.0/16", 22), db]), []);
  });

  it("takes the ranges that are allowed, and what lies inside them alone", async () => {
    const config = { allowedCidrs: ["203.0.113.0/24", "2001:db8::/32"] };
    for (const cidr of ["203.0.113.0/24", "203.0.113.128/25", "2001:db8:1::/48", "10.0.0.0/8"]) {
      assert.deepEqual(await refused([group(cidr)], config), [], cidr);
    }
    for (const cidr of ["203.0.112.0/23", "203.0.114.0/24", "2001:db9::/32"]) {
      assert.equal((await refused([group(cidr)], config)).length, 1, cidr);
    }
    await assert.rejects(refused([group("10.0.0.0/8")], { allowedCidrs: ["office"] }), (error: Error) =>
      /"office" in allowedCidrs/.test(JSON.stringify(error) + error.message),
    );
  });
});

describe("database-exposure of encryption that is inherited", () => {
  const heirs: [string, string, object][] = [
    ["an instance from a snapshot", TYPE.database, { engine: "postgres", snapshotIdentifier: "nightly" }],
    ["an instance from a snapshot, engine not named", TYPE.database, { snapshotIdentifier: "nightly" }],
    ["a replica", TYPE.database, { replicateSourceDb: "primary" }],
    ["an instance from a point in time", TYPE.database, { engine: "postgres", restoreToPointInTime: {} }],
    [
      "a cluster from a snapshot",
      TYPE.databaseCluster,
      { engine: "aurora-postgresql", snapshotIdentifier: "nightly" },
    ],
    [
      "a replicated cluster",
      TYPE.databaseCluster,
      { engine: "aurora-postgresql", replicationSourceIdentifier: "arn:aws:rds:us-east-1:1:cluster:c" },
    ],
  ];
  for (const [what, type, inputs] of heirs) {
    it(`judges ${what} at update, by what AWS answers`, async () => {
      const outputs = (props: object): TestResource => ({
        type,
        name: "db",
        inputs: { ...inputs },
        props: { engine: "aurora-postgresql", ...inputs, ...props },
      });
      for (const props of [{ arn: unknown }, { arn: unknown, storageEncrypted: unknown }]) {
        const said = await judge(databaseExposure, [outputs(props)]);
        assert.deepEqual(refusals(said), []);
        assert.deepEqual(advice(said).length, 1);
        assert.match(advice(said)[0] ?? "", /Judged at update: whether the storage of db is encrypted/);
      }
      const arn = "arn:aws:rds:us-east-1:123456789012:db:db";
      assert.deepEqual(await judge(databaseExposure, [outputs({ arn, storageEncrypted: true })]), []);
      for (const storageEncrypted of [false, undefined]) {
        const messages = await refused([outputs({ arn, storageEncrypted })]);
        assert.equal(messages.length, 1);
        assert.match(messages[0] ?? "", /The storage of database db is not encrypted/);
      }
      assert.deepEqual(await refused([outputs({ arn, storageEncrypted: false, engine: "mysql" })]), []);
    });
  }

  it("refuses at once what says that it is not encrypted", async () => {
    const props = { engine: "postgres", snapshotIdentifier: "nightly", storageEncrypted: false };
    assert.equal((await refused([{ type: TYPE.database, name: "db", props }])).length, 1);
  });
});
