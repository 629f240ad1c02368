/** How a view stands, why, and what to do about it: one line each. Pure. */
import { escapeLiteral } from "pg";
import type { Blocker } from "../handler/blockers";
import { shellName } from "../handler/names";
import { VERDICTS, type Verdict, type ViewSummary } from "./contract";
import type { CatalogView } from "./queries/catalog";
import type { MaintenanceStatus } from "./queries/maintenance";
import { MOST_COUNTED, type HistoryRow, type NowRow } from "./queries/now";
import type { RunningRefresh } from "./queries/waits";
import { counted, duration } from "./words";

/** All that is known of a view's standing. */
export interface Standing {
  view: CatalogView;
  nowMs: number;
  promiseSeconds: number | null;
  /** Undefined where history may not be read, or is not there. */
  now: NowRow | undefined;
  maintenance: MaintenanceStatus | null;
  running: RunningRefresh | undefined;
  /** Who is in the way of a refresh; asked only where one may be. */
  blockers: Blocker[];
  /** Why nothing refreshes it at present; undefined where something does. */
  pausedBecause: { reason: string; remedy: string | null } | undefined;
  /** Seconds between ticks, where they are expected. */
  everySeconds: number | undefined;
  /** Command that shows whether the schedule is on. */
  scheduleRemedy: string | undefined;
}

type Judged = Pick<ViewSummary, "verdict" | "cause" | "remedy">;

export function judge(standing: Standing): Judged {
  const verdict = verdictOf(standing);
  const { cause, remedy } = explain(standing, verdict);
  return { verdict, cause, remedy };
}

export function ageSeconds({ now, nowMs }: Pick<Standing, "now" | "nowMs">): number | null {
  const asOfMs = now?.lastRefresh?.asOfMs ?? null;
  return asOfMs === null ? null : Math.max(0, (nowMs - asOfMs) / 1_000);
}

function verdictOf(standing: Standing): Verdict {
  const { now, promiseSeconds, pausedBecause, maintenance } = standing;
  const age = ageSeconds(standing);
  if (age !== null && promiseSeconds !== null && age > promiseSeconds) return "late";
  if (now?.lastRun?.outcome === "failed") return "failing";
  const isPaused = pausedBecause !== undefined || maintenance?.isPaused === true;
  if (isPaused) return "paused";
  return age === null ? "unknown" : "ok";
}

interface Explained {
  cause: string;
  remedy: string | null;
}

const refreshCommand = (view: CatalogView): string => `npm run refresh -- --view ${shellName(view)}`;

function explain(standing: Standing, verdict: Verdict): Explained {
  const { view, now, running, blockers, maintenance, pausedBecause } = standing;
  if (verdict === "ok") return whatItDid(standing);
  const [blocker] = blockers;
  if (blocker !== undefined) return { cause: waitsFor(blocker, blockers.length - 1), remedy: endOf(blocker) };
  if (maintenance?.isPaused === true) {
    return {
      cause: "it is paused: its changes are logged and not folded",
      remedy: `npm run incremental -- resume --view ${shellName(view)}`,
    };
  }
  const lastRun = now?.lastRun ?? null;
  if (verdict === "failing" || lastRun?.outcome === "failed") return failed(standing, lastRun as HistoryRow);
  if (pausedBecause !== undefined) return { cause: pausedBecause.reason, remedy: pausedBecause.remedy };
  if (running !== undefined) {
    const since = running.seconds === null ? "" : ` for ${duration(running.seconds)}`;
    return { cause: `a refresh has been running${since} (pid ${running.pid})`, remedy: null };
  }
  if (verdict === "unknown") return unknown(standing);
  return silent(standing, lastRun);
}

/** `waits for pid 812, idle in transaction for 11 min (etl)`. */
function waitsFor(
  { pid, preparedTransaction, user, state, seconds, relation }: Blocker,
  more: number,
): string {
  const who = pid === null ? `prepared transaction "${preparedTransaction}"` : `pid ${pid}`;
  const since = seconds === null ? "" : ` for ${duration(seconds)}`;
  const what = state === null ? "" : `, ${state}${since}`;
  const whose = user === null ? "" : ` (${user})`;
  const others = more === 0 ? "" : ` and ${more} more`;
  return `waits for ${who}${what}${whose}${others}, which locked ${relation}`;
}

function endOf({ pid, preparedTransaction }: Blocker): string {
  return pid === null
    ? `ROLLBACK PREPARED ${escapeLiteral(preparedTransaction ?? "")}`
    : `SELECT pg_terminate_backend(${pid})`;
}

function failed({ view, now }: Standing, { reason, sqlstate, remedy }: HistoryRow): Explained {
  const count = now?.failedRuns ?? 1;
  const often =
    count <= 1 ? "" : `${count >= MOST_COUNTED ? `${MOST_COUNTED} or more` : count} times in a row: `;
  const code = sqlstate === null ? "" : ` (${sqlstate})`;
  return {
    cause: `failed, ${often}${reason ?? "for no recorded reason"}${code}`,
    remedy: remedy ?? refreshCommand(view),
  };
}

function unknown({ view, now }: Standing): Explained {
  if (now === undefined) {
    return { cause: "no history can be read, so its age is not known", remedy: "npm run migrate" };
  }
  const { lastRefresh, lastRun } = now;
  if (lastRefresh !== null) {
    return { cause: lastRefresh.reason ?? "the time of its data is not known", remedy: null };
  }
  const skipped = lastRun?.outcome === "skipped" ? `the last run skipped it: ${lastRun.reason}` : undefined;
  const empty = view.isPopulated ? "" : ", and it holds no data yet";
  return { cause: skipped ?? `no refresh of it is recorded${empty}`, remedy: refreshCommand(view) };
}

/** Late, though the last run did not fail. */
function silent(
  { view, nowMs, everySeconds, scheduleRemedy }: Standing,
  lastRun: HistoryRow | null,
): Explained {
  const remedy = scheduleRemedy ?? refreshCommand(view);
  if (lastRun === null) return { cause: "no run of it is recorded", remedy };
  const ago = (nowMs - lastRun.finishedMs) / 1_000;
  const due = everySeconds === undefined ? "" : `, one was due every ${duration(everySeconds)}`;
  if (everySeconds === undefined || ago > everySeconds * 1.5) {
    return { cause: `no run for ${duration(ago)}${due}`, remedy };
  }
  if (lastRun.outcome === "skipped") return { cause: `skipped: ${lastRun.reason ?? ""}`, remedy: null };
  const old = lastRun.asOfMs === null ? 0 : (lastRun.finishedMs - lastRun.asOfMs) / 1_000;
  return {
    cause:
      old > lastRun.seconds * 2 + 1
        ? `refreshed ${duration(ago)} ago from data that was ${duration(old)} old`
        : `refreshed ${duration(ago)} ago: refreshes are too far apart for the promise`,
    remedy: null,
  };
}

/** `incremental, 1,204 changes in 3 ms`. */
function whatItDid({ now, running }: Standing): Explained {
  const { lastRefresh, lastRun } = now ?? {};
  if (lastRun?.outcome === "skipped" && lastRun.reason !== null) {
    const holder = running === undefined ? "" : ` (pid ${running.pid})`;
    return { cause: `skipped: ${lastRun.reason}${holder}`, remedy: null };
  }
  if (lastRefresh == null) return { cause: "", remedy: null };
  const { kind, changes, seconds, reason } = lastRefresh;
  const what = changes === null ? "" : `, ${counted(changes, "change")}`;
  const why = kind !== "concurrent" && kind !== "incremental" && reason !== null ? `: ${reason}` : "";
  return { cause: `${kind ?? "refreshed"}${what} in ${duration(seconds)}${why}`, remedy: null };
}

/** The worst on top: by verdict, then by age against promise. */
export function compareViews(a: ViewSummary, b: ViewSummary): number {
  const rank = ({ verdict }: ViewSummary): number => VERDICTS.indexOf(verdict);
  const share = ({ ageSeconds: age, promiseSeconds }: ViewSummary): number =>
    age === null ? Infinity : age / (promiseSeconds ?? 1e9);
  const shares = share(b) - share(a);
  return rank(a) - rank(b) || (Number.isNaN(shares) ? 0 : shares) || (a.view < b.view ? -1 : 1);
}
