/** What befalls a server: it ends, changes places, is a reader, or sets its clock. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { startBouncer, whyNoBouncer } from "../bed/bouncer";
import { faultsOf, type FaultDraft } from "../fault";
import { drawMoment, drawMomentInside, strikeAt } from "./moment";
import { SERVER_GONE, SESSION_FAULTS } from "./sessions";

/** The server ends at some moment of a run, and is started again at once. */
function restarted(name: string, how: "kill" | "immediate" | "fast"): FaultDraft {
  return {
    name,
    refresh: "may pass",
    endsConnections: true,
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
  };
}

const down: FaultDraft = {
  name: "server down",
  finding: "connection",
  endsConnections: true,
  ticks: [1, 3],
  refresh: "stops",
  codes: SERVER_GONE,
  says: /could not connect to |the connection to \S+ was lost/,
  async plant({ cluster }, dice) {
    const how = dice.oneOf(["kill", "immediate", "fast"] as const);
    await cluster.stopPrimary(how);
    return { what: `server down (${how})`, lift: () => cluster.startPrimary() };
  },
};

const failedOver: FaultDraft = {
  name: "failed over",
  endsConnections: true,
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
};

const standbyLost: FaultDraft = {
  name: "standby lost",
  finding: "synchronous-standby",
  endsConnections: true,
  ticks: [1, 2],
  // COMMIT hangs, and with it what it has locked. Nobody sees the refresh until the standby is back.
  refresh: "stops",
  codes: ["ETIMEDOUT", "timedOut", "55P03"],
  says: /did not answer in time|waiting for a synchronous standby/,
  async plant({ cluster }) {
    await cluster.loseStandby();
    return { what: "standby lost", lift: () => cluster.bringStandbyBack() };
  },
};

const readOnlyByDefault: FaultDraft = {
  name: "transactions read-only by default",
  finding: "read-only-by-hand",
  ticks: [1, 2],
  // A default is not a fence: a transaction that says that it writes does so.
  refresh: "passes",
  async plant({ cluster }) {
    await cluster.setting("default_transaction_read_only", "on");
    return {
      what: "transactions read-only by default",
      lift: () => cluster.setting("default_transaction_read_only", undefined),
    };
  },
};

const readerEndpoint: FaultDraft = {
  name: "address leads to a reader",
  finding: "standby",
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
};

const HOUR_SECONDS = 3_600;

const clockStepped: FaultDraft = {
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
    const lift = async (): Promise<void> => {
      await step(0);
      // Or autovacuum waits until the time at which it was due by the clock that was ahead.
      await cluster.execute("SELECT pg_reload_conf()").catch(() => undefined);
    };
    if (dice.percent(40))
      return strikeAt(bed, `clock ${ahead} s ahead`, drawMomentInside(dice), () => step(ahead), lift);
    // Never back in the middle of a run: no timeout of the server's would end anything until its time comes again.
    const seconds = dice.percent(50) ? ahead : -ahead;
    await step(seconds);
    return { what: `clock ${Math.abs(seconds)} s ${seconds > 0 ? "ahead" : "behind"}`, lift };
  },
};

const bouncerBetween: FaultDraft = {
  name: "pgbouncer in between",
  // Sessions are its own, and stay.
  hidesEnd: true,
  touches: ["server", "wire"],
  ticks: [1, 3],
  refresh: "passes",
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
};

export const SERVER_FAULTS = faultsOf({ group: "server", touches: ["server"] }, [
  restarted("postmaster killed", "kill"),
  restarted("server crashed", "immediate"),
  restarted("server restarted", "fast"),
  down,
  failedOver,
  standbyLost,
  ...SESSION_FAULTS,
  readOnlyByDefault,
  readerEndpoint,
  clockStepped,
  bouncerBetween,
]);
