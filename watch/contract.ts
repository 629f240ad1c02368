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
  /** Null where nothing promises anything: no settings, no --max-age. */
  promiseSeconds: number | null;
  /** Why it is late, failing or unknown, or what the last refresh did: `incremental, 1,204 changes in 3 ms`. */
  cause: string;
  /** SQL or a command that puts it right, to be copied. */
  remedy: string | null;
  /** Share of the range in which the age was within the promise, 0 to 1; null without a promise or without data. */
  withinPromise: number | null;
}

/**
 * One run of one view, or a tick without one. Where more runs fall together than can be drawn, one stands for all of
 * them: a failure before a full run, a full run before a slow one.
 */
export interface Tick {
  /** When it began; of a tick that never came, when it was due. */
  atMs: number;
  /** How many runs, or ticks that never came, it stands for, itself included. */
  runs: number;
  outcome: TickOutcome;
  kind: RefreshKind | null;
  durationSeconds: number | null;
  /** Of a maintained view. */
  changes: number | null;
  changedRows: number | null;
  drift: number | null;
  /** Why it was skipped, failed, full or not concurrent. */
  reason: string | null;
  sqlstate: string | null;
}

export interface Failure {
  /** When it was given up. */
  atMs: number;
  sqlstate: string | null;
  reason: string;
  remedy: string | null;
  /** Who stood in the way when it failed, as it was written down then: `public.jobs, held by pid 812 (etl, …)`. */
  blockers: string[];
}

/** Everything below the first look, of one view, within the range. At most about a thousand points a series. */
export interface ViewDetail {
  view: string;
  /**
   * The age over time: a sawtooth, as points that are drawn from one to the next; null breaks the line. The last point
   * is now. Where refreshes are too many to draw, those before which the age was highest are kept.
   */
  age: { atMs: number[]; seconds: (number | null)[] };
  /** In order of time. */
  ticks: Tick[];
  /** How many of each there were in the range, drawn or not. */
  counts: Record<TickOutcome, number>;
  /** The last of the range, the newest first. */
  failures: Failure[];
  /** What its query reads: tables, and other views (materialized or maintained) with the time of their data. */
  reads: { name: string; kind: "table" | "view"; asOfMs: number | null }[];
  /** The view among {@link reads} whose data is so old that this one's age is no less; null where its own refresh is. */
  asOfFrom: string | null;
  isMaintained: boolean;
  /** Of a maintained view: changes that wait to be folded, the last full run and why, drift found since it was made so. */
  maintenance: {
    /** Null where the role may not read the logs. */
    pendingChanges: number | null;
    /** There are more: counting ended there. */
    pendingIsAtLeast: boolean;
    isPaused: boolean;
    lastFullAtMs: number | null;
    lastFullReason: string | null;
    drift: number;
  } | null;
  /** Of the last refreshes of the range, so many. */
  durations: { p50Seconds: number | null; p99Seconds: number | null; of: number };
}

/** An alarm, replayed from history by the plan's own rules. CloudWatch's may differ. */
export interface AlarmState {
  name: string;
  /** `failing`, `stale`, `slow`, `errors`, `drift` or `fullRuns`. What Lambda alone knows (throttled) is not among them. */
  kind: string;
  view: string | null;
  state: "OK" | "ALARM" | "INSUFFICIENT_DATA";
  /** Null where it has been so for longer than was replayed. */
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
    /** `dev` of Pulumi.dev.yaml. */
    stack: string;
    expression: string;
    /** `every 30 seconds`. */
    description: string;
    /** False where the settings have switched refreshes off. */
    isEnabled: boolean;
    /** Null where ticks are not evenly spaced. */
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
  controls: {
    paused: boolean;
    load: string;
    /** What `load` may be set to, the least first. */
    loads: string[];
    available: Control[];
    /** Goes into the header {@link TOKEN_HEADER} of every post; another one with each start of the server. */
    token: string;
  } | null;
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

export const DEFAULT_RANGE: RangeName = "6h";

/**
 * An event of the stream `/events?range=6h`: its data, JSON; all are events of the default name, `message`. The first
 * comes at once, a snapshot whenever something changed, and one at least every 15 s. No event for 40 s means that the
 * server is gone.
 */
export type StreamEvent =
  | { type: "snapshot"; snapshot: Snapshot }
  /** The database does not answer; the server goes on trying. With the controls, which go on working. */
  | { type: "disconnected"; reason: string; sinceMs: number; controls: Snapshot["controls"] };

/** Header of `POST /control/<name>`, whose body is JSON: `{}`, or `{ "level": "heavy" }` for load. */
export const TOKEN_HEADER = "x-matview-token";
export interface ControlRequest {
  level?: string;
}

/** Answer of `POST /control/<name>`: what was done, in words; or, with a status from 400 on, why it was not. */
export type ControlAnswer = { done: string } | { error: string };

/** Id of the element of the served HTML that the page is put into. Its script is /page.js, its style /page.css. */
export const ROOT_ID = "page";
