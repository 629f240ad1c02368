/**
 * The history of one range, read in short statements: the newest rows first, older ones a stretch at a time, and from
 * then on what is new.
 */
import type { CatalogView } from "./queries/catalog";
import type { Pulse } from "./queries/now";
import {
  readIdBefore,
  readRefreshBefore,
  readSegments,
  ROWS_AT_ONCE,
  type Measure,
  type Stretch,
} from "./queries/segments";
import type { Reader } from "./reader";
import {
  joinSegments,
  mergeSegments,
  slicesOf,
  store,
  type Carry,
  type Series,
  type StoredSegment,
} from "./series";

/** Rows appear in the order of their ids, but for those that are committed at the same moment: they settle. */
const SETTLED_AFTER_SECONDS = 15;

/** How long one poll goes on reading older rows. */
const FILL_MS = 150;

const NOTHING: Carry = { refreshed: null, asOf: null, started: null };

export class RangeHistory {
  readonly sliceSeconds: number;
  private readonly segments: StoredSegment[][];
  /** Rows that have not settled, read anew by each poll. */
  private tail: StoredSegment[][] = [];
  private before: Carry[] = [];
  /** Rows with ids in `(filledAfterId, settledId]` are in {@link segments}. */
  private filledAfterId = 0;
  private settledId = -1;
  private tailId = -1;
  /** The last row before the range, when it was first asked for. */
  private afterId = 0;
  private fromSeconds = 0;

  constructor(
    private readonly reader: Reader,
    private readonly views: CatalogView[],
    private readonly measures: Measure[],
    private readonly rangeSeconds: number,
  ) {
    this.sliceSeconds = Math.max(1, Math.round(rangeSeconds / slicesOf(views)));
    this.segments = views.map(() => []);
    this.before = views.map(() => NOTHING);
  }

  /** Whether these rows were read of a history that is gone, or measured by what no longer holds. */
  isOutdated(pulse: Pulse, views: CatalogView[], measures: Measure[]): boolean {
    const names = (list: CatalogView[]): string => list.map(({ sqlName }) => sqlName).join();
    return (
      pulse.lastId < this.settledId ||
      names(views) !== names(this.views) ||
      JSON.stringify(measures) !== JSON.stringify(this.measures)
    );
  }

  /** The share of the range that is read, 0 to 1. */
  get filledShare(): number {
    const all = this.settledId - this.afterId;
    return all <= 0 ? 1 : (this.settledId - this.filledAfterId) / all;
  }

  /** The last row before the range. */
  get rangeAfterId(): number {
    return this.afterId;
  }

  /** Reads what is new, and some of what is missing. */
  async update({ nowMs, lastId }: Pulse): Promise<void> {
    const nowSeconds = nowMs / 1_000;
    this.fromSeconds = nowSeconds - this.rangeSeconds;
    const settledId = await readIdBefore(this.reader, nowSeconds - SETTLED_AFTER_SECONDS);
    if (this.settledId < 0) await this.begin(settledId);
    while (this.settledId < settledId) {
      const throughId = Math.min(settledId, this.settledId + ROWS_AT_ONCE);
      this.add(await this.read(this.settledId, throughId), "newer");
      this.settledId = throughId;
      this.tailId = -1;
    }
    if (this.tailId !== lastId) {
      this.tail = this.views.map(() => []);
      for (const segment of await this.read(this.settledId, lastId)) this.tail[segment.view]?.push(segment);
      this.tailId = lastId;
    }
    this.forget();
    const startedMs = performance.now();
    if (this.filledAfterId <= this.afterId) return;
    do await this.fill();
    while (this.filledAfterId > this.afterId && performance.now() - startedMs < FILL_MS);
    this.before = await readRefreshBefore(this.reader, this.views, this.filledAfterId);
  }

  private async begin(settledId: number): Promise<void> {
    this.afterId = Math.min(settledId, await readIdBefore(this.reader, this.fromSeconds));
    this.settledId = settledId;
    this.filledAfterId = settledId;
    this.before = await readRefreshBefore(this.reader, this.views, settledId);
  }

  private async fill(): Promise<void> {
    const afterId = Math.max(this.afterId, this.filledAfterId - ROWS_AT_ONCE);
    const older = await this.read(afterId, this.filledAfterId);
    this.add(older, "older");
    this.filledAfterId = afterId;
  }

  private async read(afterId: number, throughId: number): Promise<StoredSegment[]> {
    const { fromSeconds, sliceSeconds } = this;
    const stretch: Stretch = { afterId, throughId, fromSeconds, sliceSeconds };
    return (await readSegments(this.reader, this.views, this.measures, stretch)).map(store);
  }

  /** Keeps one segment a slice, so that a page that is open for a month costs no more than one just opened. */
  private add(found: StoredSegment[], where: "newer" | "older"): void {
    const lists = this.views.map((): StoredSegment[] => []);
    for (const segment of found) lists[segment.view]?.push(segment);
    for (const [view, list] of lists.entries()) {
      const known = this.segments[view] ?? [];
      const [first, second] = where === "newer" ? [known, list] : [list, known];
      this.segments[view] = this.joined(first, second, view);
    }
  }

  private joined(first: StoredSegment[], second: StoredSegment[], view: number): StoredSegment[] {
    const [last, next] = [first.at(-1), second[0]];
    const measure = this.measures[view];
    if (last === undefined || next === undefined || last.slice !== next.slice || measure === undefined)
      return [...first, ...second];
    return [...first.slice(0, -1), mergeSegments(last, next, measure), ...second.slice(1)];
  }

  /** Drops what has left the range, but for what the first that stays follows. */
  private forget(): void {
    for (const [view, list] of this.segments.entries()) {
      while (list[0] !== undefined && (list[0].slice + 1) * this.sliceSeconds < this.fromSeconds) {
        const { lastRefresh, lastAsOf, lastStart } = list.shift() as StoredSegment;
        const before = this.before[view] ?? NOTHING;
        this.before[view] = {
          refreshed: lastRefresh ?? before.refreshed,
          asOf: lastRefresh === null ? before.asOf : lastAsOf,
          started: lastStart,
        };
      }
    }
  }

  /** What is drawn and told of each view, as far as it is read. */
  series(nowMs: number): Series[] {
    const first = Math.min(...this.segments.flatMap(([segment]) => segment?.firstStart ?? []));
    const isFilled = this.filledAfterId <= this.afterId;
    const fromSeconds =
      isFilled || !Number.isFinite(first) ? this.fromSeconds : Math.max(this.fromSeconds, first);
    return this.views.map((_, view) =>
      joinSegments(
        this.joined(this.segments[view] ?? [], this.tail[view] ?? [], view),
        this.before[view] ?? NOTHING,
        this.measures[view] ?? { promiseSeconds: null, gapSeconds: null },
        { fromSeconds, nowSeconds: nowMs / 1_000 },
      ),
    );
  }
}
