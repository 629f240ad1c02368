import { MONTHLY_BUDGET_USD_TAG, MONTHLY_USD_TAG } from "../../components/plan/plan";
import { known, readNumber } from "../reading";
import { TYPE } from "../resource";
import { defineRule } from "../rule";

const REMEDY = "Raise monthlyBudgetUsd, or lower the rate, the memory or the database's class";

/** A rate that was turned up, a proxy that was switched on: the bill should not be where one finds out. */
export const monthlyBudget = defineRule<{ monthlyBudgetUsd: number }>({
  name: "monthly-budget",
  description: "The component's estimate of a month, without free tier, is within the budget.",
  remedy: `${REMEDY}. npm run cost lists the lines.`,
  severity: "medium",
  schema: {
    monthlyBudgetUsd: {
      type: "number",
      minimum: 0,
      default: 0,
      description: "Budget of the stack's components together, in US dollars a month; 0 for none.",
    },
  },
  judgeStack({ ofType }, { monthlyBudgetUsd }, verdicts) {
    const parts: string[] = [];
    let totalUsd = 0;
    // The component writes its estimate and its budget into tags of its rule.
    for (const { name, urn, props } of ofType(TYPE.rule)) {
      const estimate = readNumber(props, "tags", MONTHLY_USD_TAG);
      const budget = readNumber(props, "tags", MONTHLY_BUDGET_USD_TAG);
      if (estimate.state === "unknown" || budget.state === "unknown") {
        return verdicts.judgedAtUpdate(`the estimate or the budget of ${name}`, urn);
      }
      if (estimate.state === "absent") continue;
      const usd = `$${estimate.value.toFixed(2)}`;
      parts.push(`${name} ${usd}`);
      totalUsd += estimate.value;
      const ownBudgetUsd = known(budget) ?? Infinity;
      if (estimate.value <= ownBudgetUsd) continue;
      verdicts.refuse(
        `${name} and what belongs to it cost about ${usd} a month; its budget is $${ownBudgetUsd.toFixed(2)}. ${REMEDY}.`,
        urn,
      );
    }
    if (monthlyBudgetUsd === 0 || totalUsd <= monthlyBudgetUsd) return;
    verdicts.refuse(
      `The stack's refreshes cost about $${totalUsd.toFixed(2)} a month (${parts.join(", ")}); the budget is ` +
        `$${monthlyBudgetUsd.toFixed(2)}. ${REMEDY}.`,
    );
  },
});
