/** Rule: the month's cost is within the budget. */
import {
  GROUP_TAG,
  MONTHLY_BUDGET_USD_TAG,
  MONTHLY_USD_IS_AT_LEAST_TAG,
  MONTHLY_USD_TAG,
} from "../../components/plan/plan";
import { known, readFlag, readNumber, readText, type Reading } from "../reading";
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
    let isTotalAtLeast = false;
    // The component writes its estimate and its budget into tags of its rule, the sandbox its own onto its database.
    for (const { name, urn, props } of ofType(TYPE.rule)) {
      const group = known(readText(props, "tags", GROUP_TAG));
      const databases = ofType(TYPE.database).filter(
        (database) => known(readText(database.props, "tags", GROUP_TAG)) === group,
      );
      const priced = [{ props }, ...databases];
      const estimate = sumOf(priced.map((each) => readNumber(each.props, "tags", MONTHLY_USD_TAG)));
      const budget = readNumber(props, "tags", MONTHLY_BUDGET_USD_TAG);
      if (estimate.state === "unknown" || budget.state === "unknown") {
        return verdicts.judgedAtUpdate(`the estimate or the budget of ${name}`, urn);
      }
      if (estimate.state === "absent") continue;
      const isAtLeast = priced.some(
        (each) => known(readFlag(each.props, "tags", MONTHLY_USD_IS_AT_LEAST_TAG)) === true,
      );
      const costs = `${name} and what belongs to it cost ${costText(estimate.value, isAtLeast)} a month`;
      parts.push(`${name} $${estimate.value.toFixed(2)}`);
      totalUsd += estimate.value;
      isTotalAtLeast ||= isAtLeast;
      const ownBudgetUsd = known(budget) ?? Infinity;
      if (estimate.value > ownBudgetUsd) {
        verdicts.refuse(`${costs}; its budget is $${ownBudgetUsd.toFixed(2)}. ${REMEDY}.`, urn);
      } else if (isAtLeast && (ownBudgetUsd < Infinity || monthlyBudgetUsd > 0)) {
        verdicts.remark(
          `${costs}: not every price is recorded for its region, so the budget was held against a lower bound. ` +
            "npm run cost lists what is not priced, and the command that records it.",
          urn,
        );
      }
    }
    if (monthlyBudgetUsd === 0 || totalUsd <= monthlyBudgetUsd) return;
    verdicts.refuse(
      `The stack's refreshes cost ${costText(totalUsd, isTotalAtLeast)} a month (${parts.join(", ")}); the budget is ` +
        `$${monthlyBudgetUsd.toFixed(2)}. ${REMEDY}.`,
    );
  },
});

function costText(usd: number, isAtLeast: boolean): string {
  return `${isAtLeast ? "at least" : "about"} $${usd.toFixed(2)}`;
}

/** The sum of what is stated; absent where nothing is. */
function sumOf(readings: Reading<number>[]): Reading<number> {
  const unknown = readings.find(({ state }) => state === "unknown");
  if (unknown !== undefined) return unknown;
  const values = readings.flatMap((reading) => (reading.state === "known" ? [reading.value] : []));
  const value = values.reduce((total, part) => total + part, 0);
  return values.length === 0 ? { state: "absent", path: "" } : { state: "known", value, path: "" };
}
