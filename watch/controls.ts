/** What the page may do to a run, by whoever has one: the page of somebody else's database has none. */
import type { Control, ControlRequest, Snapshot } from "./contract";

export type ControlState = Omit<NonNullable<Snapshot["controls"]>, "token">;

export interface Controls {
  state(): ControlState;
  /**
   * Does it.
   * @returns what was done, in words.
   * @throws ControlRefused where it cannot be done now.
   */
  run(control: Control, request: ControlRequest): Promise<string>;
}

/** Its message says why. */
export class ControlRefused extends Error {
  override readonly name = "ControlRefused";
}
