/** Whether views are fresh again soon after a fault's end, without help. */

/** How long a view took to be fresh again after a fault. */
export interface Recovery {
  fault: string;
  /** 1: with the first tick after its end. */
  ticks: number;
  /** Of this machine's time. */
  seconds: number;
}

interface Ended {
  fault: string;
  epochMs: number;
  /** Ticks since then in which nothing stood in the way. */
  ticks: number;
  missing: Set<string>;
}

/** A refresh that readers got. */
interface Refreshed {
  /** `schema.name` */
  view: string;
  asOfEpochMs: number;
}

export class RecoveryJudge {
  readonly recoveries: Recovery[] = [];
  private open: Ended[] = [];

  /** @param views as `schema.name` */
  constructor(
    private readonly views: string[],
    private readonly withinTicks: number,
  ) {}

  /** A fault was lifted, or its remedy was carried out. */
  ended(fault: string, epochMs: number): void {
    this.open.push({ fault, epochMs, ticks: 0, missing: new Set(this.views) });
  }

  /**
   * After each tick.
   * @param refreshed what history tells of this tick.
   * @param isDisturbed whether another fault kept views from being refreshed: such a tick does not count.
   * @param asOfIsOff whether the server's clock was moved, so that any refresh has to do.
   */
  after(
    refreshed: Refreshed[],
    { isDisturbed, asOfIsOff, epochMs }: { isDisturbed: boolean; asOfIsOff: boolean; epochMs: number },
  ): string[] {
    const late: string[] = [];
    for (const ended of this.open) {
      if (!isDisturbed) ended.ticks += 1;
      for (const { view, asOfEpochMs } of refreshed)
        if (asOfIsOff || asOfEpochMs >= ended.epochMs) ended.missing.delete(view);
      if (ended.missing.size === 0)
        this.recoveries.push({
          ...{ fault: ended.fault, ticks: Math.max(1, ended.ticks) },
          seconds: (epochMs - ended.epochMs) / 1_000,
        });
      else if (ended.ticks >= this.withinTicks && !isDisturbed) late.push(this.describe(ended));
    }
    this.open = this.open.filter(({ missing, ticks }) => missing.size > 0 && ticks < this.withinTicks);
    return late;
  }

  private describe({ fault, ticks, missing }: Ended): string {
    return `${[...missing].join(" and ")} not fresh ${ticks} ticks after the end of: ${fault}`;
  }
}
