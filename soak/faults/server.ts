/** What befalls a server: its processes die, it changes places, is full, is a reader, or sets its clock. */
import { randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { Client, escapeLiteral } from "pg";
import type { Bed } from "../bed/bed";
import { startBouncer, whyNoBouncer } from "../bed/bouncer";
import type { Dice } from "../dice";
import type { Fault, Planted } from "../fault";
import { backendsOf, strikeDuringRefresh } from "./backends";
import { drawMoment, drawMomentInside, strikeAt } from "./moment";

/**
 * How a run may name a server that went away: by what that still said, by what the network said, or, where the server is
 * back and COMMIT waits for a standby that is not yet, by its own cut-off.
 */
export const SERVER_GONE = ["57P01", "57P02", "57P03", "ECONNRESET", "ECONNREFUSED", "EPIPE", "ETIMEDOUT"];

function serverFault(
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

/** The server ends at some moment of a run, and is started again at once. */
function restarted(name: string, how: "kill" | "immediate" | "fast"): Fault {
  return serverFault({
    name,
    ticks: [1, 1],
    refresh: "may pass",
    codes: SERVER_GONE,
    plant(bed, dice) {
      let working: Promise<void> = Promise.resolve();
      return strikeAt(
        bed,
        name,
        drawMoment(dice),
        () => {
          const stopped = bed.cluster.stopPrimary(how);
          working = stopped.then(() => bed.cluster.startPrimary());
          // The message is handed on when the server is gone; that it is back is waited for by whoever lifts this.
          working.catch(() => undefined);
          return stopped;
        },
        async () => {
          await working.catch(() => undefined);
          await bed.cluster.startPrimary();
        },
      );
    },
  });
}

const down = serverFault({
  name: "server down",
  ticks: [1, 3],
  refresh: "stops",
  codes: SERVER_GONE,
  says: /could not connect to |the connection to \S+ was lost/,
  async plant({ cluster }, dice) {
    const how = dice.oneOf(["kill", "immediate", "fast"] as const);
    await cluster.stopPrimary(how);
    return { what: `server down (${how})`, lift: () => cluster.startPrimary() };
  },
});

/** Something that is done to the function's backends in mid-refresh: at the middle of it, or where nothing is under way. */
function backendFault(
  fault: Pick<Fault, "name" | "refresh" | "codes" | "says"> & {
    /** Whether it does nothing to a backend that is idle in its transaction. */
    onlyDuring?: boolean;
    strike(bed: Bed, pids: number[]): Promise<void> | void;
  },
): Fault {
  return serverFault({
    ...fault,
    ticks: [1, 1],
    plant(bed, dice) {
      const inTheMiddle = dice.percent(50);
      if (inTheMiddle || fault.onlyDuring === true)
        return strikeDuringRefresh(bed, fault.name, (pids) => fault.strike(bed, pids));
      return strikeAt(bed, fault.name, drawMomentInside(dice), async () => {
        const pids = await backendsOf(bed).catch(() => []);
        await Promise.resolve(fault.strike(bed, pids)).catch(() => undefined);
      });
    },
  });
}

const call = async (
  bed: Bed,
  fn: "pg_terminate_backend" | "pg_cancel_backend",
  pids: number[],
): Promise<void> => bed.cluster.execute(`SELECT ${fn}(pid) FROM unnest(ARRAY[${pids.join()}]::int[]) AS pid`);

const backendKilled = backendFault({
  name: "backend killed",
  // The server ends all others too, and recovers as from a crash.
  refresh: "may pass",
  codes: SERVER_GONE,
  strike: (_bed, pids) => pids.forEach((pid) => process.kill(pid, "SIGKILL")),
});

const backendTerminated = backendFault({
  name: "backend terminated",
  refresh: "passes",
  codes: ["57P01", "ECONNRESET"],
  says: /trying again/,
  strike: (bed, pids) => call(bed, "pg_terminate_backend", pids),
});

const refreshCancelled = backendFault({
  name: "refresh cancelled",
  refresh: "may pass",
  codes: ["57014"],
  says: /somebody cancelled the refresh/,
  onlyDuring: true,
  strike: (bed, pids) => call(bed, "pg_cancel_backend", pids),
});

const connectionsUsedUp = serverFault({
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
});

const failedOver = serverFault({
  name: "failed over",
  ticks: [1, 1],
  refresh: "may pass",
  codes: [...SERVER_GONE, "25006"],
  plant(bed, dice) {
    let done: Promise<void> | undefined;
    return strikeAt(
      bed,
      "failed over",
      drawMoment(dice),
      () => {
        done = bed.cluster.failOver();
        done.catch(() => undefined);
      },
      () => done,
    );
  },
});

const standbyLost = serverFault({
  name: "standby lost",
  ticks: [1, 2],
  // COMMIT hangs, and with it what it has locked. Nobody sees the refresh until the standby is back.
  refresh: "stops",
  codes: ["ETIMEDOUT", "timedOut", "55P03"],
  async plant({ cluster }) {
    await cluster.loseStandby();
    return { what: "standby lost", lift: () => cluster.bringStandbyBack() };
  },
});

const readOnlyByDefault = serverFault({
  name: "transactions read-only by default",
  ticks: [1, 2],
  // A default is not a fence: a transaction that says that it writes does so.
  refresh: "passes",
  codes: [],
  async plant({ cluster }) {
    await cluster.setting("default_transaction_read_only", "on");
    return {
      what: "transactions read-only by default",
      lift: () => cluster.setting("default_transaction_read_only", undefined),
    };
  },
});

const readerEndpoint = serverFault({
  name: "address leads to a reader",
  touches: ["server", "wire"],
  ticks: [1, 3],
  refresh: "stops",
  codes: ["25006"],
  says: /the server takes no writes: it is a standby or a reader endpoint/,
  plant({ cluster, wire }) {
    wire.leadTo(cluster.standbyPort());
    return {
      what: "address leads to the standby",
      lift: () => Promise.resolve(wire.leadTo(undefined)),
    };
  },
});

const HOUR_SECONDS = 3_600;

const clockStepped = serverFault({
  name: "clock stepped",
  touches: ["clock"],
  ticks: [1, 3],
  // Timeouts of the server end by its clock, and one that goes ahead in their middle ends them at their next look.
  refresh: "may pass",
  codes: ["57014", "55P03"],
  missing: ({ cluster }) =>
    Promise.resolve(cluster.stepClock === undefined ? "no C compiler (cc) is installed" : undefined),
  async plant(bed, dice) {
    const { cluster } = bed;
    const ahead = dice.oneOf([5, 600, HOUR_SECONDS, 12 * HOUR_SECONDS]);
    const step = async (seconds: number): Promise<void> => cluster.stepClock?.(seconds);
    const lift = (): Promise<void> => step(0);
    if (dice.percent(40))
      return strikeAt(bed, `clock ${ahead} s ahead`, drawMomentInside(dice), () => step(ahead), lift);
    // Never back in the middle of a run: no timeout of the server's would end anything until its time comes again.
    const seconds = dice.percent(50) ? ahead : -ahead;
    await step(seconds);
    return { what: `clock ${Math.abs(seconds)} s ${seconds > 0 ? "ahead" : "behind"}`, lift };
  },
});

const bouncerBetween = serverFault({
  name: "pgbouncer in between",
  touches: ["server", "wire"],
  ticks: [1, 3],
  refresh: "passes",
  codes: [],
  missing: () => Promise.resolve(whyNoBouncer()),
  async plant({ cluster, wire, folder }) {
    const home = join(folder, "bouncer");
    await rm(home, { recursive: true, force: true });
    const bouncer = await startBouncer(home, cluster.connection());
    wire.leadTo(bouncer.port);
    return {
      what: "pgbouncer in between, which pools by transaction",
      async lift() {
        wire.leadTo(undefined);
        await bouncer.stop();
      },
    };
  },
});

export const SERVER_FAULTS: Fault[] = [
  restarted("postmaster killed", "kill"),
  restarted("server crashed", "immediate"),
  restarted("server restarted", "fast"),
  down,
  backendKilled,
  backendTerminated,
  refreshCancelled,
  connectionsUsedUp,
  failedOver,
  standbyLost,
  readOnlyByDefault,
  readerEndpoint,
  clockStepped,
  bouncerBetween,
];
