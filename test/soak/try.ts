import { VirtualClock } from "../../soak/clock";
import { Dice } from "../../soak/dice";
import { makeBed } from "../../soak/bed/makeBed";
import { soakPlan } from "../../soak/run";
import { outcomesOf } from "../../soak/outcomes";
import { DISK_FAULTS } from "../../soak/faults/disk";
import { SERVER_FAULTS } from "../../soak/faults/server";
import type { Mode } from "../../soak/bed/bed";
async function main() {
  const [mode, pattern, seeds, writers] = process.argv.slice(2);
  const t0 = performance.now();
  const bed = await makeBed(soakPlan(mode as Mode), mode as Mode, new VirtualClock(), new Dice(1));
  console.log("bed", Math.round(performance.now() - t0));
  let tick = 0;
  const go = async (label: string) => { const s = performance.now(); const runs = await bed.fn.deliver(++tick, Date.now()); for (const r of runs) console.log("   ", label, outcomesOf(r).join(), Math.round(performance.now() - s), r.invocation.error?.errorMessage?.slice(0, 260) ?? "", r.lines.filter((l) => /trying again|not recorded/.test(l)).map((l) => l.slice(0, 170)).join("\n        ")); };
  try {
    if (writers) bed.writers.start();
    await go("warm"); await go("warm");
    for (const fault of [...SERVER_FAULTS, ...DISK_FAULTS].filter((f) => new RegExp(pattern ?? ".").test(f.name) && f.modes.includes(mode as Mode)))
      for (const seed of (seeds ?? "1").split(",").map(Number)) {
        const missing = await fault.missing?.(bed);
        if (missing) { console.log(fault.name, "missing", missing); continue; }
        const s = performance.now();
        const planted = await fault.plant(bed, new Dice(seed));
        console.log(`${fault.name}: ${planted.what} (planted in ${Math.round(performance.now() - s)})`);
        await go("with"); console.log("    struck", planted.hasStruck?.());
        const l = performance.now();
        await planted.lift(); await planted.lift(); console.log("    lifted in", Math.round(performance.now() - l));
        await go("after");
      }
    await bed.writers.stop(); console.log(bed.writers.surprises);
  } finally { await bed.stop(); }
}
main().catch((e) => { console.error(e); process.exit(1); });
