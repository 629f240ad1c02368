/** What the history says of one view's refreshes, by itself: each time of data once, and within its run. */
import type { Refreshed } from "./shown";

/** Rows become visible when their transaction commits, which is not the order of their ids: these are read again. */
const IDS_IN_FLIGHT = 200;

export class HistoryTrial {
  private readonly idOf = new Map<string, number>();
  private readonly seen = new Set<number>();
  private readonly fullRuns: number[] = [];
  private lastId = 0;

  /** @param source history of the view that this one reads: a refresh may claim its time, and no later one */
  constructor(private readonly source?: HistoryTrial) {}

  /** Rows up to this id need not be read again. */
  get readUpTo(): number {
    return this.lastId - IDS_IN_FLIGHT;
  }

  /** Takes what is new of these rows, after the source has. @param isClockSteady whether times of one row can be compared */
  take(rows: Refreshed[], isClockSteady: boolean): string[] {
    const violations = rows
      .filter(({ id }) => id > this.readUpTo && !this.seen.has(id))
      .flatMap((row) => this.judge(row, isClockSteady));
    this.lastId = Math.max(this.lastId, rows.at(-1)?.id ?? 0);
    for (const id of this.seen) if (id <= this.readUpTo) this.seen.delete(id);
    return violations;
  }

  /** The first full run with an id above one and up to another. */
  fullRunWithin(above: number, upTo: number): number | undefined {
    return this.fullRuns.find((id) => id > above && id <= upTo);
  }

  private judge({ id, asOf, refreshType, ...times }: Refreshed, isClockSteady: boolean): string[] {
    this.seen.add(id);
    if (refreshType === "full") this.fullRuns.push(id);
    if (asOf === null) return [];
    const { asOfMs, startedMs, finishedMs } = times;
    const isOfSource = this.source?.idOf.has(asOf) ?? false;
    const before = this.idOf.get(asOf);
    this.idOf.set(asOf, id);
    // What reads a view that was not refreshed meanwhile is of the same time again.
    const twice = before === undefined || isOfSource ? [] : [`as_of ${asOf} is in rows ${before} and ${id}`];
    const isWithin = asOfMs !== null && asOfMs >= startedMs && asOfMs <= finishedMs;
    if (isWithin || isOfSource || !isClockSteady) return twice;
    return [...twice, `as_of ${asOf} of row ${id} is no time of its run, nor of what the view reads`];
  }
}
