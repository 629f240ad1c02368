import assert from "node:assert/strict";
import fc from "fast-check";
import {
  estimateMonthlyCost,
  pricedLines,
  unpricedLines,
  type CostEstimate,
  type CostUsage,
} from "../../../components/cost/cost";
import { recordedPrices } from "../../../components/cost/prices";

/** README's example: every minute, 256 MB, a second. */
const example: CostUsage = {
  region: "us-east-1",
  architecture: "x86_64",
  memoryMb: 256,
  invocationsPerMonth: 43_200,
  averageDurationSeconds: 1,
};

/** Every count a usage can hold, so that each property below is shown for all of them. */
const counts = [
  "memoryMb",
  "invocationsPerMonth",
  "averageDurationSeconds",
  "coldStartsPerMonth",
  "coldStartSeconds",
  "queues",
  "queueMessagesPerMonth",
  "alarmMetrics",
  "dashboards",
  "customMetrics",
  "logBytesPerInvocation",
  "logRetentionDays",
  "secrets",
  "secretCallsPerMonth",
  "endpointZones",
  "proxyVcpus",
] as const satisfies readonly (keyof CostUsage)[];

const usages: fc.Arbitrary<CostUsage> = fc.record({
  region: fc.constant("us-east-1"),
  architecture: fc.constantFrom("arm64", "x86_64"),
  memoryMb: fc.integer({ min: 128, max: 10_240 }),
  invocationsPerMonth: fc.integer({ min: 0, max: 3_000_000 }),
  averageDurationSeconds: fc.double({ min: 0, max: 900, noNaN: true }),
  coldStartsPerMonth: fc.integer({ min: 0, max: 50_000 }),
  coldStartSeconds: fc.double({ min: 0, max: 10, noNaN: true }),
  queues: fc.integer({ min: 0, max: 4 }),
  queueMessagesPerMonth: fc.integer({ min: 0, max: 2_000_000 }),
  alarmMetrics: fc.integer({ min: 0, max: 30 }),
  dashboards: fc.integer({ min: 0, max: 5 }),
  customMetrics: fc.integer({ min: 0, max: 50 }),
  logBytesPerInvocation: fc.integer({ min: 0, max: 100_000 }),
  logRetentionDays: fc.integer({ min: 0, max: 3653 }),
  secrets: fc.integer({ min: 0, max: 3 }),
  secretCallsPerMonth: fc.integer({ min: 0, max: 300_000 }),
  endpointZones: fc.integer({ min: 0, max: 3 }),
  proxyVcpus: fc.integer({ min: 0, max: 8 }),
  database: fc.option(
    fc.record({
      instanceClass: fc.constantFrom("db.t4g.micro", "db.t4g.small", "db.t4g.medium", "db.t3.micro"),
      storageGb: fc.integer({ min: 20, max: 1000 }),
    }),
    { nil: undefined },
  ),
});

function estimate(usage: Partial<CostUsage>): CostEstimate {
  return estimateMonthlyCost({ ...example, ...usage }, recordedPrices);
}

function line(result: CostEstimate, id: string) {
  const found = pricedLines(result.lines).find((one) => one.id === id);
  assert.ok(found, `no line ${id} in ${result.lines.map((one) => one.id).join(", ")}`);
  return found;
}

function lambdaUsd(result: CostEstimate): number {
  return line(result, "lambda-compute").monthlyUsd + line(result, "lambda-requests").monthlyUsd;
}

/** Equal but for the rounding of binary fractions. */
function assertClose(actual: number, expected: number): void {
  assert.ok(
    Math.abs(actual - expected) <= 1e-9 * Math.max(1, Math.abs(expected)),
    `${actual} is not ${expected}`,
  );
}

describe("estimateMonthlyCost", () => {
  it("comes to $0.19 of Lambda for README's example on x86, $0.15 on arm64, nothing in the free tier", () => {
    assertClose(lambdaUsd(estimate({})), 43_200 * 0.25 * 0.0000166667 + 43_200 * 0.0000002);
    assert.equal(lambdaUsd(estimate({})).toFixed(2), "0.19");
    assert.equal(lambdaUsd(estimate({ architecture: "arm64" })).toFixed(2), "0.15");
    assert.equal(estimate({}).totalWithFreeTierUsd, 0);
  });

  it("lists the schedule's rule at nothing and leaves out what is not used", () => {
    const result = estimate({});
    assert.deepEqual(
      result.lines.map(({ id }) => id),
      ["lambda-compute", "lambda-requests", "schedule"],
    );
    assert.equal(line(result, "schedule").monthlyUsd, 0);
  });

  it("counts 648,000 idle polls a queue and shares one free million with the messages", () => {
    const result = estimate({ queues: 2, queueMessagesPerMonth: 86_400 });
    const idle = line(result, "sqs-idle-polling");
    const messages = line(result, "sqs-messages");
    assert.equal(idle.quantity, 1_296_000);
    assert.equal(messages.quantity, 3 * 86_400);
    assert.equal(idle.freeQuantity + messages.freeQuantity, 1_000_000);
    assertClose(
      idle.monthlyWithFreeTierUsd + messages.monthlyWithFreeTierUsd,
      (296_000 + 259_200) * 0.0000004,
    );
  });

  it("prices one queue's idle polling at $0.26", () => {
    assert.equal(line(estimate({ queues: 1 }), "sqs-idle-polling").monthlyUsd.toFixed(2), "0.26");
  });

  it("bills a proxy for two vCPUs at least: $21.90", () => {
    assertClose(line(estimate({ proxyVcpus: 1 }), "database-proxy").monthlyUsd, 21.9);
    assertClose(line(estimate({ proxyVcpus: 4 }), "database-proxy").monthlyUsd, 43.8);
  });

  it("bills the interface endpoint per zone and hour, and only with an endpoint its data", () => {
    const result = estimate({ endpointZones: 2, secrets: 1, secretCallsPerMonth: 43_200 });
    assertClose(line(result, "endpoint-hours").monthlyUsd, 14.6);
    assert.equal(line(result, "secrets").monthlyUsd, 0.4);
    assertClose(line(result, "secret-calls").monthlyUsd, 0.216);
    assert.ok(line(result, "endpoint-data").monthlyUsd > 0);
    assert.ok(!estimate({ secretCallsPerMonth: 43_200 }).lines.some(({ id }) => id === "endpoint-data"));
  });

  it("frees ten alarm metrics, ten custom metrics and three dashboards", () => {
    const result = estimate({ alarmMetrics: 12, customMetrics: 15, dashboards: 4 });
    assertClose(line(result, "alarms").monthlyWithFreeTierUsd, 0.2);
    assertClose(line(result, "custom-metrics").monthlyWithFreeTierUsd, 1.5);
    assertClose(line(result, "dashboard").monthlyWithFreeTierUsd, 3);
    assertClose(line(result, "dashboard").monthlyUsd, 12);
  });

  it("keeps logs for their retention, so twice the days cost twice the storage", () => {
    const days = (logRetentionDays: number) =>
      line(estimate({ logBytesPerInvocation: 1024 ** 2, logRetentionDays }), "logs-stored");
    assertClose(days(30).quantity, (43_200 * 1024 ** 2) / 1024 ** 3);
    assertClose(days(60).monthlyUsd, 2 * days(30).monthlyUsd);
  });

  it("bills cold starts like runs", () => {
    const result = estimate({ coldStartsPerMonth: 720, coldStartSeconds: 0.5 });
    assert.equal(line(result, "lambda-cold-starts").quantity, 720 * 0.5 * 0.25);
  });

  it("gives every line its price, source and date", () => {
    fc.assert(
      fc.property(usages, (usage) => {
        const result = estimateMonthlyCost(usage, recordedPrices);
        assert.equal(result.isLowerBound, false);
        assert.equal(result.missingPrices, undefined);
        for (const one of pricedLines(result.lines)) {
          assert.match(one.source, /^https:\/\/|^AWS price list/);
          assert.match(one.date, /^20\d\d-\d\d-\d\d$/);
          assert.equal(one.monthlyUsd, one.quantity * one.unitPriceUsd);
        }
      }),
    );
  });

  it("has lines that sum to both totals, and a free tier that never costs or exceeds what is used", () => {
    fc.assert(
      fc.property(usages, (usage) => {
        const result = estimateMonthlyCost(usage, recordedPrices);
        let usd = 0;
        let withFreeTierUsd = 0;
        for (const one of pricedLines(result.lines)) {
          usd += one.monthlyUsd;
          withFreeTierUsd += one.monthlyWithFreeTierUsd;
          assert.ok(one.freeQuantity >= 0 && one.freeQuantity <= one.quantity, one.id);
          assert.ok(one.monthlyWithFreeTierUsd >= 0 && one.monthlyWithFreeTierUsd <= one.monthlyUsd, one.id);
        }
        assertClose(result.totalUsd, usd);
        assertClose(result.totalWithFreeTierUsd, withFreeTierUsd);
        assert.equal(new Set(result.lines.map(({ id }) => id)).size, result.lines.length);
      }),
    );
  });

  it("never gets cheaper when more of anything is used", () => {
    fc.assert(
      fc.property(
        usages,
        fc.constantFrom(...counts),
        fc.integer({ min: 1, max: 100_000 }),
        (usage, count, more) => {
          const before = estimateMonthlyCost(usage, recordedPrices);
          const after = estimateMonthlyCost(
            { ...usage, [count]: (usage[count] ?? 0) + more },
            recordedPrices,
          );
          const tolerance = 1e-9 * Math.max(1, after.totalUsd);
          assert.ok(
            after.totalUsd >= before.totalUsd - tolerance,
            `${count}: ${before.totalUsd} -> ${after.totalUsd}`,
          );
          assert.ok(after.totalWithFreeTierUsd >= before.totalWithFreeTierUsd - tolerance, count);
        },
      ),
    );
  });

  it("refuses a negative or endless quantity", () => {
    assert.throws(() => estimate({ invocationsPerMonth: -1 }), RangeError);
    assert.throws(() => estimate({ queues: Number.NaN }), RangeError);
    assert.throws(() => estimate({ averageDurationSeconds: Infinity }), RangeError);
  });

  it("prices Sao Paulo as by hand: alarms, logs, endpoint, proxy and database are dearer there", () => {
    const result = estimate({
      region: "sa-east-1",
      architecture: "arm64",
      queues: 1,
      alarmMetrics: 4,
      logBytesPerInvocation: 1024 ** 3 / 43_200,
      logRetentionDays: 30,
      secrets: 1,
      secretCallsPerMonth: 10_000,
      endpointZones: 2,
      proxyVcpus: 2,
      database: { instanceClass: "db.t4g.micro", storageGb: 20 },
    });
    const byHand: [string, number][] = [
      ["lambda-compute", 10_800 * 0.0000133334],
      ["lambda-requests", 43_200 * 0.0000002],
      ["sqs-idle-polling", 648_000 * 0.0000004],
      ["alarms", 4 * 0.135],
      ["logs-ingested", 0.9],
      ["logs-stored", 0.0408],
      ["secrets", 0.4],
      ["secret-calls", 0.05],
      ["endpoint-hours", 2 * 730 * 0.021],
      ["database-proxy", 2 * 730 * 0.03],
      ["database-instance", 730 * 0.034],
      ["database-storage", 20 * 0.219],
    ];
    for (const [id, usd] of byHand) assertClose(line(result, id).monthlyUsd, usd);
    assert.equal(result.isLowerBound, false);
    assert.equal(result.totalUsd.toFixed(2), "106.00");
  });

  it("lists what has no recorded price as not priced, and sums the rest to a lower bound", () => {
    const without = structuredClone(recordedPrices);
    without.regions["us-east-1"]!.databaseInstances = {};
    assert.equal(estimateMonthlyCost(example, without).isLowerBound, false);
    const database = { instanceClass: "db.t4g.micro", storageGb: 20 };
    const result = estimateMonthlyCost({ ...example, database }, without);
    const description = "RDS PostgreSQL db.t4g.micro, one zone x 730 h";
    assert.deepEqual(unpricedLines(result.lines), [
      { isPriced: false, id: "database-instance", description, unit: "hour", quantity: 730 },
    ]);
    assert.equal(result.isLowerBound, true);
    const priced = estimateMonthlyCost({ ...example, database }, recordedPrices);
    assertClose(result.totalUsd, priced.totalUsd - 730 * 0.016);
    assertClose(result.totalWithFreeTierUsd, priced.totalWithFreeTierUsd - 730 * 0.016);
    assert.match(
      result.missingPrices ?? "",
      /us-east-1" for database-instance\.\n.*prices --rebuild --region us-east-1 --instance-class db\.t4g\.micro$/,
    );
  });

  it("prices nothing in a region without prices, and names the regions that have some", () => {
    const result = estimate({ region: "eu-nowhere-1", dashboards: 1 });
    assert.deepEqual(
      result.lines.map(({ id, isPriced }) => [id, isPriced]),
      ["lambda-compute", "lambda-requests", "schedule", "dashboard"].map((id) => [id, false]),
    );
    assert.deepEqual([result.totalUsd, result.totalWithFreeTierUsd, result.isLowerBound], [0, 0, true]);
    assert.match(
      result.missingPrices ?? "",
      /region "eu-nowhere-1"\. Known regions: us-east-1, .*\n.*prices --rebuild --region eu-nowhere-1$/,
    );
  });
});
