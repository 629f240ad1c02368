/** Who waits for a connection to come to a phase, and what is done then. */
import type { Ambush, Phase, WireConnection } from "./bed";

/** An ambush that has been laid. */
export interface Laid {
  readonly sprung: number;
  disarm(): void;
}

export class Ambushes {
  private readonly laid = new Set<{ ambush: Ambush; sprung: number }>();

  lay(ambush: Ambush): Laid {
    const entry = { ambush, sprung: 0 };
    this.laid.add(entry);
    return {
      get sprung() {
        return entry.sprung;
      },
      disarm: () => void this.laid.delete(entry),
    };
  }

  /** Does, one after the other, what was laid for this. An error of theirs is the caller's. */
  async spring(phase: Phase, moment: Ambush["moment"], connection: WireConnection): Promise<void> {
    for (const entry of [...this.laid]) {
      const { ambush } = entry;
      if (ambush.phase !== phase || ambush.moment !== moment || !this.laid.has(entry)) continue;
      entry.sprung += 1;
      if (entry.sprung >= (ambush.times ?? 1)) this.laid.delete(entry);
      await ambush.act(connection);
    }
  }
}
