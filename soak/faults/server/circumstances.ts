/** Servers that are there and are not as they were: read-only, another, with another clock, or behind a pooler. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { startBouncer, whyNoBouncer } from "../../bed/bouncer";
import type { Fault } from "../../fault";
import { drawMomentInside, strikeAt } from "../moment";
import { serverFault } from "./serverFault";

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

export const CIRCUMSTANCE_FAULTS: Fault[] = [readOnlyByDefault, readerEndpoint, clockStepped, bouncerBetween];
