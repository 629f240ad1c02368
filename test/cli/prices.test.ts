import assert from "node:assert/strict";
import { copyFile, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pricesCommand } from "../../cli/prices";
import { parsePriceTable, type PriceTable } from "../../components/cost/prices";
import { runCommand } from "./commandRun";
import {
  fixtureOffers,
  fixtureOfferWithout,
  servePriceList,
  version,
  type FixtureServer,
} from "./priceListFixture";

const recordedTable = join(__dirname, "..", "..", "components", "cost", "priceTable.json");

describe("prices", () => {
  let folder: string;
  let table: string;
  let server: FixtureServer | undefined;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "prices-"));
    table = join(folder, "priceTable.json");
    await copyFile(recordedTable, table);
  });

  afterEach(async () => {
    await server?.close();
    server = undefined;
    await rm(folder, { recursive: true });
  });

  async function serve(changed: Record<string, unknown> = {}): Promise<string[]> {
    server = await servePriceList({ ...fixtureOffers(), ...changed });
    return ["--table", table, "--price-list", server.url, "--rebuild", "--region", "us-west-2"];
  }

  async function readTable(): Promise<PriceTable> {
    return parsePriceTable(JSON.parse(await readFile(table, "utf8")));
  }

  it("shows every price with its source, small ones in full", async () => {
    const run = await runCommand(pricesCommand(), "--region", "us-east-1");
    assert.equal(run.exitCode, 0, run.error);
    assert.match(
      run.out,
      /^lambdaX86GbSecond +\$0\.0000166667 +GB-second +2026-11-23 +https:\/\/aws\.amazon\.com/m,
    );
    assert.match(run.out, /^dashboard +\$3\.00 +dashboard-month/m);
    assert.match(run.out, /^db\.t4g\.micro +\$0\.016 +hour/m);
  });

  it("prints a region as JSON", async () => {
    const run = await runCommand(pricesCommand(), "--region", "us-west-2", "--json");
    assert.deepEqual(JSON.parse(run.out), (await readTable()).regions["us-west-2"]);
  });

  it("ends with 1 and the known regions for one it does not know", async () => {
    const run = await runCommand(pricesCommand(), "--region", "mars-1");
    assert.equal(run.exitCode, 1);
    assert.match(run.error, /region "mars-1".*us-east-1, us-west-2/s);
    assert.equal(run.out, "");
  });

  it("rebuilds a region from a price list and leaves the rest of the table alone", async () => {
    const before = await readTable();
    const run = await runCommand(pricesCommand(), ...(await serve()), "--instance-class", "db.r8g.2xlarge");
    assert.equal(run.exitCode, 0, run.error);
    const after = await readTable();
    const rebuilt = after.regions["us-west-2"];
    assert.equal(rebuilt?.prices.t3MicroHour?.usd, 0.0104);
    assert.equal(rebuilt?.prices.emailNotification?.usd, 0.00002);
    assert.deepEqual(Object.keys(rebuilt?.databaseInstances ?? {}), ["db.t4g.micro", "db.r8g.2xlarge"]);
    assert.deepEqual(after.regions["us-east-1"], before.regions["us-east-1"]);
    assert.deepEqual(after.freeTiers, before.freeTiers);
    assert.match(run.error, /not in the list of us-west-2: db\.t4g\.small/);
    assert.ok(server?.requests.includes(`/offers/v1.0/aws/AmazonEC2/${version}/us-west-2/index.csv`));
  });

  it("adds a region that was not there", async () => {
    const before = await readTable();
    delete before.regions["us-west-2"];
    const { writeFile } = await import("node:fs/promises");
    await writeFile(table, JSON.stringify(before));
    const run = await runCommand(pricesCommand(), ...(await serve()));
    assert.equal(run.exitCode, 0, run.error);
    assert.deepEqual(Object.keys((await readTable()).regions), ["us-east-1", "us-west-2"]);
  });

  const refusals: [string, () => Promise<string[]>, RegExp][] = [
    [
      "the list lacks Lambda's price",
      () => serve({ AWSLambda: fixtureOfferWithout("AWSLambda", "LAMARM") }),
      /no lambdaArm64GbSecond.*unchanged/,
    ],
    [
      "the list has no such region",
      async () => [...(await serve()), "--region", "eu-west-1"],
      /no prices for region "eu-west-1"\. It has: us-west-2/,
    ],
    ["a file is not a price list", () => serve({ AWSLambda: { hello: "world" } }), /Not a price list/],
    [
      "nothing answers",
      async () => {
        const args = await serve();
        await server?.close();
        server = undefined;
        return args;
      },
      /Cannot read http:\/\/127\.0\.0\.1:\d+\/offers.*ECONNREFUSED/,
    ],
  ];
  for (const [reason, args, message] of refusals) {
    it(`ends with 1 and leaves the table as it was when ${reason}`, async () => {
      const before = await readFile(table, "utf8");
      const run = await runCommand(pricesCommand(), ...(await args()));
      assert.equal(run.exitCode, 1);
      assert.match(run.error, message);
      assert.equal(await readFile(table, "utf8"), before);
    });
  }
});
