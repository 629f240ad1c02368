/** Makes the report's figures of what a soak has brought to light. */
import type { Mode } from "./bed/bed";
import { tickOf } from "../local/tally";
import type { Conviction } from "./chronicle";
import type { Stretch } from "./judge/alarms/promise";
import type { Plant } from "./plantings";
import type { FaultResult, SoakResult } from "./report";
import type { Soaked } from "./run";
import { RECOVERY_TICKS } from "./story";

/** What was asked for. */
interface Asked {
  mode: Mode;
  seed: number;
  /** Groups and names; none where all faults were. */
  faults: string[];
}

/** Of a broken promise of this kind something that readers had is lost. */
const LOSSES = new Set(["readers see the query at one moment", "history says what happened"]);

export function resultOf(soaked: Soaked, { mode, seed, faults }: Asked): SoakResult {
  const { ticks, runs, plantings, skipped, convictions, judgement } = soaked;
  const names = [...new Set(plantings.all.map(({ planting }) => planting.fault.name))];
  return {
    ...{ seed, mode, ticks, ...(faults.length > 0 && { faultsAsked: faults }) },
    ...{ realSeconds: soaked.realSeconds, virtualSeconds: soaked.virtualSeconds },
    runs: counted(runs.map((run) => tickOf(run.invocation, false).outcome)),
    faults: [
      ...names.map((name) => faultResult(name, soaked)),
      ...skipped.map(({ fault: { name, group }, why }) => ({ ...nothing(name, group), skipped: why })),
    ],
    unplanted: plantings.unplanted.map(({ fault, ...where }) => ({ ...where, fault: fault.name })),
    violations: convictions,
    judge: soaked.counts,
    alarms: counted(
      judgement.alarms.flatMap(({ kind, transitions }) =>
        transitions.filter(({ state }) => state === "ALARM").map(() => kind),
      ),
    ),
  };
}

function faultResult(name: string, soaked: Soaked): FaultResult {
  const plants = soaked.plantings.all.filter(({ planting }) => planting.fault.name === name);
  const stretches = new Set(plants.flatMap((plant) => stretchesIn(plant, soaked.judgement.stretches)));
  const after = (kind: "failingAfterSeconds" | "staleAfterSeconds"): number[] =>
    [...stretches].flatMap((stretch) => stretch[kind] ?? []);
  const tried = soaked.plantings.remedies.filter(({ fault }) => fault === name);
  return {
    ...nothing(name, plants[0]?.planting.fault.group ?? ""),
    planted: plants.length,
    struck: plants.filter(({ struck }) => struck).length,
    seen: sumOf(plants.map(({ seen }) => seen)),
    alarmAfterSeconds: { failing: after("failingAfterSeconds"), stale: after("staleAfterSeconds") },
    recoveredAfterTicks: plants.flatMap(({ recoveredAfterTicks }) => recoveredAfterTicks ?? []),
    lost: soaked.convictions.filter((each) => LOSSES.has(each.invariant) && plants.some(isAbout(each)))
      .length,
    ...(soaked.exitCodes.has(name) && { exitCodes: soaked.exitCodes.get(name) }),
    remedies: { executed: tried.length, helped: tried.filter(({ helped }) => helped === true).length },
  };
}

const nothing = (name: string, group: string): FaultResult => ({
  ...{ name, group, planted: 0, struck: 0, seen: {}, alarmAfterSeconds: {}, recoveredAfterTicks: [] },
  ...{ lost: 0, remedies: { executed: 0, helped: 0 } },
});

/** Stretches without a success that a fault was part of. */
function stretchesIn({ fromVirtualMs, over }: Plant, stretches: Stretch[]): Stretch[] {
  const [fromSeconds, toSeconds] = [fromVirtualMs / 1_000, (over?.virtualMs ?? Infinity) / 1_000];
  return stretches.filter((each) => each.fromSeconds <= toSeconds && each.toSeconds >= fromSeconds);
}

const isAbout =
  ({ tick }: Conviction) =>
  ({ planting: { fromTick, toTick } }: Plant): boolean =>
    tick >= fromTick && tick <= toTick + RECOVERY_TICKS;

function counted(words: string[]): Record<string, number> {
  return sumOf(words.map((word) => new Map([[word, 1]])));
}

function sumOf(all: Map<string, number>[]): Record<string, number> {
  const sum: Record<string, number> = {};
  for (const each of all) for (const [word, times] of each) sum[word] = (sum[word] ?? 0) + times;
  return sum;
}
