/** What happened, tick by tick: the story that leads to a broken promise. */

/** So many ticks before it are told of a broken promise. */
const TICKS_TOLD = 6;

export class Chronicle {
  tick = 0;
  private readonly lines: string[] = [];
  private entries: string[] = [];
  private openedEpochMs = 0;

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

  /** The tick is over. @returns its line */
  close(): string {
    const line = this.current();
    this.lines.push(line);
    return line;
  }

  /** The last ticks, the open one included. */
  get story(): string[] {
    return [...this.lines.slice(-TICKS_TOLD), this.current()];
  }

  private current(): string {
    const at = new Date(this.openedEpochMs).toISOString().slice(11, 19);
    return `tick ${this.tick} (${at}): ${this.entries.join("; ")}`;
  }
}
