import assert from "node:assert/strict";
import { parseOffer, readRegion, readServerPrices, type RegionReading } from "../../cli/priceList";
import {
  fixtureCsvLines,
  fixtureOffers,
  fixtureOfferWith,
  fixtureOfferWithout,
  version,
} from "./priceListFixture";

function read(changed: Record<string, unknown> = {}, instanceClasses = ["db.t4g.micro"]): RegionReading {
  const offers = Object.values({ ...fixtureOffers(), ...changed }).map(parseOffer);
  return readRegion(offers, "us-west-2", instanceClasses);
}

async function* each(lines: string[]): AsyncGenerator<string> {
  for (const line of lines) yield await Promise.resolve(line);
}

describe("readRegion", () => {
  it("finds every price among its neighbours", () => {
    const { region, missing } = read({}, ["db.t4g.micro", "db.r8g.2xlarge"]);
    assert.deepEqual(missing, []);
    const usd = Object.fromEntries(Object.entries(region.prices).map(([id, price]) => [id, price.usd]));
    assert.deepEqual(usd, {
      lambdaArm64GbSecond: 0.0000133334,
      lambdaX86GbSecond: 0.0000166667,
      lambdaRequest: 0.0000002,
      sqsRequest: 0.0000004,
      alarmMetric: 0.1,
      highResolutionAlarmMetric: 0.3,
      compositeAlarm: 0.5,
      customMetric: 0.3,
      logIngestedGb: 0.5,
      logStoredGbMonth: 0.03,
      emailNotification: 0.00002,
      secretMonth: 0.4,
      secretCall: 0.000005,
      endpointZoneHour: 0.01,
      endpointDataGb: 0.01,
      publicIpv4Hour: 0.005,
      proxyVcpuHour: 0.015,
      databaseStorageGbMonth: 0.115,
    });
    assert.equal(region.databaseInstances["db.t4g.micro"]?.usd, 0.016);
    assert.equal(region.databaseInstances["db.r8g.2xlarge"]?.usd, 0.956);
  });

  it("says where each price was read and when it was published", () => {
    assert.deepEqual(read().region.prices.lambdaX86GbSecond, {
      usd: 0.0000166667,
      unit: "GB-second",
      source: `AWS price list AWSLambda ${version}, USW2-Lambda-GB-Second, SKU LAMX86`,
      date: "2026-11-01",
    });
  });

  it("reports what is not there instead of guessing it", () => {
    const { region, missing } = read(
      { AWSSecretsManager: fixtureOfferWithout("AWSSecretsManager", "SMSECRET") },
      ["db.t4g.micro", "db.x9.huge"],
    );
    assert.deepEqual(missing, ["secretMonth", "db.x9.huge"]);
    assert.equal(region.prices.secretMonth, undefined);
    assert.deepEqual(Object.keys(region.databaseInstances), ["db.t4g.micro"]);
  });

  it("takes Virginia's usage types with and without a prefix", () => {
    for (const usageType of ["CW:AlarmMonitorUsage", "USE1-CW:AlarmMonitorUsage"]) {
      const offer = parseOffer(
        JSON.parse(
          JSON.stringify(fixtureOffers()["AmazonCloudWatch"])
            .replace("USW2-CW:AlarmMonitorUsage", usageType)
            .replaceAll("us-west-2", "us-east-1"),
        ),
      );
      assert.equal(readRegion([offer], "us-east-1", []).region.prices.alarmMetric?.usd, 0.1);
    }
  });

  it("accepts two products at one price and refuses two prices", () => {
    const same = fixtureOfferWith("AmazonCloudWatch", "CWTWIN", "USW2-CW:AlarmMonitorUsage", "0.1000000000");
    assert.equal(read({ AmazonCloudWatch: same }).region.prices.alarmMetric?.usd, 0.1);
    const other = fixtureOfferWith("AmazonCloudWatch", "CWTWIN", "USW2-CW:AlarmMonitorUsage", "0.2000000000");
    assert.throws(
      () => read({ AmazonCloudWatch: other }),
      /two products for "CW:AlarmMonitorUsage".*CWALARM.*CWTWIN/,
    );
  });
});

describe("parseOffer", () => {
  it("names what is not in AWS's format", () => {
    assert.throws(() => parseOffer({ offerCode: "AWSLambda", products: {} }), /Not a price list.*version/s);
  });
});

describe("readServerPrices", () => {
  it("takes Linux on demand in the region itself, and the gp3 volume", async () => {
    const prices = await readServerPrices(each(fixtureCsvLines));
    assert.deepEqual(prices.t3MicroHour, {
      usd: 0.0104,
      unit: "hour",
      source: `AWS price list AmazonEC2 ${version}, USW2-BoxUsage:t3.micro, SKU EC2T3`,
      date: "2026-11-01",
    });
    assert.equal(prices.volumeGbMonth?.usd, 0.08);
  });

  it("stops reading once it has both", async () => {
    let read = 0;
    async function* counted() {
      for await (const line of each([...fixtureCsvLines, "not a line of this file", "nor this"])) {
        read += 1;
        yield line;
      }
    }
    await readServerPrices(counted());
    assert.equal(read, fixtureCsvLines.length);
  });

  it("leaves out what is not there", async () => {
    const prices = await readServerPrices(each(fixtureCsvLines.filter((line) => !line.includes("EC2T3"))));
    assert.deepEqual(Object.keys(prices), ["volumeGbMonth"]);
  });

  it("refuses a file without prices", async () => {
    const lines = fixtureCsvLines.map((line) => line.replace("PricePerUnit", "Amount"));
    await assert.rejects(readServerPrices(each(lines)), /no PricePerUnit column/);
  });
});
