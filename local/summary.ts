/** What a run prints at its end. */
import Table from "cli-table3";
import type { Plan } from "../components/plan/plan";
import type { DriftCheck } from "./driftCheck";
import { describeSeconds } from "./duration";
import { describeFullRefresh, type FullRefresh } from "./maintain";
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
  /** What a full refresh took before the view was made incremental. */
  fullRefresh: FullRefresh | undefined;
  /** The full run at the end, where there was one. */
  driftCheck: DriftCheck | undefined;
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
    ["Refreshed", `${tally.counts.refreshed}${describeKinds(tally)}`],
    ["Skipped", `${tally.counts.skipped}${tally.counts.skipped > 0 ? " (another refresh was running)" : ""}`],
    [
      "Errors",
      bad(describeFailures(tally), tally.failures > 0) + (expected > 0 ? `, ${expected} expected` : ""),
    ],
    ...refreshRows(facts),
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
  rows.push(...foldRows(facts, bad));
  if (facts.alarmsRaised.length > 0) rows.push(["Alarms", colors.red(facts.alarmsRaised.join(", "))]);
  if (facts.recovered !== undefined) {
    rows.push(["After the outage", facts.recovered ? "recovered" : colors.red("not recovered")]);
  }
  table.push(...rows);
  terminal.line();
  terminal.line(table.toString());
}

/** Of maintained views alone: a materialized one has one kind of refresh, and the rest of the table is about it. */
function describeKinds({ kinds, folded }: Tally): string {
  if (folded === undefined) return "";
  const because = folded.fullReasons.length === 0 ? "" : ` (${folded.fullReasons.join("; ")})`;
  return `: ${kinds.map(({ type, times }) => `${times} ${type}`).join(", ")}${because}`;
}

/** How long refreshes took, by kind where folds are among them. */
function refreshRows({ tally, fullRefresh }: RunFacts): [string, string][] {
  const { kinds, folded, refreshes } = tally;
  if (folded === undefined) return [["Refresh p50 / p99 / worst", describeSpread(refreshes)]];
  const names = {
    incremental: "Incremental",
    full: "Full run",
    concurrent: "Concurrent",
    regular: "Regular",
  };
  const rows = kinds.map(({ type, seconds }): [string, string] => [
    `${names[type]} p50 / p99 / worst`,
    describeSpread(seconds),
  ]);
  if (fullRefresh === undefined) return rows;
  // Of medians, since one slow fold is no measure.
  const median = kinds.find(({ type }) => type === "incremental")?.seconds.p50Seconds ?? 0;
  const ratio =
    median > 0 ? `, ${(fullRefresh.medianSeconds / median).toFixed(1)} times the median fold` : "";
  return [...rows, ["Full refresh before", `${describeFullRefresh(fullRefresh)}${ratio}`]];
}

/** What was folded, and whether anything was missed. */
function foldRows(
  { tally: { folded }, driftCheck, processedObjects }: RunFacts,
  bad: (text: string, isBad: boolean) => string,
): [string, string][] {
  const rows: [string, string][] = [];
  if (folded !== undefined) {
    rows.push([
      "Changes folded",
      `${count(folded.changes)} (an update counts twice), ${count(folded.changedRows)} rows changed by them`,
    ]);
  }
  if (driftCheck !== undefined && "seconds" in driftCheck) {
    rows.push([
      "Full run at the end",
      `${driftCheck.seconds.toFixed(3)} s (folds, computes all anew, compares${processedObjects === undefined ? "" : "; under load"})`,
    ]);
  }
  const found = folded?.drift ?? 0;
  if (driftCheck === undefined) {
    if (found > 0) rows.push(["Drift found", bad(rowsOf(found), true)]);
  } else if ("notCounted" in driftCheck) {
    rows.push(["Drift found", bad(`not counted: ${driftCheck.notCounted}`, true)]);
  } else {
    const drift = found + driftCheck.drift;
    rows.push(["Drift found", bad(rowsOf(drift), drift > 0)]);
  }
  return rows;
}

const rowsOf = (rows: number): string => `${count(rows)} row${rows === 1 ? "" : "s"}`;

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
