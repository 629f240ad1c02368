/** What a run prints at its end. */
import Table from "cli-table3";
import type { Plan } from "../components/plan/plan";
import { describeSeconds } from "./duration";
import type { Spread, Tally } from "./tally";
import { count, type Terminal } from "./terminal";

/** What a finished run is summed up from. */
export interface RunFacts {
  plan: Pick<Plan, "schedule" | "maxStalenessSeconds">;
  ranSeconds: number;
  tally: Tally;
  worstStalenessSeconds: number;
  /** Objects that the background load has processed. */
  processedObjects: number | undefined;
  /** Names of the alarms that went off, in order, once for each time. */
  alarmsRaised: string[];
  /** With a planned outage: whether a refresh succeeded after it. */
  recovered: boolean | undefined;
}

/** Prints the table at the end of a run. */
export function printSummary(terminal: Terminal, facts: RunFacts): void {
  const { plan, tally } = facts;
  const { colors } = terminal;
  const table = new Table({
    style: { head: [], border: terminal.colors.isColorSupported ? ["gray"] : [], compact: true },
  });
  const bad = (text: string, isBad: boolean): string => (isBad ? colors.red(text) : text);
  const expected = tally.failures - tally.unexpectedFailures;
  const late = facts.worstStalenessSeconds > plan.maxStalenessSeconds;
  const rows: [string, string][] = [
    ["Schedule", `${plan.schedule.refreshRate}, ran for ${describeSeconds(facts.ranSeconds)}`],
    ["Ticks", String(tally.ticks)],
    ["Refreshed", String(tally.counts.refreshed)],
    ["Skipped", `${tally.counts.skipped}${tally.counts.skipped > 0 ? " (another refresh was running)" : ""}`],
    [
      "Errors",
      bad(describeFailures(tally), tally.failures > 0) + (expected > 0 ? `, ${expected} expected` : ""),
    ],
    ["Refresh p50 / p99 / worst", describeSpread(tally.refreshes)],
    ["Whole run p50 / p99 / worst", describeSpread(tally.runs)],
    [
      // Not how old the data had become before: the log shows that at the first tick.
      "Worst staleness since the start",
      bad(describeSeconds(facts.worstStalenessSeconds), late) +
        ` (promised: at most ${describeSeconds(plan.maxStalenessSeconds)})`,
    ],
  ];
  if (facts.processedObjects !== undefined) {
    rows.push(["Objects processed", count(facts.processedObjects)]);
  }
  if (facts.alarmsRaised.length > 0) rows.push(["Alarms", colors.red(facts.alarmsRaised.join(", "))]);
  if (facts.recovered !== undefined) {
    rows.push(["After the outage", facts.recovered ? "recovered" : colors.red("not recovered")]);
  }
  table.push(...rows);
  terminal.line();
  terminal.line(table.toString());
}

function describeFailures({ counts, failures }: Tally): string {
  const kinds = [
    [counts.timedOut, "timed out"],
    [counts.crashed, "crashed"],
  ] as const;
  const detail = kinds.filter(([count]) => count > 0).map(([count, kind]) => `${count} ${kind}`);
  return detail.length === 0 ? String(failures) : `${failures} (${detail.join(", ")})`;
}

function describeSpread(spread: Spread | undefined): string {
  if (spread === undefined) return "none";
  const { p50Seconds, p99Seconds, worstSeconds } = spread;
  return [p50Seconds, p99Seconds, worstSeconds].map((seconds) => `${seconds.toFixed(3)} s`).join(" / ");
}
