/** The faults that are planted now, and what became of all that were. */
import { setTimeout as sleep } from "node:timers/promises";
import { inSchema, maintainedNames } from "../handler/maintained";
import type { Bed, Run } from "./bed/bed";
import type { Chronicle } from "./chronicle";
import type { Dice } from "./dice";
import type { Fault, Planted } from "./fault";
import { carryOut, remedyOf } from "./remedy";
import { outcomesOf } from "./outcomes";
import type { Planting } from "./story";

/** A fault that was planted, until all is well again. */
export interface Plant {
  planting: Planting;
  planted: Planted;
  fromVirtualMs: number;
  /** Since when it is over, and how; undefined while it goes on. */
  over?: { tick: number; virtualMs: number };
  /** Ticks until all was well again, counted from when the last fault of the episode was over; undefined where it never was. */
  recoveredAfterTicks?: number;
  /** Under way. */
  lifting?: Promise<void>;
  failedLifts: number;
  struck: boolean;
  /** Whether a run said what the fault makes it say. */
  isNamed: boolean;
  /** Whether another fault was planted at the same time. */
  isAlone: boolean;
  /** What came of the runs meanwhile: codes, `refreshed`, `timedOut` and so on, with how often. */
  seen: Map<string, number>;
}

/** What came of the one time that a fault's remedy was carried out. */
interface RemedyTried {
  fault: string;
  remedy: string;
  how: string;
  helped: boolean | undefined;
}

/** A fault of the story that could not be planted. */
interface Unplanted {
  tick: number;
  fault: Fault;
  why: string;
}

const MOST_FAILED_LIFTS = 12;
/** A kind that came so often and never struck does not owe that to the faults beside it. */
const OFTEN = 4;
/** Longer than any fault takes by itself: the function's time, and a server that starts. */
const LONGEST_LIFT_MS = 20_000;

export class Plantings {
  /** All, in order. */
  readonly all: Plant[] = [];
  readonly remedies: RemedyTried[] = [];
  /** Of the story, but the server was away through another fault, or did not let it. */
  readonly unplanted: Unplanted[] = [];
  /** Since when nothing is planted. */
  quiet: { tick: number; epochMs: number } | undefined;
  private active: Plant[] = [];
  /** Those since all was well for the last time. */
  private episode: Plant[] = [];
  /** Over by a remedy: lifted once it is seen to have helped, or not. */
  private remedied: Plant[] = [];
  /** Those of the tick before, whose codes may still be seen. */
  private lately: Plant[] = [];

  constructor(
    private readonly bed: Bed,
    private readonly chronicle: Chronicle,
    private readonly dice: Dice,
  ) {}

  get now(): Fault[] {
    return this.active.map(({ planting }) => planting.fault);
  }

  /** The only one that a run of the tick may have met; undefined where there are several. */
  get onlyOne(): Plant | undefined {
    return this.active.length + this.lately.length === 1 ? this.active[0] : undefined;
  }

  /** Those that a run of the tick may have met, until {@link endTick}. */
  get met(): Fault[] {
    return [...this.lately, ...this.active].map(({ planting }) => planting.fault);
  }

  /** @returns those that could be planted */
  async plant(due: Planting[]): Promise<Plant[]> {
    const before = this.all.length;
    for (const planting of due) {
      const { fault } = planting;
      try {
        const planted = await fault.plant(this.bed, this.dice.fork());
        const plant: Plant = {
          ...{
            planting,
            planted,
            failedLifts: 0,
            struck: false,
            isNamed: false,
            isAlone: this.active.length === 0,
          },
          seen: new Map<string, number>(),
          fromVirtualMs: this.bed.clock.nowMs(),
        };
        for (const other of this.active) other.isAlone = false;
        this.active.push(plant);
        this.all.push(plant);
        this.episode.push(plant);
        this.quiet = undefined;
        this.chronicle.add(`planted "${fault.name}": ${planted.what}`);
      } catch (error) {
        this.unplanted.push({ tick: planting.fromTick, fault, why: String(error) });
        this.chronicle.add(`could not plant "${fault.name}": ${String(error)}`);
      }
    }
    return this.all.slice(before);
  }

  /** Takes down what the runs of a tick came to, and ends the faults whose last tick it was. */
  async endTick(tick: number, runs: Run[]): Promise<void> {
    for (const plant of this.active) note(plant, runs);
    const ended: Plant[] = [];
    const lasting: Plant[] = [];
    for (const plant of this.active) {
      const isOver = lastTickOf(plant) <= tick && (await this.end(plant, tick, runs));
      (isOver ? ended : lasting).push(plant);
    }
    this.lately = ended;
    this.active = lasting;
    if (lasting.length === 0 && ended.length > 0) this.quiet = { tick, epochMs: Date.now() };
  }

  /** All since all was well for the last time. */
  get sinceAllWasWell(): Fault[] {
    return this.episode.map(({ planting }) => planting.fault);
  }

  /** Of the faults since all was well for the last time. */
  get lastEpisode(): string {
    return this.sinceAllWasWell.map(({ name }) => `"${name}"`).join(", ") || "no fault";
  }

  /** All views are fresh again, so many ticks after the last fault was over. */
  async recovered(afterTicks: number): Promise<void> {
    for (const plant of this.episode) plant.recoveredAfterTicks ??= afterTicks;
    this.episode = [];
    await this.liftRemedied(true);
  }

  /** The time for that is over. */
  async notRecovered(): Promise<void> {
    await this.liftRemedied(false);
  }

  /** At the end: of a kind that never struck, or whose remedy was never carried out, nothing was shown. */
  judgeKinds(): void {
    const came = [
      ...this.all.map(({ planting }) => planting.fault),
      ...this.unplanted.map(({ fault }) => fault),
    ];
    for (const fault of new Set(came)) {
      const times = came.filter((each) => each === fault).length;
      if (times < OFTEN) continue;
      const never = `"${fault.name}" came ${times} times, and never`;
      if (!this.all.some(({ planting, struck }) => planting.fault === fault && struck))
        this.chronicle.convict("every kind of fault strikes", `${never} struck`);
      if (fault.remedyHelps === true && !this.remedies.some((each) => each.fault === fault.name))
        this.chronicle.convict("every remedy is carried out", `${never} to its remedy`);
    }
  }

  /** Lifts whatever is left at the end of a soak. */
  async liftAll(): Promise<void> {
    for (const { planted } of [...this.active, ...this.remedied]) await planted.lift().catch(() => undefined);
    this.active = [];
  }

  private async end(plant: Plant, tick: number, runs: Run[]): Promise<boolean> {
    const { fault } = plant.planting;
    const byRemedy = await this.tryRemedy(plant, runs);
    if (!byRemedy) {
      try {
        if (!(await this.lift(plant))) return false;
      } catch (error) {
        // The server may be away, or somebody may have locked what is to be put right: it is tried again after the next tick.
        this.chronicle.add(`could not lift "${fault.name}" yet: ${String(error)}`);
        plant.failedLifts += 1;
        if (plant.failedLifts > MOST_FAILED_LIFTS)
          this.chronicle.convict("every fault can be lifted", `"${fault.name}": ${String(error)}`);
        return false;
      }
    }
    if (plant.planted.driftsUntilFullRun !== undefined) await this.letFullRunsFallDue();
    plant.over = { tick, virtualMs: this.bed.clock.nowMs() };
    // What a remedy has ended had struck, whatever is left of it.
    plant.struck ||= byRemedy || (plant.planted.hasStruck?.() ?? true);
    if (byRemedy) this.remedied.push(plant);
    this.judgeNaming(plant);
    this.chronicle.add(`${byRemedy ? "remedied" : "lifted"} "${fault.name}"`);
    return true;
  }

  /** A lift may wait for what another fault holds, which is lifted after it. @returns whether it is done */
  private async lift(plant: Plant): Promise<boolean> {
    plant.lifting ??= plant.planted.lift();
    const isDone = await Promise.race([plant.lifting.then(() => true), sleep(LONGEST_LIFT_MS, false)]).catch(
      (error: unknown) => {
        delete plant.lifting;
        throw error;
      },
    );
    if (!isDone) this.chronicle.add(`"${plant.planting.fault.name}" is not lifted yet`);
    return isDone;
  }

  /** Who had nothing else in the way has to have been told what was. */
  private judgeNaming({ planting: { fault }, seen, struck, isAlone, isNamed }: Plant): void {
    if (fault.says === undefined || !struck || !isAlone || isNamed) return;
    const came = [...seen.keys()].join(", ");
    // One that may pass has been met where a run failed of it.
    const isMet = fault.refresh === "may pass" ? fault.codes.some((code) => seen.has(code)) : seen.size > 0;
    if (isMet)
      this.chronicle.convict(
        "failures say what was planted",
        `"${fault.name}" (${came}): no run says ${fault.says}`,
      );
  }

  /** What is skipped of virtual time goes by for maintained views at once: the next run of each is a full one. */
  private async letFullRunsFallDue(): Promise<void> {
    for (const view of this.bed.books.views) {
      const status = inSchema(maintainedNames(view).status);
      await this.bed.cluster.execute(`UPDATE ${status} SET last_full_at = last_full_at - interval '1 day'`);
    }
  }

  /** Once for each fault whose remedy should help. */
  private async tryRemedy({ planting: { fault } }: Plant, runs: Run[]): Promise<boolean> {
    if (fault.remedyHelps !== true || this.remedies.some((each) => each.fault === fault.name)) return false;
    const beside = this.met.filter((each) => each !== fault);
    // Nobody puts anything right on a server that is away.
    if (beside.some(({ touches }) => touches.includes("server"))) return false;
    const others = new Set(beside.flatMap(({ codes }) => codes));
    const isItsOwn = (outcome: string): boolean => fault.codes.includes(outcome) && !others.has(outcome);
    const failed = runs.find((run) => outcomesOf(run).every(isItsOwn));
    const remedy = failed && remedyOf(failed);
    if (remedy === undefined) return false;
    const { done, how } = await carryOut(remedy, this.bed).catch((error: unknown) => ({
      done: false,
      how: String(error),
    }));
    this.remedies.push({ fault: fault.name, remedy, how, helped: done ? undefined : false });
    this.chronicle.add(`carried out the remedy of "${fault.name}": ${remedy} (${how})`);
    if (!done)
      this.chronicle.convict("every remedy can be carried out", `"${fault.name}": ${remedy}: ${how}`);
    return done;
  }

  private async liftRemedied(helped: boolean): Promise<void> {
    for (const { planting, planted } of this.remedied.splice(0)) {
      const tried = this.remedies.find(({ fault }) => fault === planting.fault.name);
      if (tried !== undefined) tried.helped = helped;
      if (!helped) this.chronicle.convict("every remedy helps", `"${planting.fault.name}": ${tried?.remedy}`);
      await planted.lift().catch(() => undefined);
    }
  }
}

/** What no run has met stays for one more: its moment did not come, or another fault kept every run from it. */
function lastTickOf({ planting: { fault, toTick }, planted, seen }: Plant): number {
  const isUnmet =
    planted.strikesOnce === true
      ? planted.hasStruck?.() === false
      : fault.refresh === "stops" && fault.codes.length > 0 && seen.size === 0;
  return isUnmet ? toTick + 1 : toTick;
}

function note(plant: Plant, runs: Run[]): void {
  const { fault } = plant.planting;
  for (const run of runs) {
    for (const outcome of outcomesOf(run)) {
      const isItsOwn = fault.codes.includes(outcome) || ["refreshed", "skipped"].includes(outcome);
      if (isItsOwn) plant.seen.set(outcome, (plant.seen.get(outcome) ?? 0) + 1);
    }
    const said = [...run.lines, run.invocation.error?.errorMessage ?? ""].join("\n");
    plant.isNamed ||= fault.says?.test(said) === true;
  }
}
