/** Moments in order, and what is asked of them. */

/** Things with a time, in its order. */
export class Timeline<Item> {
  readonly all: Item[];

  constructor(
    items: readonly Item[],
    private readonly timeOf: (item: Item) => number,
  ) {
    this.all = items.toSorted((one, other) => timeOf(one) - timeOf(other));
  }

  /** Those of `[fromSeconds, toSeconds)`. */
  within(fromSeconds: number, toSeconds: number): Item[] {
    return this.all.filter((item) => this.timeOf(item) >= fromSeconds && this.timeOf(item) < toSeconds);
  }

  /** The last until then, that moment included. */
  lastUntil(atSeconds: number): Item | undefined {
    return this.all.findLast((item) => this.timeOf(item) <= atSeconds);
  }
}

/** From one moment to the next, the last to the end. */
export function gaps(moments: number[], toSeconds: number): { fromSeconds: number; toSeconds: number }[] {
  const sorted = [...moments].sort((a, b) => a - b);
  return sorted.map((fromSeconds, index) => ({ fromSeconds, toSeconds: sorted[index + 1] ?? toSeconds }));
}
