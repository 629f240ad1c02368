import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { costCommand } from "../../cli/cost";
import { renderCost, type CostReport } from "../../cli/costText";
import { estimateMonthlyCost, pricedLines } from "../../components/cost/cost";
import { recordedPrices } from "../../components/cost/prices";
import { runCommand } from "./commandRun";

const projectFolder = join(__dirname, "..", "..");

/** Stacks of this project that are for AWS; local is this machine's. */
const deployedStacks = readdirSync(projectFolder)
  .flatMap((name) => /^Pulumi\.([\w-]+)\.yaml$/.exec(name)?.[1] ?? [])
  .filter((stack) => stack !== "local");

/** README's example. */
const example = [
  "--rate",
  "rate(1 minute)",
  "--memory",
  "256",
  "--duration",
  "1",
  "--architecture",
  "x86_64",
];

async function report(...args: string[]): Promise<CostReport> {
  const run = await runCommand(costCommand(), ...args, "--json");
  assert.equal(run.exitCode, 0, run.error);
  return JSON.parse(run.out) as CostReport;
}

describe("cost, for settings on the command line", () => {
  it("prices README's example at $0.19 of Lambda", async () => {
    const run = await runCommand(costCommand(), ...example, "--region", "us-east-1", "--no-free-tier");
    assert.equal(run.exitCode, 0, run.error);
    assert.match(run.out, /^Lambda alone: \$0\.19\.$/m);
    assert.match(run.out, /^lambda-compute .* 10,800 +GB-second +\$0\.0000166667 +\$0\.18 /m);
    assert.ok(!run.out.includes("free tier"), run.out);
  });

  it("prices arm64 at $0.15, and Lambda within the free tier at nothing", async () => {
    const arm64 = [...example.slice(0, -1), "arm64"];
    const { out } = await runCommand(costCommand(), ...arm64);
    assert.match(out, /^Lambda alone: \$0\.15\.$/m);
    const { estimate } = await report(...arm64);
    const lambda = pricedLines(estimate.lines).filter(({ id }) => id.startsWith("lambda-"));
    assert.ok(lambda.length >= 2);
    for (const line of lambda) assert.equal(line.monthlyWithFreeTierUsd, 0);
  });

  it("follows the length of a run", async () => {
    const { estimate } = await report(...example, "--duration", "2.5");
    const compute = estimate.lines.find(({ id }) => id === "lambda-compute");
    assert.equal(compute?.quantity, 43_200 * 2.5 * 0.25);
  });

  it("follows the rate: 30 seconds means twice the runs and a polled queue", async () => {
    const minute = await report(...example);
    const halfMinute = await report(...example, "--rate", "rate(30 seconds)");
    assert.equal(minute.usage.invocationsPerMonth, 43_200);
    assert.equal(halfMinute.usage.invocationsPerMonth, 86_400);
    const polling = (of: CostReport) =>
      of.estimate.lines.find(({ id }) => id === "sqs-idle-polling")?.quantity;
    assert.equal(polling(minute), undefined);
    assert.equal(polling(halfMinute), 648_000);
  });

  it("writes plain columns when piped, every line with source and date", async () => {
    const run = await runCommand(costCommand(), ...example);
    assert.doesNotMatch(run.out, /\u001b|[│─]/);
    const lines = run.out.split("\n").filter((line) => /^(lambda|alarms|logs|schedule)/.test(line));
    assert.ok(lines.length >= 4, run.out);
    for (const line of lines) assert.match(line, /https:\/\/\S+ \(20\d\d-\d\d-\d\d\)$/);
    assert.match(run.out, /^total +\$\d+\.\d\d +\$\d+\.\d\d$/m);
  });

  it("lists a region without prices as not priced, at least $0.00, with the command that records them", async () => {
    const run = await runCommand(costCommand(), ...example, "--region", "mars-1");
    assert.equal(run.exitCode, 0, run.error);
    const lines = run.out.split("\n").filter((line) => /^(lambda|alarms|logs|schedule)/.test(line));
    assert.ok(lines.length >= 4, run.out);
    for (const line of lines) assert.match(line, / +not priced +not priced$/);
    assert.match(run.out, /^lambda-compute .* 10,800 +GB-second +not priced/m);
    assert.match(run.out, /^total +at least \$0\.00 +at least \$0\.00$/m);
    assert.match(run.out, /^Lambda alone: at least \$0\.00\.$/m);
    assert.match(run.out, /No prices.*"mars-1".*us-east-1.*prices --rebuild --region mars-1$/ms);
    const { estimate } = await report(...example, "--region", "mars-1");
    assert.equal(estimate.isLowerBound, true);
    assert.equal(estimate.totalUsd, 0);
    assert.match(estimate.missingPrices ?? "", /prices --rebuild --region mars-1$/);
    assert.ok(estimate.lines.every(({ isPriced, quantity }) => !isPriced && quantity > 0));
  });

  const refusals: [string, string[], RegExp][] = [
    ["a rate that does not work", ["--rate", "rate(45 seconds)"], /refreshRate.*45/s],
    ["a memory size Lambda does not have", ["--memory", "100"], /memoryMb/],
    ["an unknown architecture", ["--architecture", "mips"], /Allowed choices are arm64, x86_64/],
    ["a duration that is not a number", ["--duration", "soon"], /A number above 0 is wanted/],
    ["a stack without a file", ["--stack", "nowhere"], /No stack "nowhere".*Stacks with a file:/],
    ["a stack name that is a path", ["--stack", "../../etc/passwd"], /No stack/],
  ];
  for (const [what, args, message] of refusals) {
    it(`ends with 1 for ${what}`, async () => {
      const run = await runCommand(costCommand(), ...args);
      assert.equal(run.exitCode, 1);
      assert.match(run.error, message);
      assert.equal(run.out, "");
    });
  }
});

describe("cost, for a stack", () => {
  const workingFolder = process.cwd();
  let folder: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "stack-"));
    process.chdir(folder);
  });

  afterEach(async () => {
    process.chdir(workingFolder);
    await rm(folder, { recursive: true });
  });

  /** A stack in Oregon on a database that is there already. */
  async function writeStack(...lines: string[]): Promise<void> {
    const config = [
      "aws:region: us-west-2",
      "matview-refresh:refreshRate: rate(5 minutes)",
      'matview-refresh:memoryMb: "512"',
      "matview-refresh:network:",
      "  vpcId: vpc-0123456789abcdef0",
      "  subnetIds: [subnet-0123456789abcdef0, subnet-0123456789abcdef1]",
      "  databaseSecurityGroupId: sg-0123456789abcdef0",
      "matview-refresh:database:",
      "  host: db.example.internal",
      "  name: scanner",
      "  user: refresher",
      "  resourceId: db-ABCDEFGHIJKLMNOPQRSTUVWXYZ",
      ...lines,
    ];
    await writeFile(
      join(folder, "Pulumi.tried.yaml"),
      `config:\n${config.map((line) => `  ${line}\n`).join("")}`,
    );
  }

  it("takes settings and region from the stack's file", async () => {
    await writeStack("matview-refresh:monthlyBudgetUsd: 5");
    const { usage, title, monthlyBudgetUsd } = await report("--stack", "tried");
    assert.equal(usage.region, "us-west-2");
    assert.equal(usage.memoryMb, 512);
    assert.equal(usage.invocationsPerMonth, 8_640);
    assert.equal(monthlyBudgetUsd, 5);
    assert.match(title, /^Stack tried in us-west-2, a month: rate\(5 minutes\), 512 MB arm64/);
  });

  it("lets an option go before the file", async () => {
    await writeStack();
    const options = ["--memory", "1024", "--rate", "rate(1 minute)", "--region", "us-east-1"];
    const { usage } = await report("--stack", "tried", ...options);
    assert.deepEqual([usage.memoryMb, usage.invocationsPerMonth, usage.region], [1024, 43_200, "us-east-1"]);
  });

  it("shows every fault of a stack's settings and ends with 1", async () => {
    await writeStack("matview-refresh:colour: blue", "matview-refresh:timeoutSeconds: 5000");
    const run = await runCommand(costCommand(), "--stack", "tried");
    assert.equal(run.exitCode, 1);
    assert.match(run.error, /colour/);
    assert.match(run.error, /timeoutSeconds/);
    assert.equal(run.out, "");
  });

  it("names the stacks there are", async () => {
    await writeStack();
    const run = await runCommand(costCommand(), "--stack", "prod");
    assert.match(run.error, /No stack "prod".*Stacks with a file: tried\./);
  });

  for (const stack of deployedStacks) {
    it(`prices this project's stack ${stack}`, async () => {
      process.chdir(projectFolder);
      const { estimate, usage } = await report("--stack", stack);
      assert.ok((usage.invocationsPerMonth ?? 0) > 0);
      assert.ok(estimate.totalUsd >= estimate.totalWithFreeTierUsd && estimate.totalUsd > 0);
    });
  }
});

describe("renderCost", () => {
  const usage = {
    region: "us-east-1",
    architecture: "x86_64",
    memoryMb: 256,
    invocationsPerMonth: 43_200,
    averageDurationSeconds: 1,
  } as const;

  function render(monthlyBudgetUsd?: number, isDecorated = false, prices = recordedPrices): string {
    const estimate = estimateMonthlyCost(usage, prices);
    const made = { title: "Title", usage, estimate };
    const budget = monthlyBudgetUsd === undefined ? {} : { monthlyBudgetUsd };
    return renderCost({ ...made, ...budget }, { isDecorated, hasFreeTier: true });
  }

  it("tells whether a budget is kept", () => {
    assert.match(render(1), /Budget: \$1\.00 a month, kept\./);
    assert.match(render(0.1), /Budget: \$0\.10 a month, exceeded\./);
  });

  it("says of one missing price that the total is at least so much, and the budget kept by what is priced", () => {
    const without = structuredClone(recordedPrices);
    delete without.regions["us-east-1"]!.prices.lambdaRequest;
    const text = render(1, false, without);
    assert.match(text, /^lambda-requests .* 43,200 +request +not priced +not priced$/m);
    assert.match(text, /^lambda-compute .* \$0\.18 /m);
    assert.match(text, /^total +at least \$0\.18 +at least \$0\.00$/m);
    assert.match(text, /^Lambda alone: at least \$0\.18\.$/m);
    assert.match(text, /Budget: \$1\.00 a month, kept by what is priced\./);
    assert.match(text, /"us-east-1" for lambda-requests\./);
    assert.match(render(0.1, false, without), /a month, exceeded\./);
  });

  it("draws lines for a terminal", () => {
    assert.match(render(undefined, true), /│/);
  });
});
