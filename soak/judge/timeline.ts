/** Moments in order, and what is asked of them. */

/** Things with a time, found by it. */
export class Timeline<Item> {
  private readonly items: { atSeconds: number; item: Item }[];

  constructor(items: readonly Item[], timeOf: (item: Item) => number) {
    this.items = items
      .map((item) => ({ atSeconds: timeOf(item), item }))
      .sort((a, b) => a.atSeconds - b.atSeconds);
  }

  get all(): Item[] {
    return this.items.map(({ item }) => item);
  }

  /** Those of `[fromSeconds, toSeconds)`. */
  within(fromSeconds: number, toSeconds: number): Item[] {
    return this.items.slice(this.first(fromSeconds), this.first(toSeconds)).map(({ item }) => item);
  }

  /** The last until then, that moment included. */
  lastUntil(atSeconds: number): Item | undefined {
    const next = this.first(atSeconds);
    const at = this.items[next];
    return at?.atSeconds === atSeconds ? at.item : this.items[next - 1]?.item;
  }

  private first(fromSeconds: number): number {
    let [low, high] = [0, this.items.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.items[middle]?.atSeconds ?? Infinity) < fromSeconds) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** From one moment to the next, the last to the end. */
export function gaps(moments: number[], toSeconds: number): { fromSeconds: number; toSeconds: number }[] {
  const sorted = [...moments].sort((a, b) => a - b);
  return sorted.map((fromSeconds, index) => ({ fromSeconds, toSeconds: sorted[index + 1] ?? toSeconds }));
}
