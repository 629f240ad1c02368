/** `cost`: what a month costs, for a stack or for settings given on the command line. */
import { Command, InvalidArgumentError, Option } from "commander";
import { estimateMonthlyCost } from "../components/cost/cost";
import { makePlan } from "../components/plan/plan";
import { recordedPrices } from "../components/cost/prices";
import { usageOf } from "../components/plan/usagePlan";
import { parseSettings } from "../components/settings/parseSettings";
import type { Settings } from "../components/settings/schema";
import { renderCost, type CostReport } from "./costText";
import { parseDecimal } from "./decimal";
import { readStack } from "./stackConfig";

interface CostOptions {
  stack?: string;
  region?: string;
  rate?: string;
  memory?: string;
  architecture?: string;
  duration?: number;
  freeTier: boolean;
  json?: boolean;
}

const defaultRegion = "us-east-1";

/**
 * The `cost` subcommand. Exit code 0 with the estimate on standard output; 1 with a message on standard error
 * when the stack or its settings cannot be read. What has no recorded price is listed as not priced.
 */
export function costCommand(): Command {
  const command = new Command("cost")
    .description("estimate what a month costs, line by line, without an account")
    .option("--stack <name>", "take the settings of Pulumi.<name>.yaml")
    .option("--region <region>", `AWS region (default: the stack's aws:region, else ${defaultRegion})`)
    .option("--rate <rate>", 'refreshRate, for instance "rate(30 seconds)"')
    .option("--memory <mb>", "memoryMb")
    .addOption(new Option("--architecture <name>", "architecture").choices(["arm64", "x86_64"]))
    .option("--duration <seconds>", "average length of a run", positiveNumber)
    .option("--no-free-tier", "show full prices only")
    .option("--json", "print everything as JSON");
  return command.action((options: CostOptions) => {
    try {
      const report = reportFor(options);
      const style = { isDecorated: process.stdout.isTTY, hasFreeTier: options.freeTier };
      const text = options.json ? `${JSON.stringify(report, null, 2)}\n` : renderCost(report, style);
      command.configureOutput().writeOut?.(text);
    } catch (error) {
      command.error(`error: ${error instanceof Error ? error.message : String(error)}`, { exitCode: 1 });
    }
  });
}

function reportFor(options: CostOptions): CostReport {
  const stack = options.stack === undefined ? undefined : readStack(options.stack);
  const given = { refreshRate: options.rate, memoryMb: options.memory, architecture: options.architecture };
  const values = {
    ...stack?.settings,
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value)),
  };
  const settings = parseSettings(values, stack ? "deploy" : "local");
  const region = options.region ?? stack?.region ?? defaultRegion;
  const costUsage = usageOf(makePlan(settings), region);
  const usage = {
    ...costUsage,
    averageDurationSeconds: options.duration ?? costUsage.averageDurationSeconds,
  };
  const estimate = estimateMonthlyCost(usage, recordedPrices);
  const title = titleOf(settings, usage.averageDurationSeconds, region, options.stack);
  const { monthlyBudgetUsd } = settings;
  return { title, usage, estimate, ...(monthlyBudgetUsd === undefined ? {} : { monthlyBudgetUsd }) };
}

function titleOf(settings: Settings, durationSeconds: number, region: string, stack?: string): string {
  const { refreshRate, memoryMb, architecture } = settings;
  const what = stack === undefined ? "These settings" : `Stack ${stack}`;
  return `${what} in ${region}, a month: ${refreshRate}, ${memoryMb} MB ${architecture}, runs of ${durationSeconds} s`;
}

function positiveNumber(text: string): number {
  const value = parseDecimal(text);
  if (Number.isFinite(value) && value > 0) return value;
  throw new InvalidArgumentError("A number above 0 is wanted, for instance 1.5.");
}
