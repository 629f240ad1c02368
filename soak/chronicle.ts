/** What happened, tick by tick, and the promises that broke, each with the story that led to it. */

/** A promise that was broken. */
export interface Conviction {
  /** Of the soak, from 1. */
  tick: number;
  /** The promise, in a few words: `readers see the query at one moment`. */
  invariant: string;
  /** What was seen instead, with what is needed to follow it. */
  what: string;
  /** The faults and runs that went before, a line each tick. */
  story: string[];
}

/** So many ticks before it are told of a broken promise. */
const TICKS_TOLD = 6;

export class Chronicle {
  readonly convictions: Conviction[] = [];
  private tick = 0;
  private readonly lines: string[] = [];
  private readonly openedAt: number[] = [];
  /** The tick in which each broken promise was last told. */
  private readonly told = new Map<string, number>();
  private entries: string[] = [];

  constructor(private readonly onConviction: (conviction: Conviction) => void) {}

  /** A tick begins. */
  open(tick: number, virtualEpochMs: number): void {
    this.tick = tick;
    this.openedAt.push(virtualEpochMs);
    this.entries = [];
  }

  /** Something happened in the tick that is open. */
  add(what: string): void {
    this.entries.push(what);
  }

  /**
   * A promise is broken. What stays wrong from tick to tick is told once.
   * @param virtualEpochMs when it was, where that shows only later
   */
  convict(invariant: string, what: string, virtualEpochMs?: number): void {
    const tick = virtualEpochMs === undefined ? this.tick : this.tickAt(virtualEpochMs);
    const key = `${invariant}: ${what}`;
    const lastTold = this.told.get(key) ?? -Infinity;
    this.told.set(key, tick);
    if (tick - lastTold <= 1) return;
    const lines = [...this.lines, this.line()];
    const conviction = {
      tick,
      invariant,
      what,
      story: lines.slice(Math.max(0, tick - 1 - TICKS_TOLD), tick),
    };
    this.convictions.push(conviction);
    this.onConviction(conviction);
  }

  /** The tick is over. @returns its line */
  close(): string {
    const line = this.line();
    this.lines.push(line);
    return line;
  }

  private tickAt(virtualEpochMs: number): number {
    return this.openedAt.findLastIndex((opened) => opened <= virtualEpochMs) + 1;
  }

  private line(): string {
    const at = new Date(this.openedAt.at(-1) ?? 0).toISOString().slice(11, 19);
    return `tick ${this.tick} (${at}): ${this.entries.join("; ")}`;
  }
}
