import { MONTHLY_BUDGET_USD_TAG, MONTHLY_USD_TAG } from "../../components/plan/plan";
import { estimate, type EstimateConfig } from "../estimate";
import { known, readNumber } from "../reading";
import type { RefreshFunction } from "../relations";
import { defineRule } from "../rule";
import type { Resource } from "../resource";
import type { Verdicts } from "../verdict";

interface BudgetConfig extends EstimateConfig {
  /** 0 for none. */
  monthlyBudgetUsd: number;
}

/** A rate that was turned up, a proxy that was switched on: the bill should not be where one finds out. */
export const monthlyBudget = defineRule<BudgetConfig>({
  name: "monthly-budget",
  description: "The estimate of a month, without free tier, is within the budget.",
  remedy:
    "Raise monthlyBudgetUsd, or lower the rate, the memory or the database's class. npm run cost lists the lines.",
  severity: "medium",
  schema: {
    monthlyBudgetUsd: {
      type: "number",
      minimum: 0,
      default: 0,
      description: "Budget of the stack's refreshes together, in US dollars a month; 0 for none.",
    },
    averageDurationSeconds: {
      type: "number",
      exclusiveMinimum: 0,
      maximum: 900,
      default: 1,
      description: "Length of a refresh that the estimate of a hand-written function takes.",
    },
    region: {
      type: "string",
      default: "",
      description: "Region of the prices for hand-written functions; taken from the function where empty.",
    },
  },
  judgeStack(facts, config, verdicts) {
    const rulesOfTags = new Map<Resource, number>();
    const handWritten: RefreshFunction[] = [];
    for (const fn of facts.refreshes) {
      const rules = [...new Set(fn.triggers.map(({ rule }) => rule))];
      const tags = rules.map((rule) => ({ rule, tag: readNumber(rule.props, "tags", MONTHLY_USD_TAG) }));
      const unknown = tags.find(({ tag }) => tag.state === "unknown");
      if (unknown) return verdicts.judgedAtUpdate(`the estimate of ${fn.name}`, unknown.rule.urn);
      const estimated = tags.filter(({ tag }) => tag.state === "known");
      if (estimated.length === 0) handWritten.push(fn);
      for (const { rule, tag } of estimated) rulesOfTags.set(rule, known(tag) ?? 0);
    }
    for (const [rule, monthlyUsd] of rulesOfTags) judgeOwnBudget(rule, monthlyUsd, verdicts);
    if (config.monthlyBudgetUsd === 0) return;
    const others = estimate(handWritten, facts, config);
    if (others.state === "unknown") return verdicts.judgedAtUpdate(`the month's cost (${others.what})`);
    if (others.state === "unpriced")
      return verdicts.remark(`The month's cost is not judged. ${others.problem}`);
    const own = [...rulesOfTags].map(([rule, usd]) => ({ text: `${rule.name} $${usd.toFixed(2)}`, usd }));
    const totalUsd = own.reduce((sum, { usd }) => sum + usd, others.monthlyUsd);
    judgeTotal(
      totalUsd,
      config.monthlyBudgetUsd,
      [...own.map(({ text }) => text), ...others.parts],
      verdicts,
    );
  },
});

/** The budget that a component's own settings name. */
function judgeOwnBudget(rule: Resource, monthlyUsd: number, verdicts: Verdicts): void {
  const budget = readNumber(rule.props, "tags", MONTHLY_BUDGET_USD_TAG);
  if (budget.state === "unknown") return verdicts.judgedAtUpdate(`the budget of ${rule.name}`, rule.urn);
  if (budget.state === "absent" || monthlyUsd <= budget.value) return;
  verdicts.refuse(
    `${rule.name} and what belongs to it cost about $${monthlyUsd.toFixed(2)} a month; its budget is $${budget.value.toFixed(2)}.`,
    rule.urn,
  );
}

function judgeTotal(totalUsd: number, budgetUsd: number, parts: string[], verdicts: Verdicts): void {
  if (totalUsd <= budgetUsd) return;
  verdicts.refuse(
    `The stack's refreshes cost about $${totalUsd.toFixed(2)} a month (${parts.join(", ")}); the budget is ` +
      `$${budgetUsd.toFixed(2)}.`,
  );
}
