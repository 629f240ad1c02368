/** A time after which something happens, unless it has ended, or while it is held. */
export class TimeLimit {
  private readonly endsAtMs: number;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    ms: number,
    private readonly onOver: () => void,
  ) {
    this.endsAtMs = performance.now() + ms;
    this.goOn(0);
  }

  /** Nothing happens until it goes on, also when the time is over. */
  hold(): void {
    clearTimeout(this.timer);
  }

  /** The time went on meanwhile; so much is left at the least. */
  goOn(leastMs: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(this.onOver, Math.max(leastMs, this.endsAtMs - performance.now()));
  }

  end(): void {
    clearTimeout(this.timer);
  }
}
