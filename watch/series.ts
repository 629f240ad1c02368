/** What a range shows of each view, kept between polls: only what is new is read. */
import type { CatalogView } from "./queries/catalog";
import type { Measure, Segment } from "./queries/segments";

/** The last refresh of a view, and its last run, as the next segment finds them. Seconds since 1970. */
export interface Carry {
  refreshed: number | null;
  asOf: number | null;
  started: number | null;
}

/** What one view's segments come to, in order. */
export interface Series {
  age: { atMs: number[]; seconds: (number | null)[] };
  /** Null without a promise, or where nothing is known of the age. */
  withinPromise: number | null;
  /** The run that says most of each slice, by its id, and how many it stands for. */
  ticks: { id: number; runs: number }[];
  /** Where runs began far apart, in order. */
  gaps: [fromSeconds: number, toSeconds: number][];
  refreshed: number;
  skipped: number;
  failed: number;
  durations: { p50Seconds: number | null; p99Seconds: number | null; of: number };
  lastStarted: number | null;
}

/** Steps of 2 %: as exact as a duration is shown. */
const DURATION_STEP = Math.log(1.02);

/** A segment without its single durations, which are counted by size. */
export type StoredSegment = Omit<Segment, "durations"> & { sizes: Map<number, number> };

export function store({ durations, ...segment }: Segment): StoredSegment {
  const sizes = new Map<number, number>();
  for (const seconds of durations ?? []) {
    const size = Math.round(Math.log(Math.max(seconds, 1e-4)) / DURATION_STEP);
    sizes.set(size, (sizes.get(size) ?? 0) + 1);
  }
  return { ...segment, sizes };
}

/** Two segments of one view and slice, the second right after the first, as one. */
export function mergeSegments(
  a: StoredSegment,
  b: StoredSegment,
  { promiseSeconds, gapSeconds }: Measure,
): StoredSegment {
  const isFar = gapSeconds !== null && b.firstStart - a.lastStart > gapSeconds;
  const between: [number, number][] = isFar ? [[a.lastStart, b.firstStart]] : [];
  const gaps = [...(a.gaps ?? []), ...between, ...(b.gaps ?? [])];
  const sizes = new Map(a.sizes);
  for (const [size, count] of b.sizes) sizes.set(size, (sizes.get(size) ?? 0) + count);
  const { lastRefresh, lastAsOf } = a;
  const { firstRefresh, firstAsOf } = b;
  const isLinked = lastRefresh !== null && lastAsOf !== null && firstRefresh !== null;
  const late =
    isLinked && promiseSeconds !== null
      ? Math.max(0, firstRefresh - Math.max(lastRefresh, lastAsOf + promiseSeconds))
      : 0;
  const link: Segment["peak"] =
    isLinked && firstAsOf !== null ? [firstRefresh - lastAsOf, firstRefresh, firstAsOf] : null;
  const peaks = [a.peak, link, b.peak].filter((peak) => peak !== null);
  const says = b.tick[0] - a.tick[0] || b.tick[1] - a.tick[1];
  return {
    ...a,
    lastId: b.lastId,
    refreshed: a.refreshed + b.refreshed,
    skipped: a.skipped + b.skipped,
    failed: a.failed + b.failed,
    lastStart: Math.max(a.lastStart, b.lastStart),
    firstRefresh: a.firstRefresh ?? b.firstRefresh,
    lastRefresh: b.lastRefresh ?? a.lastRefresh,
    firstAsOf: a.firstAsOf ?? b.firstAsOf,
    lastAsOf: b.lastAsOf ?? a.lastAsOf,
    unknown: a.unknown + b.unknown,
    peak: peaks.sort(([x], [y]) => y - x)[0] ?? null,
    lateSeconds: a.lateSeconds + late + b.lateSeconds,
    tick: says > 0 ? b.tick : a.tick,
    gaps: gaps.length === 0 ? null : gaps,
    sizes,
  };
}

/** What one view's age was over a range. */
interface Span {
  fromSeconds: number;
  nowSeconds: number;
}

/**
 * Joins a view's segments, which are in order of time, into what is drawn and told.
 * @param before what came before the first of them.
 */
export function joinSegments(
  segments: StoredSegment[],
  before: Carry,
  { promiseSeconds, gapSeconds }: Measure,
  { fromSeconds, nowSeconds }: Span,
): Series {
  const line = new AgeLine(fromSeconds);
  const ticks = new Map<number, { id: number; runs: number; weight: [number, number] }>();
  const sizes = new Map<number, number>();
  const gaps: Series["gaps"] = [];
  const totals = { refreshed: 0, skipped: 0, failed: 0 };
  let { refreshed, asOf, started } = before;
  let lateSeconds = 0;
  // From then on the age is known.
  let knownFrom = asOf === null ? undefined : fromSeconds;
  line.begin(asOf);
  const lateUntil = (at: number): number => {
    if (promiseSeconds === null || asOf === null) return 0;
    return Math.max(0, at - Math.max(refreshed ?? fromSeconds, asOf + promiseSeconds, fromSeconds));
  };
  for (const segment of segments) {
    const { firstRefresh, firstAsOf, peak } = segment;
    totals.refreshed += segment.refreshed;
    totals.skipped += segment.skipped;
    totals.failed += segment.failed;
    for (const [size, count] of segment.sizes) sizes.set(size, (sizes.get(size) ?? 0) + count);
    addTick(ticks, segment);
    if (gapSeconds !== null && started !== null && segment.firstStart - started > gapSeconds) {
      gaps.push([started, segment.firstStart]);
    }
    gaps.push(...(segment.gaps ?? []));
    started = Math.max(started ?? 0, segment.lastStart);
    if (firstRefresh === null) continue;
    lateSeconds += segment.lateSeconds + lateUntil(firstRefresh);
    const linked =
      asOf === null || firstAsOf === null ? null : ([firstRefresh - asOf, firstRefresh, firstAsOf] as const);
    const highest = linked !== null && (peak === null || linked[0] > peak[0]) ? linked : peak;
    // As of a refresh that read a view of unknown age, nothing is known until the next that is known.
    const isUnknown = segment.unknown === segment.refreshed;
    if (isUnknown) {
      line.upTo(firstRefresh, asOf);
      line.break(firstRefresh);
      asOf = null;
    } else {
      if (highest === null) line.begin(firstAsOf, firstRefresh);
      else line.refresh(highest);
      asOf = segment.lastAsOf;
      line.touch(segment.lastRefresh, asOf);
      knownFrom ??= firstRefresh;
    }
    refreshed = segment.lastRefresh;
  }
  line.upTo(nowSeconds, asOf);
  lateSeconds += lateUntil(nowSeconds);
  const seconds = knownFrom === undefined ? 0 : nowSeconds - knownFrom;
  return {
    age: line.points,
    withinPromise:
      promiseSeconds === null || seconds <= 0 ? null : Math.min(1, Math.max(0, 1 - lateSeconds / seconds)),
    ticks: [...ticks.values()].map(({ id, runs }) => ({ id, runs })),
    gaps,
    ...totals,
    durations: quantiles(sizes),
    lastStarted: started,
  };
}

function addTick(
  ticks: Map<number, { id: number; runs: number; weight: [number, number] }>,
  { slice, tick: [kind, seconds, id], refreshed, skipped, failed }: StoredSegment,
): void {
  const runs = refreshed + skipped + failed;
  const known = ticks.get(slice);
  if (known === undefined) return void ticks.set(slice, { id, runs, weight: [kind, seconds] });
  known.runs += runs;
  const says = kind - known.weight[0] || seconds - known.weight[1];
  if (says > 0) Object.assign(known, { id, weight: [kind, seconds] });
}

/** Seconds, within 1 %, below which so much of all durations are. */
function quantiles(sizes: Map<number, number>): Series["durations"] {
  const sorted = [...sizes].sort(([a], [b]) => a - b);
  const of = sorted.reduce((sum, [, count]) => sum + count, 0);
  const at = (share: number): number | null => {
    let left = Math.ceil(of * share);
    for (const [size, count] of sorted) {
      left -= count;
      if (left <= 0) return Math.exp(size * DURATION_STEP);
    }
    return null;
  };
  return { p50Seconds: of === 0 ? null : at(0.5), p99Seconds: of === 0 ? null : at(0.99), of };
}

/** Points of the sawtooth. */
class AgeLine {
  readonly points: Series["age"] = { atMs: [], seconds: [] };
  private isOpen = false;

  constructor(private readonly fromSeconds: number) {}

  /** From here the age is known. */
  begin(asOf: number | null, at = this.fromSeconds): void {
    if (asOf === null) return;
    this.isOpen = true;
    this.add(at, at - asOf);
  }

  /** A refresh after which the data is younger. */
  refresh([age, at, asOf]: readonly [number, number, number]): void {
    if (this.isOpen) this.add(at, age);
    this.isOpen = true;
    this.add(at, at - asOf);
  }

  /** The last refresh of a slice, where another was drawn. */
  touch(at: number | null, asOf: number | null): void {
    const last = (this.points.atMs.at(-1) ?? 0) / 1_000;
    if (at !== null && asOf !== null && at > last + 0.001) this.add(at, at - asOf);
  }

  upTo(at: number, asOf: number | null): void {
    if (this.isOpen && asOf !== null) this.add(at, at - asOf);
  }

  /** Nothing is known from here on. */
  break(at: number): void {
    if (!this.isOpen) return;
    this.points.atMs.push(Math.round(at * 1_000));
    this.points.seconds.push(null);
    this.isOpen = false;
  }

  private add(at: number, age: number): void {
    this.points.atMs.push(Math.round(at * 1_000));
    this.points.seconds.push(Math.round(Math.max(0, age) * 1_000) / 1_000);
  }
}

/** How many slices a range has: the fewer, the more views there are to be drawn. */
export function slicesOf(views: CatalogView[]): number {
  return views.length <= 8 ? 360 : views.length <= 24 ? 180 : 90;
}
