/** Snapshots as a server would send them, with planted faults: a late, a failing and an unknown view, and two that are well. */
import {
  RANGES,
  type Failure,
  type RangeName,
  type RefreshKind,
  type Snapshot,
  type Tick,
  type TickOutcome,
  type ViewDetail,
  type ViewSummary,
} from "../../watch/contract";

const promiseSeconds = 240;
const minuteMs = 60_000;

/** The same number for the same minute: what was drawn once stays as it is when the window moves on. */
function chance(seed: number, minute: number): number {
  let mixed = Math.imul(minute ^ Math.imul(seed, 0x9e3779b1), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return ((mixed ^ (mixed >>> 16)) >>> 0) / 2 ** 32;
}

interface Planted {
  view: string;
  seed: number;
  isMaintained: boolean;
  /** Outcome of the tick so many minutes ago. */
  outcomeAt: (minutesAgo: number) => { outcome: TickOutcome; reason?: string; sqlstate?: string };
  kindAt: (minutesAgo: number) => { kind: RefreshKind; reason?: string };
  durationAt: (random: number, kind: RefreshKind) => number;
  reads: ViewDetail["reads"];
  failures: (nowMs: number) => Failure[];
}

const fine = { outcome: "refreshed" } as const;

const plantedViews: Planted[] = [
  {
    view: "public.sales_by_day",
    seed: 1,
    isMaintained: false,
    outcomeAt: (minutesAgo) => {
      if (minutesAgo < 5) {
        return { outcome: "failed", reason: "waited 50 s for the lock of public.sales", sqlstate: "55P03" };
      }
      if (minutesAgo >= 96 && minutesAgo < 101) return { outcome: "never came" };
      if (minutesAgo === 180 || minutesAgo === 181) {
        return { outcome: "skipped", reason: "another refresh held the view's lock" };
      }
      return fine;
    },
    kindAt: () => ({ kind: "concurrent" }),
    durationAt: (random) => 2.1 + random ** 6 * 6,
    reads: [
      { name: "public.sales", kind: "table", asOfMs: null },
      { name: "public.shops", kind: "table", asOfMs: null },
    ],
    failures: (nowMs) =>
      [0, 1, 2, 3, 4].map((minutesAgo) => ({
        atMs: nowMs - minutesAgo * minuteMs - 8_000,
        sqlstate: "55P03",
        reason: "waited 50 s for the lock of public.sales",
        remedy: "SELECT pg_terminate_backend(812)",
        blockers: ["public.sales, held by pid 812 (etl, idle in transaction since 11 min)"],
      })),
  },
  {
    view: "reporting.margin_by_shop",
    seed: 2,
    isMaintained: false,
    outcomeAt: (minutesAgo) =>
      minutesAgo < 3
        ? { outcome: "failed", reason: "division by zero in the view's query", sqlstate: "22012" }
        : fine,
    kindAt: () => ({
      kind: "regular",
      reason: "falling back to regular refresh: no unique index without a predicate",
    }),
    durationAt: (random) => 0.31 + random * 0.1,
    reads: [
      { name: "public.sales_by_day", kind: "view", asOfMs: 0 },
      { name: "public.costs", kind: "table", asOfMs: null },
    ],
    failures: (nowMs) =>
      [0, 1, 2].map((minutesAgo) => ({
        atMs: nowMs - minutesAgo * minuteMs - 11_000,
        sqlstate: "22012",
        reason: "division by zero in the view's query",
        remedy: "npm run incremental -- plan reporting.margin_by_shop",
        blockers: [],
      })),
  },
  {
    view: "public.job_progress",
    seed: 3,
    isMaintained: true,
    outcomeAt: (minutesAgo) =>
      minutesAgo === 212 ? { outcome: "skipped", reason: "another refresh held the view's lock" } : fine,
    kindAt: (minutesAgo) =>
      minutesAgo === 140 ? { kind: "full", reason: "every 6 h (fullEvery)" } : { kind: "incremental" },
    durationAt: (random, kind) => (kind === "full" ? 4.8 : 0.0025 + random ** 4 * 0.04),
    reads: [
      { name: "public.jobs", kind: "table", asOfMs: null },
      { name: "public.job_objects", kind: "table", asOfMs: null },
    ],
    failures: () => [],
  },
  {
    view: "public.active_users",
    seed: 4,
    isMaintained: false,
    outcomeAt: () => fine,
    kindAt: () => ({ kind: "concurrent" }),
    durationAt: (random) => 0.12 + random ** 3 * 0.4,
    reads: [{ name: "public.sessions", kind: "table", asOfMs: null }],
    failures: () => [],
  },
];

interface Run {
  tick: Tick;
  ageBeforeSeconds: number;
}

/** What happened in each minute of the range, and how old the view was when it was refreshed. */
function runsOf(planted: Planted, nowMs: number, rangeSeconds: number): { runs: Run[]; asOfMs: number } {
  const sinceLastTickMs = nowMs % minuteMs;
  let asOfMs = nowMs - rangeSeconds * 1_000 - 25_000;
  const runs: Run[] = [];
  for (let minutesAgo = Math.floor(rangeSeconds / 60); minutesAgo >= 0; minutesAgo -= 1) {
    const atMs = nowMs - sinceLastTickMs - minutesAgo * minuteMs;
    if (atMs < nowMs - rangeSeconds * 1_000) continue;
    const random = chance(planted.seed, Math.floor(atMs / minuteMs));
    const { outcome, reason = null, sqlstate = null } = planted.outcomeAt(minutesAgo);
    const { kind, reason: kindReason = null } = planted.kindAt(minutesAgo);
    const isRefreshed = outcome === "refreshed";
    const triedSeconds = outcome === "failed" ? (sqlstate === "55P03" ? 50 : 0.2) : null;
    const durationSeconds = isRefreshed ? planted.durationAt(random, kind) : triedSeconds;
    const changes = planted.isMaintained && isRefreshed ? Math.round(300 + random * 1_500) : null;
    const tick: Tick = {
      atMs,
      runs: 1,
      outcome,
      kind: isRefreshed ? kind : null,
      durationSeconds,
      changes: kind === "full" ? null : changes,
      changedRows: changes === null ? null : Math.round(changes / 30),
      drift: planted.isMaintained && kind === "full" ? 0 : null,
      reason: isRefreshed ? kindReason : reason,
      sqlstate,
    };
    const endMs = atMs + (durationSeconds ?? 0) * 1_000;
    if (endMs > nowMs) continue;
    runs.push({ tick, ageBeforeSeconds: (endMs - asOfMs) / 1_000 });
    if (isRefreshed) asOfMs = atMs;
  }
  return { runs, asOfMs };
}

/** One of each few that says most: what went wrong, else the one before which the view was oldest. */
function mostTelling(runs: Run[], few: number): Run[] {
  const kept: Run[] = [];
  for (let first = 0; first < runs.length; first += few) {
    const together = runs.slice(first, first + few);
    const weight = ({ tick, ageBeforeSeconds }: Run) =>
      ageBeforeSeconds + (tick.outcome === "refreshed" ? 0 : 1e6) + (tick.kind === "full" ? 1e5 : 0);
    const one = together.reduce((a, b) => (weight(b) > weight(a) ? b : a));
    kept.push({ ...one, tick: { ...one.tick, runs: together.length } });
  }
  return kept;
}

function detailOf(planted: Planted, nowMs: number, rangeSeconds: number): ViewDetail {
  const sinceLastTickMs = nowMs % minuteMs;
  const { runs, asOfMs } = runsOf(planted, nowMs, rangeSeconds);
  const counts: Record<TickOutcome, number> = { refreshed: 0, skipped: 0, failed: 0, "never came": 0 };
  for (const { tick } of runs) counts[tick.outcome] += 1;
  const drawn = mostTelling(runs, Math.max(1, Math.ceil(runs.length / 900)));
  const ticks = drawn.map(({ tick }) => tick);
  const age: ViewDetail["age"] = { atMs: [], seconds: [] };
  for (const { tick, ageBeforeSeconds } of drawn) {
    if (tick.outcome !== "refreshed") continue;
    const endMs = tick.atMs + (tick.durationSeconds ?? 0) * 1_000;
    age.atMs.push(endMs, endMs);
    age.seconds.push(ageBeforeSeconds, tick.durationSeconds);
  }
  age.atMs.push(nowMs);
  age.seconds.push((nowMs - asOfMs) / 1_000);
  const durations = ticks
    .filter((tick) => tick.outcome === "refreshed")
    .map((tick) => tick.durationSeconds ?? 0)
    .sort((a, b) => a - b);
  return {
    view: planted.view,
    age,
    ticks,
    counts,
    failures: planted.failures(nowMs),
    reads: planted.reads.map((read) => ({
      ...read,
      asOfMs: read.asOfMs === null ? null : nowMs - sinceLastTickMs - 5 * minuteMs,
    })),
    asOfFrom: planted.reads.find((read) => read.kind === "view")?.name ?? null,
    isMaintained: planted.isMaintained,
    maintenance: planted.isMaintained
      ? {
          pendingChanges: 412,
          pendingIsAtLeast: false,
          isPaused: false,
          lastFullAtMs: nowMs - sinceLastTickMs - 140 * minuteMs,
          lastFullReason: "every 6 h (fullEvery)",
          drift: 0,
        }
      : null,
    durations: {
      p50Seconds: durations[Math.floor(durations.length / 2)] ?? null,
      p99Seconds: durations[Math.floor(durations.length * 0.99)] ?? null,
      of: durations.length,
    },
  };
}

const unknownDetail: ViewDetail = {
  view: "reporting.customer_value",
  age: { atMs: [], seconds: [] },
  ticks: [],
  counts: { refreshed: 0, skipped: 0, failed: 0, "never came": 0 },
  failures: [],
  reads: [{ name: "public.customers", kind: "table", asOfMs: null }],
  asOfFrom: null,
  isMaintained: false,
  maintenance: null,
  durations: { p50Seconds: null, p99Seconds: null, of: 0 },
};

/** What a server would say at `nowMs`; `controls` as of a local run unless told otherwise. */
export function plantedSnapshot(nowMs: number, name: RangeName, changes: Partial<Snapshot> = {}): Snapshot {
  const rangeSeconds = RANGES[name];
  const details = plantedViews.map((planted) => detailOf(planted, nowMs, rangeSeconds));
  const summary = (
    index: number,
    rest: Omit<ViewSummary, "view" | "ageSeconds" | "asOfMs" | "promiseSeconds">,
  ) => {
    const detail = details[index];
    const ageSeconds = detail?.age.seconds.at(-1) ?? null;
    return {
      view: detail?.view ?? "",
      ageSeconds,
      asOfMs: ageSeconds === null ? null : nowMs - ageSeconds * 1_000,
      promiseSeconds,
      ...rest,
    };
  };
  return {
    server: { address: "127.0.0.1:40919", database: "scanner", version: "18.4", nowMs },
    schedule: {
      stack: "local",
      expression: "rate(1 minute)",
      description: "every minute",
      isEnabled: true,
      intervalSeconds: 60,
      timeoutSeconds: 60,
      monthlyUsd: 0.42,
    },
    range: { fromMs: nowMs - rangeSeconds * 1_000, toMs: nowMs, name },
    views: [
      summary(0, {
        verdict: "late",
        cause: "waits for pid 812, idle in transaction for 11 min (etl)",
        remedy: "SELECT pg_terminate_backend(812)",
        withinPromise: 0.9806,
      }),
      summary(1, {
        verdict: "failing",
        cause: "the last 3 runs failed: division by zero in the view's query (22012)",
        remedy: "npm run refresh -- --view reporting.margin_by_shop",
        withinPromise: 0.99871,
      }),
      {
        view: "reporting.customer_value",
        verdict: "unknown",
        ageSeconds: null,
        asOfMs: null,
        promiseSeconds,
        cause: "no refresh of it is recorded",
        remedy: "npm run refresh -- --view reporting.customer_value",
        withinPromise: null,
      },
      summary(2, {
        verdict: "ok",
        cause: "incremental, 1,204 changes in 3 ms",
        remedy: null,
        withinPromise: 0.99989,
      }),
      summary(3, { verdict: "ok", cause: "concurrent in 0.14 s", remedy: null, withinPromise: 1 }),
    ],
    details: [...details.slice(0, 2), unknownDetail, ...details.slice(2)],
    alarms: [
      {
        name: "matview-refresh-stale",
        kind: "stale",
        view: "public.sales_by_day",
        state: "ALARM",
        sinceMs: nowMs - 72_000,
        description: "public.sales_by_day is older than 4 minutes. See who holds its lock, then refresh it.",
      },
      {
        name: "matview-refresh-failing",
        kind: "failing",
        view: null,
        state: "ALARM",
        sinceMs: nowMs - 61_000,
        description: "3 ticks in a row have failed. The log says why and what to do.",
      },
      {
        name: "matview-refresh-slow",
        kind: "slow",
        view: null,
        state: "OK",
        sinceMs: null,
        description: "A run took longer than 80 % of its timeout.",
      },
      {
        name: "matview-refresh-drift",
        kind: "drift",
        view: "public.job_progress",
        state: "OK",
        sinceMs: nowMs - 86_400_000,
        description: "A full run found rows that were not as they should have been.",
      },
    ],
    controls: {
      paused: false,
      load: "light",
      loads: ["off", "light", "medium", "heavy"],
      available: ["refresh", "pause", "resume", "load", "outage"],
      token: "planted-token",
    },
    notes: [],
    ...changes,
  };
}
