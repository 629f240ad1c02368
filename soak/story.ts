/** What is planted when: drawn from the seed before the first tick, so that a soak can be run again. Pure. */
import type { Dice } from "./dice";
import type { Fault } from "./fault";

/** A fault and its ticks, both included. */
export interface Planting {
  fault: Fault;
  fromTick: number;
  toTick: number;
}

/** Ticks without any fault after the last of an episode: so many are allowed for views to be fresh again. */
export const RECOVERY_TICKS = 2;

/** Before the first fault everything has been seen to work. */
const FIRST_FAULT_TICK = 3;
/** In so many of a hundred episodes a second fault joins, and a third in so many of those. */
const SECOND_PERCENT = 35;
const THIRD_PERCENT = 30;
/** So many of a hundred faults that stop every refresh last until alarms have to go off. */
const LONG_PERCENT = 20;

/**
 * Episodes of one to three faults at once, with ticks between them in which all has to be well again. Each fault comes
 * once before any comes a second time.
 * @param longTicks ticks that break the promise of the plan, so that its alarms have to go off
 */
export function tellStory(
  faults: readonly Fault[],
  ticks: number,
  longTicks: number,
  dice: Dice,
): Planting[] {
  const story: Planting[] = [];
  const bag = new Bag(faults, dice);
  let tick = FIRST_FAULT_TICK;
  while (faults.length > 0) {
    const episode = drawEpisode(bag, tick, longTicks, dice);
    const lastTick = Math.max(...episode.map(({ toTick }) => toTick));
    if (lastTick + RECOVERY_TICKS > ticks) break;
    story.push(...episode);
    tick = lastTick + RECOVERY_TICKS + dice.between(1, 2);
  }
  return story;
}

function drawEpisode(bag: Bag, firstTick: number, longTicks: number, dice: Dice): Planting[] {
  const first = plantingOf(bag.draw(), firstTick, longTicks, dice);
  const episode = [first];
  for (const percent of [SECOND_PERCENT, THIRD_PERCENT]) {
    if (!dice.percent(percent)) break;
    const fault = bag.drawBeside(episode.map((each) => each.fault));
    if (fault === undefined) break;
    episode.push(plantingOf(fault, dice.between(first.fromTick, first.toTick), longTicks, dice));
  }
  return episode;
}

function plantingOf(fault: Fault, fromTick: number, longTicks: number, dice: Dice): Planting {
  const [least, most] = fault.ticks;
  const mayLast = fault.refresh === "stops" && most > 1;
  const ticks = mayLast && dice.percent(LONG_PERCENT) ? longTicks : dice.between(least, most);
  return { fault, fromTick, toTick: fromTick + ticks - 1 };
}

/** Every fault once, in an order of chance, and then again. */
class Bag {
  private left: Fault[] = [];

  constructor(
    private readonly faults: readonly Fault[],
    private readonly dice: Dice,
  ) {}

  draw(): Fault {
    const fault = this.refilled().pop();
    if (fault === undefined) throw new Error("there is no fault to draw");
    return fault;
  }

  /** One that touches nothing that the others do; undefined where none of those that are left will do. */
  drawBeside(others: Fault[]): Fault | undefined {
    const taken = new Set(others.flatMap(({ touches }) => touches));
    const left = this.refilled();
    const index = left.findLastIndex(({ touches }) => !touches.some((each) => taken.has(each)));
    return index < 0 ? undefined : left.splice(index, 1)[0];
  }

  private refilled(): Fault[] {
    if (this.left.length > 0) return this.left;
    this.left = [...this.faults];
    // Fisher and Yates.
    for (let last = this.left.length - 1; last > 0; last -= 1) {
      const chosen = this.dice.between(0, last);
      [this.left[last], this.left[chosen]] = [this.left[chosen]!, this.left[last]!];
    }
    return this.left;
  }
}
