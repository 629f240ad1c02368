/** One kind of trouble: what it touches, how it is planted and lifted, and how it may show. */
import type { Bed, Mode } from "./bed/bed";
import type { Dice } from "./dice";

/** What a fault keeps for itself: two that touch the same are never planted at once. */
export type Touched =
  "server" | "wire" | "function" | "view" | "source" | "login" | "disk" | "clock" | "maintenance";

/** How the names of transactions begin that a fault has prepared. */
export const PREPARED_BY_FAULTS = "soak ";

export interface Fault {
  /** Such as `postmaster killed`; unique. */
  name: string;
  /** What `--faults` calls it. */
  group: "server" | "network" | "disk" | "function" | "people" | "maintained";
  touches: Touched[];
  modes: Mode[];
  /** Ticks that it lasts, least and most; [1, 1] for what strikes one run. */
  ticks: [number, number];
  /**
   * Whether a refresh can succeed meanwhile. `passes`: it must, in each tick. `may pass`: it may or may not. `stops`: it cannot.
   */
  refresh: "passes" | "may pass" | "stops";
  /**
   * How a failed run may name it: SQLSTATEs and codes in messages (`55P03`, `ECONNRESET`), or `timedOut`, `crashed` for runs
   * that say nothing themselves.
   */
  codes: string[];
  /** What the log or the error must say in at least one run, where the fault struck. */
  says?: RegExp;
  /** The doctor's name for it, which it must find while the fault stands. */
  finding?: string;
  /** The failure's remedy is SQL, or a command of this repository, that ends the fault: carried out once instead of lifting it. */
  remedyHelps?: boolean;
  /** It ends connections in mid-run: one that is ended just after a failure keeps that from being recorded. */
  endsConnections?: true;
  /** It keeps the server from being told that a run is over: its session stays until its transaction's own limit. */
  hidesEnd?: true;
  /** Why it cannot be planted on this machine; undefined where it can. */
  missing?(bed: Bed): Promise<string | undefined>;
  /** @throws where it could not be planted; nothing is left of it then */
  plant(bed: Bed, dice: Dice): Planted | Promise<Planted>;
}

export interface Planted {
  /** What was done, for the story: `SIGKILL to the function after REFRESH`. */
  what: string;
  /** Ends it. Works as often as it is called, also where a remedy has ended it. */
  lift(): Promise<void>;
  /** It strikes at one moment of one run. Whoever comes later does not meet it, or no more than what it has left. */
  strikesOnce?: true;
  /** Whether it has struck, where that is not certain. */
  hasStruck?(): boolean;
  /**
   * Set where maintained views may be wrong from now on until their next full run. `surely`: it has to find drift.
   * `perhaps`: folds may have put it right before, where they read a group anew.
   */
  driftsUntilFullRun?: "surely" | "perhaps";
}

type Common = "group" | "touches" | "modes" | "ticks" | "codes";

/** A fault without what it has in common with others. */
export type FaultDraft = Omit<Fault, Common> & Partial<Pick<Fault, Common>>;

/** Faults that have something in common. Unless told otherwise each is of both modes, strikes one run, and fails none. */
export function faultsOf(common: Pick<Fault, "group"> & Partial<Fault>, drafts: FaultDraft[]): Fault[] {
  return drafts.map((draft) => ({
    ...{ touches: [], modes: ["full", "incremental"], ticks: [1, 1], codes: [] },
    ...common,
    ...draft,
  }));
}
