/** A cost report as text for a terminal or a pipe. */
import {
  compareWithGuide,
  compareWithServer,
  type GuideComparison,
  type ServerComparison,
} from "../components/cost/costComparison";
import { HOURS_PER_MONTH } from "../components/cost/costItems";
import type { CostEstimate, CostUsage } from "../components/cost/cost";
import { PriceUnknownError, type PriceTable } from "../components/cost/prices";
import { DAYS_PER_MONTH } from "../components/time/schedule";
import { monthlyText, unitPriceText } from "./money";
import { renderTable } from "./table";

/** Everything the `cost` command tells, as data; `--json` prints it as it is. */
export interface CostReport {
  /** What is priced, in words. */
  title: string;
  usage: CostUsage;
  estimate: CostEstimate;
  guide: GuideComparison;
  /** Absent where the region has no sourced price for the server; `serverProblem` says which. */
  server?: ServerComparison;
  serverProblem?: string;
  monthlyBudgetUsd?: number;
}

export interface CostTextStyle {
  isDecorated: boolean;
  /** Whether to show what the free tier leaves beside the full price. */
  hasFreeTier: boolean;
}

/** Puts the comparisons beside an estimate. A missing price of the compared server does not spoil the report. */
export function costReport(
  title: string,
  usage: CostUsage,
  estimate: CostEstimate,
  prices: PriceTable,
  monthlyBudgetUsd?: number,
): CostReport {
  const guide = compareWithGuide(usage, prices);
  const report: CostReport = { title, usage, estimate, guide };
  if (monthlyBudgetUsd !== undefined) report.monthlyBudgetUsd = monthlyBudgetUsd;
  try {
    report.server = compareWithServer(estimate, prices);
  } catch (error) {
    if (!(error instanceof PriceUnknownError)) throw error;
    report.serverProblem = error.message;
  }
  return report;
}

/** The report as text, ending with a line feed. */
export function renderCost(report: CostReport, style: CostTextStyle): string {
  const notes = [guideNote(report), serverNote(report, style), budgetNote(report), assumptionsNote(style)];
  return [
    report.title,
    "",
    linesTable(report, style),
    ...notes.filter((note) => note !== "").map((note) => `${note}\n`),
  ]
    .join("\n")
    .replace(/\n{3,}/g, "\n\n");
}

function linesTable({ estimate }: CostReport, { isDecorated, hasFreeTier }: CostTextStyle): string {
  const withFreeTier = (text: string) => (hasFreeTier ? [text] : []);
  const rows = estimate.lines.map((line) => [
    line.id,
    line.description,
    quantityText(line.quantity),
    line.unit,
    unitPriceText(line.unitPriceUsd),
    monthlyText(line.monthlyUsd),
    ...withFreeTier(monthlyText(line.monthlyWithFreeTierUsd)),
    `${line.source} (${line.date})`,
  ]);
  const totals = [
    monthlyText(estimate.totalUsd),
    ...withFreeTier(monthlyText(estimate.totalWithFreeTierUsd)),
  ];
  rows.push(["total", "", "", "", "", ...totals, ""]);
  const head = [
    "line",
    "what",
    "quantity",
    "unit",
    "unit price",
    "a month",
    ...withFreeTier("with free tier"),
    "source",
  ];
  return renderTable(head, rows, { isDecorated, rightAligned: hasFreeTier ? [2, 4, 5, 6] : [2, 4, 5] });
}

/** At most three decimals, thousands marked: "648,000", "0.201". */
function quantityText(quantity: number): string {
  return quantity.toLocaleString("en-US", { maximumFractionDigits: 3 });
}

function guideNote({ guide }: CostReport): string {
  return (
    `Lambda alone: ${monthlyText(guide.lambdaUsd)}. The original guide's formula gives ` +
    `${monthlyText(guide.withoutMemoryUsd)}. ${guide.reason}.`
  );
}

function serverNote(
  { server, serverProblem = "" }: CostReport,
  { isDecorated, hasFreeTier }: CostTextStyle,
): string {
  if (!server) return `No comparison with a server running cron. ${serverProblem}`;
  const parts = server.lines.map((line) => `${line.description} ${monthlyText(line.monthlyUsd)}`).join(", ");
  const withFreeTier = (...texts: string[]) => (hasFreeTier ? texts : []);
  const rows = server.savings.map((saving) => [
    saving.stack,
    monthlyText(saving.stackUsd),
    saving.against === "server" ? "the server" : "its instance alone",
    monthlyText(saving.against === "server" ? server.serverUsd : server.instanceUsd),
    savingText(saving.savingPercent),
    ...withFreeTier(savingText(saving.savingWithFreeTierPercent)),
  ]);
  const head = [
    "instead of cron",
    "a month",
    "against",
    "a month",
    "saving",
    ...withFreeTier("with free tier"),
  ];
  const table = renderTable(head, rows, {
    isDecorated,
    rightAligned: [1, 3, 4, 5].slice(0, hasFreeTier ? 4 : 3),
  });
  return `A server running cron beside the same database: ${monthlyText(server.serverUsd)} (${parts}).\n${table.trimEnd()}`;
}

function savingText(percent: number): string {
  return `${percent.toFixed(1)} %`;
}

function budgetNote({ monthlyBudgetUsd, estimate }: CostReport): string {
  if (monthlyBudgetUsd === undefined) return "";
  const state = estimate.totalUsd > monthlyBudgetUsd ? "exceeded" : "kept";
  return `Budget: ${monthlyText(monthlyBudgetUsd)} a month, ${state}.`;
}

function assumptionsNote({ hasFreeTier }: CostTextStyle): string {
  return [
    `Runs, polls and logs are counted over ${DAYS_PER_MONTH} days; what is billed by the hour over ${HOURS_PER_MONTH} h.`,
    ...(hasFreeTier ? ["Free tiers are the account's: what else runs in it may have used them."] : []),
    "Not counted: taxes, transfer between zones, database backups beyond the free allocation.",
  ].join("\n");
}
