import assert from "node:assert/strict";
import {
  databaseInstancePrice,
  parsePriceTable,
  priceOf,
  recordedPrices,
  type PriceTable,
} from "../../../components/cost/prices";

function copy(): PriceTable {
  return structuredClone(recordedPrices);
}

/** The regions most used. */
const mostUsed = [
  "us-east-1",
  "us-east-2",
  "us-west-2",
  "eu-west-1",
  "eu-west-2",
  "eu-central-1",
  "ap-southeast-1",
  "ap-southeast-2",
  "ap-northeast-1",
  "ap-south-1",
  "ca-central-1",
  "sa-east-1",
];

describe("the recorded prices", () => {
  for (const region of mostUsed) {
    it(`hold Lambda and SQS in ${region}`, () => {
      assert.equal(priceOf(recordedPrices, region, "lambdaX86GbSecond")?.usd, 0.0000166667);
      assert.equal(priceOf(recordedPrices, region, "lambdaArm64GbSecond")?.usd, 0.0000133334);
      assert.equal(priceOf(recordedPrices, region, "lambdaRequest")?.usd, 0.0000002);
      assert.equal(priceOf(recordedPrices, region, "sqsRequest")?.usd, 0.0000004);
      assert.equal(priceOf(recordedPrices, region, "dashboard")?.usd, 3);
    });
  }

  it("hold the free tiers the design was made with", () => {
    assert.equal(recordedPrices.freeTiers.lambdaX86GbSecond?.quantity, 400_000);
    assert.equal(recordedPrices.freeTiers.sqsRequest?.quantity, 1_000_000);
  });

  it("charge nothing for a scheduled rule, with a source", () => {
    const rule = priceOf(recordedPrices, "us-east-1", "scheduledRule");
    assert.equal(rule?.usd, 0);
    assert.equal(rule.source, "https://aws.amazon.com/eventbridge/pricing/");
  });
});

describe("a price that is not recorded", () => {
  it("is absent, worldwide ones of an unknown region included", () => {
    assert.equal(priceOf(recordedPrices, "eu-nowhere-1", "lambdaRequest"), undefined);
    assert.equal(priceOf(recordedPrices, "eu-nowhere-1", "dashboard"), undefined);
    assert.equal(databaseInstancePrice(recordedPrices, "us-east-1", "db.x9.huge"), undefined);
  });

  it("is not found on the object's prototype", () => {
    assert.equal(priceOf(recordedPrices, "constructor", "lambdaRequest"), undefined);
    assert.equal(databaseInstancePrice(recordedPrices, "us-east-1", "toString"), undefined);
  });

  it("is never taken from another region", () => {
    const table = copy();
    delete table.regions["us-west-2"]?.prices.secretMonth;
    assert.equal(priceOf(table, "us-west-2", "secretMonth"), undefined);
    assert.equal(priceOf(table, "us-east-1", "secretMonth")?.usd, 0.4);
  });
});

describe("parsePriceTable", () => {
  const faulty: [string, (table: PriceTable) => unknown, RegExp][] = [
    [
      "a price without a source",
      (table) => Reflect.deleteProperty(table.regions["us-east-1"]!.prices.sqsRequest!, "source"),
      /us-east-1.*prices\.sqsRequest\.source/,
    ],
    ["a price below zero", (table) => (table.worldwide.dashboard!.usd = -1), /worldwide\.dashboard\.usd/],
    [
      "a date that does not exist",
      (table) => (table.worldwide.dashboard!.date = "2026-13-01"),
      /worldwide\.dashboard\.date/,
    ],
    [
      "an unknown price",
      (table) => Object.assign(table.worldwide, { lunch: table.worldwide.dashboard }),
      /lunch/,
    ],
  ];
  for (const [what, spoil, message] of faulty) {
    it(`refuses ${what}`, () => {
      const table = copy();
      spoil(table);
      assert.throws(() => parsePriceTable(table), message);
    });
  }
});
