/** The full run at the end of a run, which counts what folding has missed. */
import { Budget } from "../handler/budget";
import { connectorFor } from "../handler/connect";
import { textReport } from "../handler/report";
import { runRefresh } from "../handler/run";
import type { DatabaseSettings, ViewSettings } from "../handler/settings";
import type { Terminal } from "./terminal";

/** What a full run at the end has found. */
export type DriftCheck =
  | { seconds: number; drift: number }
  /** Why it was not counted. */
  | { notCounted: string };

const LONGEST_MS = 60_000;
const FIRST_ANSWER_WITHIN_MS = 5_000;

/**
 * Folds, computes the view anew and counts the rows that differ, all in one snapshot, as the function's own login and by
 * its own code; prints what that prints. Never rejects.
 */
export async function checkDrift(
  database: DatabaseSettings,
  view: ViewSettings,
  terminal: Terminal,
): Promise<DriftCheck> {
  terminal.event("A full run, to see whether folding has missed anything");
  const [outcome] = await runRefresh({
    views: [view],
    connector: connectorFor(database),
    waitForLock: true,
    forceFull: true,
    budget: new Budget(LONGEST_MS),
    firstAnswerWithinMs: FIRST_ANSWER_WITHIN_MS,
    runId: "manual",
    report: textReport((line) => terminal.line(line)),
  });
  if (outcome?.outcome !== "refreshed") {
    return { notCounted: outcome?.outcome === "failed" ? outcome.failure.message : "the view was busy" };
  }
  const { fold, durationSeconds } = outcome;
  if (fold === undefined) return { notCounted: "the view is no longer incremental" };
  if (fold.drift === null) return { notCounted: `what had changed could not be folded: ${fold.reason}` };
  return { seconds: durationSeconds, drift: fold.drift };
}
