/** A promise that was broken. */
export interface Violation {
  /** Of the soak, from 1. */
  tick: number;
  /** The promise, in a few words: `readers see one moment`. */
  invariant: string;
  /** What was seen instead, with what is needed to follow it. */
  what: string;
}
