/**
 * Virtual time: runs of the function last as long as they really do, and the time in which nothing runs is skipped. So
 * the handler's own timeouts are honest, and a schedule of minutes goes by in seconds.
 */
export class VirtualClock {
  /** Skips in order, each with the real time at which it was made and all that had been skipped by then. */
  private readonly skips = [{ realEpochMs: -Infinity, skippedMs: 0 }];

  /** @param realNow epoch milliseconds of this machine */
  constructor(private readonly realNow: () => number = Date.now) {}

  /** Epoch milliseconds of the plan's time. */
  nowMs(): number {
    return this.virtualOf(this.realNow());
  }

  /** The plan's time of a moment that was, or is. */
  virtualOf(realEpochMs: number): number {
    const skip = this.skips.findLast((each) => each.realEpochMs <= realEpochMs);
    return realEpochMs + (skip?.skippedMs ?? 0);
  }

  /** Goes to a later time at once; leaves the clock where it is when that time is over. */
  skipTo(virtualEpochMs: number): void {
    const realEpochMs = this.realNow();
    const aheadMs = virtualEpochMs - this.virtualOf(realEpochMs);
    const skippedMs = this.skips.at(-1)?.skippedMs ?? 0;
    if (aheadMs > 0) this.skips.push({ realEpochMs, skippedMs: skippedMs + aheadMs });
  }
}
