import assert from "node:assert/strict";
import { copyFile, mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pricesCommand } from "../../cli/prices";
import { parsePriceTable, type PriceTable } from "../../components/cost/prices";
import { runCommand, type CommandRun } from "./commandRun";

/** A product of a price list: usage type, price tiers in US dollars by first unit, and further attributes. */
type Product = [usagetype: string, tiers: Record<string, string>, more?: Record<string, string>];

const sql = { databaseEngine: "PostgreSQL", deploymentOption: "Single-AZ" };
const instance = { ...sql, productFamily: "Database Instance" };
const standardQueue = { productFamily: "API Request", queueType: "Standard" };

/** Ireland's list, with the neighbours that a careless rule would take for the wanted product. */
const ireland: Record<string, Product[]> = {
  AWSLambda: [
    ["EU-Lambda-GB-Second", { "15000000000": "0.0000133334", "0": "0.0000166667", "6000000000": "0.000015" }],
    ["EU-Lambda-GB-Second-ARM", { "0": "0.0000133334" }],
    ["EU-Request", { "0": "0.0000002" }],
    ["EU-Request-ARM", { "0": "0.00000025" }],
  ],
  AWSQueueService: [
    ["EU-Requests-Tier1", { "0": "0.0000004" }, standardQueue],
    ["EU-Requests-FIFO-Tier1", { "0": "0.0000005" }, { ...standardQueue, queueType: "FIFO" }],
    ["Global-Requests", { "0": "0.0000003" }, { ...standardQueue, regionCode: "" }],
  ],
  AmazonCloudWatch: [
    ["EU-CW:AlarmMonitorUsage", { "0": "0.1" }],
    ["EU-DataProcessing-Bytes", { "0": "0", "5": "0.57" }],
  ],
  AWSSecretsManager: [],
  AmazonVPC: [
    ["EU-VpcEndpoint-Hours", { "0": "0.011" }],
    ["EU-DUB1-VpcEndpoint-Hours", { "0": "0.012" }, { regionCode: "eu-west-1-dub-1" }],
  ],
  AmazonRDS: [
    ["EU-RDS:GP3-Storage", { "0": "0.127" }, sql],
    ["EU-RDS:GP3-Storage", { "0": "0.128" }, { ...sql, databaseEngine: "MySQL" }],
    ["EU-InstanceUsage:db.t4g.micro", { "0": "0.017" }, { ...instance, instanceType: "db.t4g.micro" }],
    ["EU-InstanceUsage:db.r8g.2xl", { "0": "1.05" }, { ...instance, instanceType: "db.r8g.2xlarge" }],
    [
      "EU-Multi-AZUsage:db.t4g.micro",
      { "0": "0.034" },
      { ...instance, instanceType: "db.t4g.micro", deploymentOption: "Multi-AZ" },
    ],
  ],
};

/** A service's list as AWS publishes it; each product's SKU is its number. */
function offerOf(products: Product[]): unknown {
  const skus = products.map(([usagetype, , { productFamily, ...more } = {}], sku) => {
    return [sku, { productFamily, attributes: { regionCode: "eu-west-1", usagetype, ...more } }];
  });
  const terms = products.map(([, tiers], sku) => {
    const dimensions = Object.entries(tiers).map(([beginRange, USD]) => ({
      beginRange,
      pricePerUnit: { USD },
    }));
    return [sku, { term: { priceDimensions: { ...dimensions } } }];
  });
  const OnDemand: unknown = Object.fromEntries(terms);
  const dated = { version: "20261101", publicationDate: "2026-11-01T08:30:00Z" };
  return { ...dated, products: Object.fromEntries(skus) as unknown, terms: { OnDemand } };
}

describe("prices --rebuild", () => {
  let folder: string;
  let table: string;
  let server: Server;
  let offers: Record<string, unknown>;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "prices-"));
    table = join(folder, "priceTable.json");
    await copyFile(join(__dirname, "..", "..", "components", "cost", "priceTable.json"), table);
    offers = Object.fromEntries(
      Object.entries(ireland).map(([service, products]) => [service, offerOf(products)]),
    );
    server = createServer(({ url = "" }, response) => {
      const [, service = ""] =
        /^\/offers\/v1\.0\/aws\/(\w+)\/current\/eu-west-1\/index\.json$/.exec(url) ?? [];
      response.writeHead(service in offers ? 200 : 403).end(JSON.stringify(offers[service]));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  });

  afterEach(async () => {
    server.close();
    await rm(folder, { recursive: true });
  });

  function rebuild(...more: string[]): Promise<CommandRun> {
    const list = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const args = ["--rebuild", "--region", "eu-west-1", "--price-list", list, "--table", table];
    return runCommand(pricesCommand(), ...args, ...more);
  }

  async function readTable(): Promise<PriceTable> {
    return parsePriceTable(JSON.parse(await readFile(table, "utf8")));
  }

  it("renews a region, each price from the right product, and leaves the rest of the table alone", async () => {
    const before = await readTable();
    delete before.regions["eu-west-1"];
    const run = await rebuild("--instance-class", "db.r8g.2xlarge");
    assert.equal(run.exitCode, 0, run.error);
    const { regions, ...others } = await readTable();
    const { "eu-west-1": added, ...recorded } = regions;
    assert.deepEqual({ ...others, regions: recorded }, before);
    const usd = Object.entries({ ...added?.prices, ...added?.databaseInstances }).map(([id, price]) => [
      id,
      price.usd,
    ]);
    assert.deepEqual(Object.fromEntries(usd), {
      lambdaArm64GbSecond: 0.0000133334,
      lambdaX86GbSecond: 0.0000166667,
      lambdaRequest: 0.0000002,
      sqsRequest: 0.0000004,
      alarmMetric: 0.1,
      logIngestedGb: 0.57,
      endpointZoneHour: 0.011,
      databaseStorageGbMonth: 0.127,
      "db.t4g.micro": 0.017,
      "db.r8g.2xlarge": 1.05,
    });
    const { source, date } = added!.prices.lambdaX86GbSecond!;
    assert.equal(source, "AWS price list AWSLambda 20261101, EU-Lambda-GB-Second, SKU 0");
    assert.equal(date, "2026-11-01");
    assert.match(run.error, /^not in the list of eu-west-1: secretMonth$/m);
  });

  const refusals: [string, () => string[] | void, RegExp][] = [
    [
      "the list lacks Lambda's price",
      () => void (offers["AWSLambda"] = offerOf(ireland["AWSLambda"]!.slice(2))),
      /no lambdaArm64GbSecond, lambdaX86GbSecond: its form may have changed/,
    ],
    [
      "two products fit at different prices",
      () => void (offers["AWSLambda"] = offerOf([...ireland["AWSLambda"]!, ["EU-Request", { "0": "0.3" }]])),
      /AWSLambda has products at different prices .*EU-Request, SKU 2 at 2e-7; EU-Request, SKU 4 at 0\.3/,
    ],
    ["there is no such region", () => ["--region", "mars-1"], /Cannot read .*mars-1.*HTTP 403/],
    ["a file is not a price list", () => void (offers["AWSLambda"] = {}), /not a price list in AWS's format/],
    [
      "nothing answers",
      () => ["--price-list", "http://127.0.0.1:1"],
      /Cannot read http:\/\/127\.0\.0\.1:1\/offers/,
    ],
  ];
  for (const [reason, spoil, message] of refusals) {
    it(`ends with 1 and leaves the table as it was when ${reason}`, async () => {
      const before = await readFile(table, "utf8");
      const run = await rebuild(...(spoil() ?? []));
      assert.equal(run.exitCode, 1);
      assert.match(run.error, message);
      assert.equal(await readFile(table, "utf8"), before);
    });
  }
});
