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
  private entries: string[] = [];
  private openedEpochMs = 0;

  constructor(private readonly onConviction: (conviction: Conviction) => void) {}

  /** A tick begins. */
  open(tick: number, virtualEpochMs: number): void {
    this.tick = tick;
    this.openedEpochMs = virtualEpochMs;
    this.entries = [];
  }

  /** Something happened in the tick that is open. */
  add(what: string): void {
    this.entries.push(what);
  }

  /** A promise is broken. What stays wrong is told once. */
  convict(invariant: string, what: string): void {
    if (this.convictions.some((each) => each.invariant === invariant && each.what === what)) return;
    const story = [...this.lines.slice(-TICKS_TOLD), this.line()];
    const conviction = { tick: this.tick, invariant, what, story };
    this.convictions.push(conviction);
    this.onConviction(conviction);
  }

  /** The tick is over. @returns its line */
  close(): string {
    const line = this.line();
    this.lines.push(line);
    return line;
  }

  private line(): string {
    const at = new Date(this.openedEpochMs).toISOString().slice(11, 19);
    return `tick ${this.tick} (${at}): ${this.entries.join("; ")}`;
  }
}
