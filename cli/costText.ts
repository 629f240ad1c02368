/** A cost report as text for a terminal or a pipe. */
import { HOURS_PER_MONTH } from "../components/cost/costItems";
import { pricedLines, sumUsd, type CostEstimate, type CostUsage } from "../components/cost/cost";
import { DAYS_PER_MONTH } from "../components/time/schedule";
import { monthlyText, unitPriceText } from "./money";
import { renderTable } from "./table";

const NOT_PRICED = "not priced";

/** Everything the `cost` command tells, as data; `--json` prints it as it is. */
export interface CostReport {
  /** What is priced, in words. */
  title: string;
  usage: CostUsage;
  estimate: CostEstimate;
  monthlyBudgetUsd?: number;
}

export interface CostTextStyle {
  isDecorated: boolean;
  /** Whether to show what the free tier leaves beside the full price. */
  hasFreeTier: boolean;
}

/** The report as text, ending with a line feed. */
export function renderCost(report: CostReport, style: CostTextStyle): string {
  const { missingPrices = "" } = report.estimate;
  const notes = [lambdaNote(report), budgetNote(report), missingPrices, assumptionsNote(style)];
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
    ...(line.isPriced
      ? [
          unitPriceText(line.unitPriceUsd),
          monthlyText(line.monthlyUsd),
          ...withFreeTier(monthlyText(line.monthlyWithFreeTierUsd)),
          `${line.source} (${line.date})`,
        ]
      : ["", NOT_PRICED, ...withFreeTier(NOT_PRICED), ""]),
  ]);
  const totals = [
    totalText(estimate.totalUsd, estimate.isLowerBound),
    ...withFreeTier(totalText(estimate.totalWithFreeTierUsd, estimate.isLowerBound)),
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

function totalText(usd: number, isLowerBound: boolean): string {
  return `${isLowerBound ? "at least " : ""}${monthlyText(usd)}`;
}

/** At most three decimals, thousands marked: "648,000", "0.201". */
function quantityText(quantity: number): string {
  return quantity.toLocaleString("en-US", { maximumFractionDigits: 3 });
}

/** What the runs alone cost, which is what other estimates of a scheduled function state. */
function lambdaNote({ estimate }: CostReport): string {
  const lambda = estimate.lines.filter(({ id }) => id.startsWith("lambda-"));
  const priced = pricedLines(lambda);
  const usd = sumUsd(priced.map(({ monthlyUsd }) => monthlyUsd));
  return `Lambda alone: ${totalText(usd, priced.length < lambda.length)}.`;
}

function budgetNote({ monthlyBudgetUsd, estimate }: CostReport): string {
  if (monthlyBudgetUsd === undefined) return "";
  const kept = estimate.isLowerBound ? "kept by what is priced" : "kept";
  const state = estimate.totalUsd > monthlyBudgetUsd ? "exceeded" : kept;
  return `Budget: ${monthlyText(monthlyBudgetUsd)} a month, ${state}.`;
}

function assumptionsNote({ hasFreeTier }: CostTextStyle): string {
  return [
    `Runs, polls and logs are counted over ${DAYS_PER_MONTH} days; what is billed by the hour over ${HOURS_PER_MONTH} h.`,
    ...(hasFreeTier ? ["Free tiers are the account's: what else runs in it may have used them."] : []),
    "Not counted: taxes, transfer between zones, database backups beyond the free allocation.",
  ].join("\n");
}
