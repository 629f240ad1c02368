/** What a run says while it goes: lines for people, or the same facts as structured JSON. */
import type { Logger } from "@aws-lambda-powertools/logger";
import type { RefreshFailure } from "./failure";
import { displayName, qualifiedName, shellName } from "./names";
import type { RefreshedView, Statistics, ViewOutcome } from "./outcome";
import type { QualifiedName } from "./settings";

/** Told of everything that happens. No method is ever given a password, a token or a row's value. */
export interface Report {
  connecting(): void;
  refreshing(view: QualifiedName): void;
  /** A plain refresh will be used; `remedy` makes the next one concurrent. */
  fallingBack(view: QualifiedName, reason: string, remedy: string | undefined): void;
  /** A manual refresh waits for another one. */
  waiting(view: QualifiedName): void;
  retrying(failure: RefreshFailure, attempt: number): void;
  /** The view is tried once more after the others. */
  puttingOff(view: QualifiedName, reason: string): void;
  finished(outcome: ViewOutcome): void;
  note(message: string): void;
}

/**
 * Does what only informs: its failure is said on stderr, and is nobody else's.
 * @returns whether it was done.
 */
export function harmlessly(what: string, inform: () => void, isSaid = true): boolean {
  try {
    inform();
    return true;
  } catch (error) {
    if (isSaid) process.stderr.write(`${what} failed: ${String(error)}\n`);
    return false;
  }
}

/** A report of which no method throws, so that it cannot fail a run. Only its first failure is said. */
export function harmless(report: Report): Report {
  let worked = true;
  const methods = Object.entries(report).map(([name, method]: [string, (...args: unknown[]) => void]) => [
    name,
    (...args: unknown[]) => {
      worked = harmlessly("the log", () => method.apply(report, args), worked) && worked;
    },
  ]);
  return Object.fromEntries(methods) as Report;
}

const LABELS: Record<string, string> = {
  total_jobs: "Jobs",
  total_objects: "Total objects",
  processed_objects: "Processed",
  active_jobs: "Active jobs",
  total_rows: "Rows",
};

/** `[2025-11-09 10:00:00]`, in UTC as CloudWatch has it. */
const stamp = (now: Date): string => `[${now.toISOString().slice(0, 19).replace("T", " ")}]`;

function statisticsLines(statistics: Statistics): string[] {
  return Object.entries(statistics).map(([column, value]) => {
    const words = column.replaceAll("_", " ");
    const label = LABELS[column] ?? words.charAt(0).toUpperCase() + words.slice(1);
    return `  ${label}: ${shownNumber(value)}`;
  });
}

function shownNumber(value: number | string | null): string {
  if (value === null) return "none";
  if (typeof value === "number") return value.toLocaleString("en-US");
  return /^-?\d+$/.test(value) ? BigInt(value).toLocaleString("en-US") : value;
}

function serverLines({ server, problem }: RefreshFailure): string[] {
  if (server === undefined) return [];
  const { message, detail, hint } = server;
  const said = {
    "The server said": problem.includes(message) ? undefined : message,
    Detail: detail,
    Hint: hint,
  };
  return Object.entries(said).flatMap(([label, text]) => (text === undefined ? [] : [`  ${label}: ${text}`]));
}

/** A fold takes milliseconds. */
const howLong = ({ durationSeconds, refreshType }: RefreshedView): string =>
  durationSeconds.toFixed(refreshType === "incremental" ? 3 : 2);

/** `concurrent`, `incremental, 1,204 changes, 12 rows`, `full: …`. */
function whatItDid({ refreshType, fold }: RefreshedView): string {
  if (fold === undefined) return refreshType;
  if (fold.reason !== null) return `${refreshType}: ${fold.reason}`;
  const counted = (count: number, what: string): string =>
    `${shownNumber(count)} ${what}${count === 1 ? "" : "s"}`;
  return `${refreshType}, ${counted(fold.changes, "change")}, ${counted(fold.changedRows, "row")}`;
}

/** Where a full run found what no log had told of: how much, what likely did it, and how to see it. */
function sayDrift(
  { view, fold }: RefreshedView,
  say: (drift: { drift: number; problem: string; remedy: string }) => void,
): void {
  if (fold === undefined || fold.drift === null || fold.drift === 0) return;
  const { drift } = fold;
  const problem =
    `${shownNumber(drift)} row${drift === 1 ? "" : "s"} differed from its query after folding, and are put right. ` +
    "Some change was not logged: written with session_replication_role = replica, by logical replication, or " +
    "while triggers were disabled. Where none of that was done, the fold is at fault: please report it with the view's query";
  say({ drift, problem, remedy: `npm run incremental -- verify --view ${shellName(view)}` });
}

/**
 * A log for people to read, a line to each call of `write`; continuation lines are indented and have no time. Tries that fail
 * one after the other for one reason give it once.
 */
export function textReport(write: (line: string) => void): Report {
  let lastReason: string | undefined;
  const say = (message: string): void => write(`${stamp(new Date())} ${message}`);
  return {
    connecting: () => say("Connecting to database..."),
    refreshing: (view) => say(`Refreshing ${displayName(view)} materialized view...`),
    fallingBack(_view, reason, remedy) {
      say(`falling back to regular refresh: ${reason}`);
      if (remedy !== undefined) write(`  To fix it: ${remedy}`);
    },
    waiting: (view) => say(`Waiting for the refresh of ${displayName(view)} that is running...`),
    retrying(failure, attempt) {
      const isRepeated = lastReason === failure.message;
      lastReason = failure.message;
      say(`Attempt ${attempt} failed, trying again${isRepeated ? " (same reason)" : `: ${failure.message}`}`);
    },
    puttingOff: (view, reason) =>
      say(`Putting ${displayName(view)} off until the others are done: ${reason}`),
    finished(outcome) {
      lastReason = undefined;
      switch (outcome.outcome) {
        case "refreshed":
          say(`✓ Refresh completed in ${howLong(outcome)}s (${whatItDid(outcome)})`);
          for (const line of statisticsLines(outcome.statistics)) write(line);
          sayDrift(outcome, ({ problem, remedy }) => {
            say(`Warning: ${displayName(outcome.view)}: ${problem}`);
            write(`  To find out: ${remedy}`);
          });
          return;
        case "skipped":
          say(`Skipped ${displayName(outcome.view)}: ${outcome.reason}`);
          return;
        case "failed":
          say(`✗ Refresh failed: ${outcome.failure.message}`);
          for (const line of serverLines(outcome.failure)) write(line);
          return;
      }
    },
    note: (message) => say(message),
  };
}

/** The same facts as one JSON object a line. */
export function jsonReport(logger: Pick<Logger, "info" | "warn" | "error">): Report {
  const of = (view: QualifiedName): { view: string } => ({ view: qualifiedName(view) });
  return {
    connecting: () => logger.info("Connecting to database"),
    refreshing: (view) => logger.info("Refreshing materialized view", of(view)),
    fallingBack: (view, reason, remedy) =>
      logger.warn(`falling back to regular refresh: ${reason}`, { ...of(view), reason, remedy }),
    waiting: (view) => logger.info("Waiting for the refresh that is running", of(view)),
    retrying: (failure, attempt) => logger.warn("Trying again", { ...failureFacts(failure), attempt }),
    puttingOff: (view, reason) => logger.warn("Put off until the others are done", { ...of(view), reason }),
    finished(outcome) {
      const facts = { ...of(outcome.view), staleness_seconds: outcome.stalenessSeconds };
      switch (outcome.outcome) {
        case "refreshed":
          logger.info("Refresh completed", {
            ...facts,
            refresh_type: outcome.refreshType,
            duration_seconds: outcome.durationSeconds,
            as_of: outcome.asOf,
            statistics: outcome.statistics,
            ...(outcome.fold && {
              changes: outcome.fold.changes,
              changed_rows: outcome.fold.changedRows,
              drift: outcome.fold.drift,
              reason: outcome.fold.reason ?? undefined,
            }),
          });
          sayDrift(outcome, (drift) => logger.warn("Drift found", { ...of(outcome.view), ...drift }));
          return;
        case "skipped":
          logger.info("Refresh skipped", { ...facts, reason: outcome.reason });
          return;
        case "failed":
          logger.error("Refresh failed", { ...facts, ...failureFacts(outcome.failure) });
          return;
      }
    },
    note: (message) => logger.warn(message),
  };
}

function failureFacts(failure: RefreshFailure): Record<string, unknown> {
  const { view, code, kind, problem, remedy, blockers } = failure;
  return { view, code, kind, problem, remedy, blockers };
}
