/** A soak of one mode: ticks one after the other, faults as the story has them, and the judges after each tick. */
import { setTimeout as sleep } from "node:timers/promises";
import { makePlan, type Plan } from "../components/plan/plan";
import { parseSettings } from "../components/settings/parseSettings";
import { qualifiedName } from "../handler/names";
import type { Mode, Run } from "./bed/bed";
import { BALANCE, SUMMARY } from "./books/books";
import { makeBed, type SoakBed } from "./bed/makeBed";
import { Chronicle, type Conviction } from "./chronicle";
import { VirtualClock } from "./clock";
import { Dice } from "./dice";
import type { Fault } from "./fault";
import type { Judgement } from "./judge/alarms/promise";
import type { CommandJudge } from "./judge/commands";
import { Judges } from "./judges";
import { Plantings } from "./plantings";
import { tellStory, type Planting } from "./story";

/** What a soak is asked to do. */
interface SoakOptions {
  mode: Mode;
  ticks: number;
  seed: number;
  /** Of the mode. */
  faults: Fault[];
}

/** Told while a soak goes on. */
export interface Observer {
  /** The bed is made, the first tick is due. */
  began(plan: Plan, skipped: SkippedFault[]): void;
  ticked(tick: number, line: string): void;
  convicted(conviction: Conviction): void;
}

/** A fault that cannot be planted on this machine. */
interface SkippedFault {
  fault: Fault;
  why: string;
}

/** All that a soak has brought to light. */
export interface Soaked {
  /** Ticks that there were: fewer than asked for where it was told to stop, or got stuck. */
  ticks: number;
  realSeconds: number;
  virtualSeconds: number;
  runs: Run[];
  skipped: SkippedFault[];
  plantings: Plantings;
  convictions: Conviction[];
  /** What was judged. */
  counts: Judges["counts"] & { transactions: number };
  judgement: Judgement;
  /** Of commands, by the name of the fault that stood. */
  exitCodes: CommandJudge["exitCodes"];
}

/** Real time after each tick, for the writers. */
const WRITERS_MS = 300;

/** A tick that takes longer has got stuck: the function's time, twice over for one that was paused, and faults' own. */
const LONGEST_TICK_MS = 120_000;

/** The plan of every soak: a tick a minute, and runs that are over soon when nothing answers. */
export function soakPlan(mode: Mode): Plan {
  const incremental = mode === "incremental" ? { incremental: { fullEvery: "rate(1 minute)" } } : {};
  return makePlan(
    parseSettings(
      {
        groupName: "soak",
        views: [
          { name: qualifiedName(BALANCE), allowBlocking: false, ...incremental },
          { name: qualifiedName(SUMMARY), allowBlocking: true, ...incremental },
        ],
        refreshRate: "rate(1 minute)",
        timeoutSeconds: 8,
        logFormat: "text",
      },
      "local",
    ),
  );
}

/**
 * Runs a soak to its end, or until it is told to stop.
 * @throws what kept the bed from being made; a promise that broke is in the result
 */
export async function soak(options: SoakOptions, observer: Observer, stop: AbortSignal): Promise<Soaked> {
  const { mode, ticks, seed } = options;
  const plan = soakPlan(mode);
  const clock = new VirtualClock();
  // Dice of its own for each, so that the story is the seed's alone.
  const dice = new Dice(seed);
  const [storyDice, faultDice, writerDice, lateDice] = [dice.fork(), dice.fork(), dice.fork(), dice.fork()];
  const bed = await makeBed(plan, mode, clock, writerDice);
  try {
    const { possible, skipped } = await sortOut(options.faults, bed);
    const story = tellStory(possible, ticks, ticksThatBreak(plan), storyDice);
    const chronicle = new Chronicle((conviction) => observer.convicted(conviction));
    const judges = new Judges(bed, plan, chronicle, lateDice);
    const plantings = new Plantings(bed, chronicle, faultDice);
    observer.began(plan, skipped);
    const startedMs = performance.now();
    const startSeconds = clock.nowMs() / 1_000;
    const soaking = new Soaking(bed, story, chronicle, judges, plantings);
    const done = await soaking.run(ticks, plan.schedule.intervalSeconds * 1_000, observer, stop);
    await plantings.liftAll();
    plantings.judgeKinds();
    await bed.writers.stop();
    const judgement = await judges.conclude(startSeconds);
    return {
      ...{ ticks: done, runs: soaking.runs, skipped, plantings, judgement },
      exitCodes: judges.commands.exitCodes,
      realSeconds: (performance.now() - startedMs) / 1_000,
      virtualSeconds: clock.nowMs() / 1_000 - startSeconds,
      convictions: chronicle.convictions,
      counts: { ...judges.counts, transactions: bed.claims.committed },
    };
  } finally {
    await bed.stop();
  }
}

/** So many ticks without a refresh break the promise, and have its alarms go off. */
function ticksThatBreak({ maxStalenessSeconds, schedule }: Plan): number {
  return Math.ceil(maxStalenessSeconds / schedule.intervalSeconds) + 1;
}

async function sortOut(
  faults: Fault[],
  bed: SoakBed,
): Promise<{ possible: Fault[]; skipped: SkippedFault[] }> {
  const possible: Fault[] = [];
  const skipped: SkippedFault[] = [];
  for (const fault of faults) {
    const why = await fault.missing?.(bed);
    if (why === undefined) possible.push(fault);
    else skipped.push({ fault, why });
  }
  return { possible, skipped };
}

/** The ticks, one after the other. */
class Soaking {
  readonly runs: Run[] = [];

  constructor(
    private readonly bed: SoakBed,
    private readonly story: Planting[],
    private readonly chronicle: Chronicle,
    private readonly judges: Judges,
    private readonly plantings: Plantings,
  ) {}

  /** @returns how many ticks there were */
  async run(ticks: number, intervalMs: number, observer: Observer, stop: AbortSignal): Promise<number> {
    const { bed, chronicle } = this;
    const startMs = Math.ceil(bed.clock.nowMs() / intervalMs) * intervalMs;
    bed.writers.start();
    await this.judges.start();
    let tick = 0;
    while (tick < ticks && !stop.aborted) {
      tick += 1;
      bed.clock.skipTo(startMs + tick * intervalMs);
      chronicle.open(tick, bed.clock.nowMs());
      const isOver = await Promise.race([this.tick(tick), stuck()]);
      if (!isOver) chronicle.convict("every tick comes to an end", `not after ${LONGEST_TICK_MS / 1_000} s`);
      observer.ticked(tick, chronicle.close());
      if (!isOver) break;
    }
    return tick;
  }

  private async tick(tick: number): Promise<true> {
    const { bed, story, judges, plantings } = this;
    await judges.settle();
    const planted = await plantings.plant(story.filter(({ fromTick }) => fromTick === tick));
    await judges.planted(planted);
    const throttledBefore = bed.fn.throttledTicks.length;
    const runs = await bed.fn.deliver(tick, bed.clock.nowMs());
    judges.note(runs, bed.fn.throttledTicks.length > throttledBefore);
    const { met, onlyOne } = plantings;
    if (onlyOne !== undefined) await judges.judgeCommands(onlyOne);
    await plantings.endTick(tick, runs);
    await judges.mayBeUnrecorded(met);
    // Of processes that were paused until now.
    const further = await bed.fn.settle();
    judges.note(further, false);
    this.runs.push(...runs, ...further);
    await sleep(WRITERS_MS);
    await judges.judge(tick, [...runs, ...further], met, plantings);
    return true;
  }
}

async function stuck(): Promise<false> {
  await sleep(LONGEST_TICK_MS, undefined, { ref: false });
  return false;
}
