/** Chance from a seed: the same seed throws the same. */
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";

const DISCARDED = 64;

export class Dice {
  private readonly generator;

  constructor(seed: number) {
    this.generator = xoroshiro128plus(seed);
    // The first throws of seeds that are near one another are too.
    for (let discarded = 0; discarded < DISCARDED; discarded += 1) this.generator.next();
  }

  /** A whole number from `least` to `most`, both included. */
  between(least: number, most: number): number {
    return uniformInt(this.generator, least, most);
  }

  oneOf<Item>(items: readonly Item[]): Item {
    const item = items[this.between(0, items.length - 1)];
    if (item === undefined) throw new Error("nothing to choose from");
    return item;
  }

  /** True so many times in a hundred. */
  percent(chance: number): boolean {
    return this.between(1, 100) <= chance;
  }

  /** Dice of their own: what they are used for does not change what these throw next. */
  fork(): Dice {
    return new Dice(this.between(0, 0x7fffffff));
  }
}
