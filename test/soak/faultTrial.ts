import assert from "node:assert/strict";
import { tickOf } from "../../local/tally";
import type { Run } from "../../soak/bed/bed";
import { Dice } from "../../soak/dice";
import type { Fault } from "../../soak/fault";
import type { SmallBed } from "./wireBed";

/** How a failed run names what failed. */
function codeOf({ invocation: { outcome, error } }: Run): string {
  if (outcome !== "failed") return outcome;
  return (
    /\((?:SQLSTATE )?(\w+)\)\. To fix it/.exec(error?.errorMessage ?? "")?.[1] ??
    `no code: ${error?.errorMessage}`
  );
}

const isRefreshed = (run: Run): boolean => tickOf(run.invocation, false).outcome === "refreshed";

/** What a trial needs of a bed. */
export type TrialBed = Pick<SmallBed, "bed" | "tick" | "fn" | "sessions">;

/** What came of a fault that was planted for a tick, and of the tick after it was lifted. */
export interface Trial {
  what: string;
  /** Of the tick, and what ended while the fault was lifted. */
  runs: Run[];
  struck: boolean | undefined;
}

/**
 * Plants a fault, delivers a tick, lifts the fault twice, and delivers another tick.
 * @throws AssertionError where the fault says otherwise of it than what happens, or where something of it is left
 */
export async function tryFault(bed: TrialBed, fault: Fault, seed: number): Promise<Trial> {
  const planted = await fault.plant(bed.bed, new Dice(seed));
  const runs = await bed.tick();
  const struck = planted.hasStruck?.();
  await planted.lift();
  await planted.lift();
  runs.push(...(await bed.fn.settle()));
  const failures = runs.filter(({ invocation }) => invocation.outcome !== "succeeded");
  const said = runs
    .flatMap(({ lines, invocation }) => [...lines, invocation.error?.errorMessage ?? ""])
    .join("\n");
  const story = `${planted.what}\n${said}`;
  for (const failure of failures)
    assert.ok(fault.codes.includes(codeOf(failure)), `${codeOf(failure)}: ${story}`);
  if (fault.refresh === "passes") assert.ok(runs.some(isRefreshed), story);
  if (fault.refresh === "stops") assert.ok(!runs.some(isRefreshed), story);
  if (fault.says !== undefined) assert.match(said, fault.says);
  const after = await bed.tick();
  assert.ok(
    after.length > 0 && after.every(({ invocation }) => invocation.outcome === "succeeded"),
    `${planted.what}, and after it: ${after.map(({ invocation }) => invocation.error?.errorMessage).join()}`,
  );
  assert.ok(after.some(isRefreshed), `${planted.what}, and after it nothing was refreshed`);
  while ((await bed.sessions()).length > 0) await new Promise((resolve) => setTimeout(resolve, 10));
  return { what: planted.what, runs, struck };
}
