/** What befalls the function itself: ends, pauses, and ticks that come twice, late or never. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Delivery } from "../bed/bed";
import { faultsOf, type Fault, type FaultDraft } from "../fault";
import { drawMoment, drawMomentInside, strikeAt } from "./moment";

/** Of the function that a soak deploys. */
const TIMEOUT_MS = 8_000;

/** A tick that is delivered otherwise than once and in its time. */
function delivered(delivery: Delivery, name: string, refresh: Fault["refresh"]): FaultDraft {
  return {
    name,
    touches: ["function"],
    refresh,
    plant({ fn }) {
      fn.delivery = delivery;
      return { what: name, lift: () => Promise.resolve(void (fn.delivery = "once")) };
    },
  };
}

const killed: FaultDraft = {
  name: "function killed",
  refresh: "may pass",
  codes: ["crashed"],
  plant: (bed, dice) => strikeAt(bed, "SIGKILL to the function", drawMoment(dice), () => bed.fn.kill()),
};

const killedWithNetwork: FaultDraft = {
  name: "function killed with its network gone",
  endsConnections: true,
  hidesEnd: true,
  ticks: [1, 3],
  refresh: "may pass",
  codes: ["crashed"],
  plant: (bed, dice) =>
    strikeAt(
      bed,
      "function and network gone at once",
      drawMomentInside(dice),
      (connection) => {
        connection.abandon();
        bed.fn.kill();
      },
      () => bed.wire.thaw(),
    ),
};

const hangs: FaultDraft = {
  name: "function hangs",
  refresh: "may pass",
  codes: ["timedOut"],
  plant: (bed, dice) =>
    strikeAt(bed, "function stopped until its timeout", drawMoment(dice), () => bed.fn.hang()),
};

const LONGEST_NAP_MS = 2_000;

const naps: FaultDraft = {
  name: "function paused for a moment",
  refresh: "passes",
  plant(bed, dice) {
    const napMs = dice.between(50, LONGEST_NAP_MS);
    let nap = Promise.resolve();
    return strikeAt(
      bed,
      `function paused for ${napMs} ms`,
      drawMoment(dice),
      () => {
        bed.fn.hang();
        nap = sleep(napMs).then(() => bed.fn.resume());
      },
      () => nap,
    );
  },
};

const sleepsTooLong: FaultDraft = {
  name: "function paused and woken after its time",
  endsConnections: true,
  hidesEnd: true,
  ticks: [1, 3],
  refresh: "may pass",
  codes: ["timedOut", "ETIMEDOUT"],
  plant(bed, dice) {
    let pausedMs: number | undefined;
    return strikeAt(
      bed,
      "function paused, and woken after its time,",
      drawMoment(dice),
      () => {
        pausedMs ??= performance.now();
        bed.fn.pause();
      },
      async () => {
        if (pausedMs === undefined) return;
        const overMs = pausedMs + TIMEOUT_MS;
        pausedMs = undefined;
        await sleep(Math.max(0, overMs - performance.now()));
        bed.fn.resume();
      },
    );
  },
};

/** Each strikes the function; none its server. */
export const FUNCTION_FAULTS = faultsOf({ group: "function", touches: ["function", "wire"] }, [
  killed,
  killedWithNetwork,
  hangs,
  naps,
  sleepsTooLong,
  delivered("twice", "tick delivered twice", "passes"),
  delivered("by hand too", "two runs at once", "passes"),
  delivered("late", "tick late", "stops"),
  delivered("out of order", "tick out of order", "stops"),
  delivered("never", "tick lost", "stops"),
  delivered("throttled", "tick throttled", "stops"),
]);
