/** The scanner's load, whose level may be changed while it works. */
import type { BackgroundLoad, LoadLevel } from "./load";

export class LoadSwitch {
  private readonly used: BackgroundLoad[] = [];
  private working: { end: AbortController; ended: Promise<void> } | undefined;
  private current: LoadLevel = "off";
  private changing: Promise<void> = Promise.resolve();
  private isOver = false;

  /** @param make a load of a level; undefined for none. */
  constructor(private readonly make: (level: LoadLevel) => BackgroundLoad | undefined) {}

  get level(): LoadLevel {
    return this.current;
  }

  /** Objects worked on so far, at whatever level; undefined where there never was a load. */
  get processedObjects(): number | undefined {
    if (this.used.length === 0) return undefined;
    return this.used.reduce((sum, { processedObjects }) => sum + processedObjects, 0);
  }

  /** Resolves when the load before has ended its last statement and the next has begun. */
  set(level: LoadLevel): Promise<void> {
    this.changing = this.changing.then(() => this.change(level));
    return this.changing;
  }

  /** Resolves when nothing works any more. */
  async stop(): Promise<void> {
    this.isOver = true;
    await this.changing;
    await this.end();
  }

  private async change(level: LoadLevel): Promise<void> {
    await this.end();
    if (this.isOver) return;
    this.current = level;
    const load = this.make(level);
    if (load === undefined) return;
    this.used.push(load);
    const end = new AbortController();
    this.working = { end, ended: load.run(end.signal) };
  }

  private async end(): Promise<void> {
    const { working } = this;
    this.working = undefined;
    working?.end.abort();
    await working?.ended;
  }
}
