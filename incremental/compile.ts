/** A stand-in until the compiler is there. */
import type { Compilation } from "./maintenance";
import type { ViewSource } from "./source";

export function compile(_source: ViewSource): Promise<Compilation> {
  throw new Error("the compiler is not there yet");
}
