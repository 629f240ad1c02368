/** What befalls the function's sessions alone, or keeps it from having one. */
import { randomBytes } from "node:crypto";
import { Client, escapeLiteral } from "pg";
import type { Bed } from "../bed/bed";
import type { Fault, FaultDraft } from "../fault";
import { backendsOf, signal, strikeDuringRefresh } from "./backends";
import { drawMomentInside, strikeAt } from "./moment";

/**
 * How a run may name a server that went away: by what that still said, by what the network said, or, where the server is
 * back and COMMIT waits for a standby that is not yet, by its own cut-off.
 */
export const SERVER_GONE = ["57P01", "57P02", "57P03", "ECONNRESET", "ECONNREFUSED", "EPIPE", "ETIMEDOUT"];

/** Something that is done to the function's backends in mid-refresh: at the middle of it, or where nothing is under way. */
function backendFault(
  fault: Pick<Fault, "name" | "refresh" | "codes" | "says" | "endsConnections"> & {
    /** Whether it does nothing to a backend that is idle in its transaction. */
    onlyDuring?: boolean;
    strike(bed: Bed, pids: number[]): Promise<void> | void;
  },
): FaultDraft {
  return {
    ...fault,
    plant(bed, dice) {
      const inTheMiddle = dice.percent(50);
      if (inTheMiddle || fault.onlyDuring === true)
        return strikeDuringRefresh(bed, fault.name, (pids) => fault.strike(bed, pids));
      return strikeAt(bed, fault.name, drawMomentInside(dice), async () => {
        const pids = await backendsOf(bed).catch(() => []);
        await Promise.resolve(fault.strike(bed, pids)).catch(() => undefined);
      });
    },
  };
}

const backendKilled = backendFault({
  name: "backend killed",
  endsConnections: true,
  // The server ends all others too, and recovers as from a crash.
  refresh: "may pass",
  codes: SERVER_GONE,
  strike: (_bed, pids) => pids.forEach((pid) => process.kill(pid, "SIGKILL")),
});

const backendTerminated = backendFault({
  name: "backend terminated",
  endsConnections: true,
  refresh: "passes",
  codes: ["57P01", "ECONNRESET"],
  says: /trying again/,
  strike: (bed, pids) => signal(bed, "pg_terminate_backend", pids),
});

const refreshCancelled = backendFault({
  name: "refresh cancelled",
  refresh: "may pass",
  codes: ["57014"],
  says: /somebody cancelled the refresh/,
  onlyDuring: true,
  strike: (bed, pids) => signal(bed, "pg_cancel_backend", pids),
});

const connectionsUsedUp: FaultDraft = {
  name: "connections used up",
  ticks: [1, 2],
  // Whoever of our own leaves makes room for one.
  refresh: "may pass",
  codes: ["53300"],
  says: /the server has no connection free/,
  async plant(bed) {
    const user = "soak_crowd";
    const password = randomBytes(12).toString("hex");
    await bed.cluster.execute(
      `DROP ROLE IF EXISTS ${user}; CREATE ROLE ${user} LOGIN PASSWORD ${escapeLiteral(password)}`,
    );
    const crowd: Client[] = [];
    const lift = async (): Promise<void> => {
      await Promise.all(crowd.splice(0).map((client) => client.end().catch(() => undefined)));
      await bed.cluster.execute(`DROP ROLE IF EXISTS ${user}`);
    };
    for (;;) {
      const client = new Client({ ...bed.cluster.connection(), options: "", user, password });
      client.on("error", () => undefined);
      try {
        await client.connect();
        crowd.push(client);
      } catch (error) {
        if ((error as { code?: string }).code === "53300") break;
        await lift();
        throw error;
      }
    }
    return { what: `${crowd.length} connections, and no room for more`, lift };
  },
};

export const SESSION_FAULTS: FaultDraft[] = [
  backendKilled,
  backendTerminated,
  refreshCancelled,
  connectionsUsedUp,
];
