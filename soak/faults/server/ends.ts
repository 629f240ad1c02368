/** Servers that end: in the middle of a run or for some ticks, alone or with another that takes their place. */
import type { Fault } from "../../fault";
import { drawMoment, strikeAt } from "../moment";
import { SERVER_GONE, serverFault } from "./serverFault";

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

export const END_FAULTS: Fault[] = [
  restarted("postmaster killed", "kill"),
  restarted("server crashed", "immediate"),
  restarted("server restarted", "fast"),
  down,
  failedOver,
  standbyLost,
];
