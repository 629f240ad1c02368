/** What is common to the faults of servers. */
import type { Bed } from "../../bed/bed";
import type { Dice } from "../../dice";
import type { Fault, Planted } from "../../fault";

/**
 * How a run may name a server that went away: by what that still said, by what the network said, or, where the server is
 * back and COMMIT waits for a standby that is not yet, by its own cut-off.
 */
export const SERVER_GONE = ["57P01", "57P02", "57P03", "ECONNRESET", "ECONNREFUSED", "EPIPE", "ETIMEDOUT"];

export function serverFault(
  fault: Pick<Fault, "name" | "ticks" | "refresh" | "codes" | "says" | "missing"> & {
    touches?: Fault["touches"];
    plant(bed: Bed, dice: Dice): Promise<Planted> | Planted;
  },
): Fault {
  return {
    touches: ["server"],
    ...fault,
    ...{ group: "server", modes: ["full", "incremental"] },
    plant: async (bed, dice) => fault.plant(bed, dice),
  };
}
