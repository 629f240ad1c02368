/**
 * What the page is told, as JSON: a snapshot when it opens and again whenever something changed. Times are the
 * database's own clock, milliseconds since 1970; durations are in seconds. Nothing here is SQL to be run by the page,
 * and no text is HTML.
 */

/** How a view stands, the worst first. */
export const VERDICTS = ["late", "failing", "unknown", "paused", "ok"] as const;
export type Verdict = (typeof VERDICTS)[number];

/** What a refresh, or a tick that should have led to one, came to. */
export type TickOutcome = "refreshed" | "skipped" | "failed" | "never came";
export type RefreshKind = "concurrent" | "regular" | "incremental" | "full";

/** The first look: one view in one line. */
export interface ViewSummary {
  /** `public.job_progress`. */
  view: string;
  verdict: Verdict;
  /** Age of the data; null where it is not known. */
  ageSeconds: number | null;
  asOfMs: number | null;
  /** Undefined where no settings are at hand. */
  promiseSeconds: number | null;
  /** Why it is late, failing or unknown, or what the last refresh did: `incremental, 1,204 changes in 3 ms`. */
  cause: string;
  /** SQL or a command that puts it right, to be copied. */
  remedy: string | null;
  /** Share of the range in which the age was within the promise, 0 to 1. */
  withinPromise: number | null;
}

/** One run of one view, or a tick without one. */
export interface Tick {
  atMs: number;
  outcome: TickOutcome;
  kind: RefreshKind | null;
  durationSeconds: number | null;
  /** Of a maintained view. */
  changes: number | null;
  changedRows: number | null;
  drift: number | null;
  /** Why it was skipped, failed, full or not concurrent. */
  reason: string | null;
}

export interface Failure {
  atMs: number;
  sqlstate: string | null;
  reason: string;
  remedy: string | null;
  /** Who stood in the way when it failed, as it was written down then. */
  blockers: string[];
}

/** Everything below the first look, of one view, within the range. At most about a thousand points a series. */
export interface ViewDetail {
  view: string;
  /** The age over time: a sawtooth, as pairs that are drawn from one to the next; null breaks the line. */
  age: { atMs: number[]; seconds: (number | null)[] };
  /** In order of time; where there are more than fit, those that say most are kept: failures, full runs, never came. */
  ticks: Tick[];
  failures: Failure[];
  /** What its query reads: tables, and other views with the time of their data. */
  reads: { name: string; kind: "table" | "view"; asOfMs: number | null }[];
  isMaintained: boolean;
  /** Of a maintained view: changes that wait to be folded, the last full run and why, drift found since it was made so. */
  maintenance: {
    pendingChanges: number;
    lastFullAtMs: number | null;
    lastFullReason: string | null;
    drift: number;
  } | null;
  durations: { p50Seconds: number | null; p99Seconds: number | null };
}

/** An alarm, replayed from history by the plan's own rules. CloudWatch's may differ. */
export interface AlarmState {
  name: string;
  view: string | null;
  state: "OK" | "ALARM" | "INSUFFICIENT_DATA";
  sinceMs: number | null;
  /** The alarm's own description. */
  description: string;
}

/** What a local run lets the page do. */
export const CONTROLS = ["refresh", "pause", "resume", "load", "outage"] as const;
export type Control = (typeof CONTROLS)[number];

export interface Snapshot {
  server: { address: string; database: string; version: string; nowMs: number };
  /** From the settings of the stack, where there are some. */
  schedule: {
    expression: string;
    /** Undefined where ticks are not evenly spaced. */
    intervalSeconds: number | null;
    timeoutSeconds: number;
    monthlyUsd: number | null;
  } | null;
  range: { fromMs: number; toMs: number; name: RangeName };
  /** The worst on top. */
  views: ViewSummary[];
  details: ViewDetail[];
  alarms: AlarmState[];
  /** Absent where the page watches a database of somebody else's: it can do nothing then. */
  controls: { paused: boolean; load: string; available: Control[] } | null;
  /** What could not be read, and which right is missing. */
  notes: string[];
}

export const RANGES = {
  "5m": 300,
  "1h": 3_600,
  "6h": 21_600,
  "24h": 86_400,
  "7d": 604_800,
  "30d": 2_592_000,
} as const;
export type RangeName = keyof typeof RANGES;

/** An event of the stream `/events?range=6h`. */
export type StreamEvent =
  | { type: "snapshot"; snapshot: Snapshot }
  /** The database does not answer; the server goes on trying. */
  | { type: "disconnected"; reason: string; sinceMs: number };

/** Answer of `POST /control/<name>`: what was done, in words. */
export interface ControlAnswer {
  done: string;
}
