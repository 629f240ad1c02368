/** What a tick, an age over time and a whole snapshot say in words. Pure. */
import { VERDICTS, type Snapshot, type Tick, type ViewDetail, type ViewSummary } from "../../contract";
import { formatAge, formatCount, formatCounted, formatDuration, formatMoment, formatSpan } from "./format";

/** `10:14:00 refreshed, incremental: 1,204 changes, 37 rows in 3 ms`. */
export function tickStory(tick: Tick, nowMs: number): string {
  return `${formatMoment(tick.atMs, nowMs)} ${tick.outcome}${tickDetail(tick)}${othersOf(tick)}`;
}

/** The story without time and outcome; empty, or it begins with a comma, a colon or a blank. */
export function tickDetail(tick: Tick): string {
  const took = tick.durationSeconds === null ? "" : formatDuration(tick.durationSeconds);
  const reason = tick.reason === null ? "" : `: ${tick.reason}`;
  switch (tick.outcome) {
    case "refreshed": {
      const kind = tick.kind === null ? "" : `, ${tick.kind}`;
      const folded = [
        ...(tick.changes === null ? [] : [formatCounted(tick.changes, "change")]),
        ...(tick.changedRows === null ? [] : [`${formatCounted(tick.changedRows, "row")} changed`]),
        ...(tick.drift === null || tick.drift === 0
          ? []
          : [`drift of ${formatCounted(tick.drift, "row")} put right`]),
      ].join(", ");
      return `${kind}${reason}${folded && `${reason ? " ·" : ":"} ${folded}`}${took && ` in ${took}`}`;
    }
    case "failed":
      return `${took && ` after ${took}`}${tick.sqlstate === null ? "" : `, SQLSTATE ${tick.sqlstate}`}${reason}`;
    case "skipped":
      return reason;
    case "never came":
      return reason || ": the schedule wanted a run here, and history has none";
  }
}

/** A tick that stands for others where there was no room for all. */
const othersOf = (tick: Tick): string =>
  tick.runs > 1 ? ` (the one that says most of ${formatCount(tick.runs)})` : "";

/** A time in which the age was above the promise. */
export interface Breach {
  fromMs: number;
  toMs: number;
}

/** Whether a tick says more than that all went as it should. */
export const isOfNote = (tick: Tick): boolean =>
  tick.outcome !== "refreshed" || tick.kind === "full" || tick.kind === "regular" || (tick.drift ?? 0) > 0;

/** The breaches of a promise, from the points where the age crossed it. */
export function breachesOf(age: ViewDetail["age"], promiseSeconds: number): Breach[] {
  const { atMs, over } = crossPromise(age, promiseSeconds);
  const breaches: Breach[] = [];
  let open: Breach | undefined;
  for (const [index, at] of atMs.entries()) {
    const isOver = over[index] !== null;
    if (isOver && open === undefined) open = { fromMs: at, toMs: at };
    else if (isOver && open !== undefined) open.toMs = at;
    else if (open !== undefined) {
      breaches.push(open);
      open = undefined;
    }
  }
  if (open !== undefined) breaches.push(open);
  return breaches.filter((breach) => breach.toMs > breach.fromMs);
}

/**
 * The age with a point more wherever it crosses the promise, and beside it the part that lies above. Where it comes
 * back in a fall of no width (a refresh), both lie at one time.
 */
export function crossPromise(
  age: ViewDetail["age"],
  promiseSeconds: number | null,
): { atMs: number[]; seconds: (number | null)[]; over: (number | null)[] } {
  const atMs: number[] = [];
  const seconds: (number | null)[] = [];
  const over: (number | null)[] = [];
  const add = (at: number, value: number | null, above: number | null) => {
    atMs.push(at);
    seconds.push(value);
    over.push(above);
  };
  for (const [index, at] of age.atMs.entries()) {
    const value = age.seconds[index] ?? null;
    const before = index === 0 ? null : (age.seconds[index - 1] ?? null);
    if (promiseSeconds !== null && value !== null && before !== null) {
      const crosses = before > promiseSeconds !== value > promiseSeconds;
      if (crosses) {
        const from = age.atMs[index - 1] ?? at;
        const crossing = from + ((promiseSeconds - before) / (value - before)) * (at - from);
        add(crossing, promiseSeconds, promiseSeconds);
      }
    }
    add(at, value, promiseSeconds !== null && value !== null && value > promiseSeconds ? value : null);
  }
  return { atMs, seconds, over };
}

/** The age over time in a sentence, for those who do not see the line. */
export function ageSummary(age: ViewDetail["age"], promiseSeconds: number | null, nowMs: number): string {
  const known = age.seconds.filter((seconds) => seconds !== null);
  if (known.length === 0) return "no age is known in this range";
  const highest = `highest ${formatAge(known.reduce((a, b) => Math.max(a, b)))}`;
  if (promiseSeconds === null) return `${highest}; no promise is known`;
  const breaches = breachesOf(age, promiseSeconds);
  if (breaches.length === 0) return `${highest}, never over its promise`;
  const longest = breaches.reduce((a, b) => (b.toMs - b.fromMs > a.toMs - a.fromMs ? b : a));
  const often = breaches.length === 1 ? "once" : `${formatCount(breaches.length)} times`;
  const length = formatSpan((longest.toMs - longest.fromMs) / 1_000);
  return `${highest}, ${often} over its promise${breaches.length > 1 ? ", longest" : ""} for ${length} from ${formatMoment(longest.fromMs, nowMs)}`;
}

/** `1 late, 1 failing, 3 ok`: the worst first. */
export function verdictCounts(views: ViewSummary[]): string {
  return VERDICTS.map((verdict) => ({
    verdict,
    count: views.filter((view) => view.verdict === verdict).length,
  }))
    .filter(({ count }) => count > 0)
    .map(({ verdict, count }) => `${count} ${verdict}`)
    .join(", ");
}

/** How its `as_of` came about. */
export function asOfStory(detail: ViewDetail, summary: ViewSummary, nowMs: number): string {
  if (summary.asOfMs === null) return "not known";
  const asOf = formatMoment(summary.asOfMs, nowMs);
  return detail.asOfFrom === null
    ? `${asOf}, when its last good run began to read`
    : `${asOf}, as old as ${detail.asOfFrom}, which it reads`;
}

/** The title of the tab: what is wrong, then what it is about. */
export function pageTitle(snapshot: Snapshot | null, isLive: boolean): string {
  if (snapshot === null) return "Freshness of materialized views";
  const state = isLive ? verdictCounts(snapshot.views) || "no views" : "not connected";
  return `${state} · ${snapshot.server.database}`;
}
