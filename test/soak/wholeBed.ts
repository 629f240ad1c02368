import type { Mode } from "../../soak/bed/bed";
import { makeBed, type SoakBed } from "../../soak/bed/makeBed";
import { VirtualClock } from "../../soak/clock";
import { Dice } from "../../soak/dice";
import { soakPlan } from "../../soak/run";
import type { TrialBed } from "./faultTrial";

/** Gives the surrounding `describe` the bed of a soak, whose writers do nothing by themselves. Its members can be used in tests. */
export function useWholeBed(mode: Mode): { bed(): SoakBed; trial: TrialBed } {
  let made: SoakBed | undefined;
  const bed = (): SoakBed => {
    if (made === undefined) throw new Error("there is no bed before the hooks have run");
    return made;
  };
  before(async function () {
    this.timeout(60_000);
    made = await makeBed(soakPlan(mode), mode, new VirtualClock(), new Dice(1));
  });
  after(async function () {
    this.timeout(60_000);
    await made?.stop();
  });
  let ticks = 0;
  const trial: TrialBed = {
    get bed() {
      return bed();
    },
    get fn() {
      return bed().fn;
    },
    tick() {
      ticks += 1;
      return bed().fn.deliver(ticks, bed().clock.nowMs());
    },
    async sessions() {
      const client = await bed().connect();
      const { rows } = await client.query<{ state: string }>(
        "SELECT state FROM pg_stat_activity WHERE application_name = 'matview-refresh'",
      );
      await client.end();
      return rows.map(({ state }) => state);
    },
  };
  return { bed, trial };
}
