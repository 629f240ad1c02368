/** A soak of one mode: ticks one after the other, faults as the story has them, and the judges after each tick. */
import { setTimeout as sleep } from "node:timers/promises";
import { makePlan, type Plan } from "../components/plan/plan";
import { parseSettings } from "../components/settings/parseSettings";
import type { Mode, Run } from "./bed/bed";
import { BOOKS } from "./bed/books";
import { makeBed, type SoakBed } from "./bed/makeBed";
import { Chronicle } from "./chronicle";
import { VirtualClock } from "./clock";
import { Dice } from "./dice";
import type { Fault } from "./fault";
import { Judges } from "./judges";
import { Plantings } from "./plantings";
import type { SoakResult } from "./report";
import { tellStory, type Planting } from "./story";

/** What a soak is asked to do. */
export interface SoakOptions {
  mode: Mode;
  ticks: number;
  seed: number;
  /** Of the mode. */
  faults: Fault[];
}

/** Told while a soak goes on. */
export interface Observer {
  /** The bed is made, the first tick is due. */
  began(plan: Plan, skipped: { fault: Fault; why: string }[]): void;
  ticked(tick: number, line: string): void;
}

/** Real time after each tick, for the writers. */
const WRITERS_MS = 300;

/** A tick that takes longer has got stuck: the function's time, twice over for one that was paused, and faults' own. */
const LONGEST_TICK_MS = 120_000;

/** The plan of every soak: a tick a minute, and runs that are over soon when nothing answers. */
export function soakPlan(mode: Mode): Plan {
  const incremental = mode === "incremental" ? { incremental: { fullEvery: "rate(1 minute)" } } : {};
  const [balance, summary] = BOOKS.views.map(({ schema, name }) => `${schema}.${name}`);
  return makePlan(
    parseSettings(
      {
        groupName: "soak",
        views: [
          { name: balance, allowBlocking: false, ...incremental },
          { name: summary, allowBlocking: true, ...incremental },
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
export async function soak(options: SoakOptions, observer: Observer, stop: AbortSignal): Promise<SoakResult> {
  const { mode, ticks, seed } = options;
  const plan = soakPlan(mode);
  const clock = new VirtualClock();
  // In this order for ever: each has dice of its own, so that the story is the seed's alone.
  const [storyDice, faultDice, writerDice, lateDice] = forks(new Dice(seed));
  const bed = await makeBed(plan, mode, clock, writerDice);
  try {
    const { possible, skipped } = await sortOut(options.faults, bed);
    const story = tellStory(possible, ticks, ticksThatBreak(plan), storyDice);
    const chronicle = new Chronicle();
    const judges = new Judges(bed, plan, chronicle, lateDice);
    const plantings = new Plantings(bed, chronicle, judges, faultDice);
    observer.began(plan, skipped);
    const startedMs = performance.now();
    const done = await runTicks({ bed, plan, story, chronicle, judges, plantings, ticks, observer, stop });
    return await judges.conclude({ ...options, ticks: done, skipped, plantings, startedMs });
  } finally {
    await bed.stop();
  }
}

function forks(dice: Dice): [Dice, Dice, Dice, Dice] {
  return [dice.fork(), dice.fork(), dice.fork(), dice.fork()];
}

/** So many ticks without a refresh break the promise, and have its alarms go off. */
function ticksThatBreak({ maxStalenessSeconds, schedule }: Plan): number {
  return Math.ceil(maxStalenessSeconds / schedule.intervalSeconds) + 1;
}

async function sortOut(
  faults: Fault[],
  bed: SoakBed,
): Promise<{ possible: Fault[]; skipped: { fault: Fault; why: string }[] }> {
  const answers = await Promise.all(
    faults.map(async (fault) => ({ fault, why: await fault.missing?.(bed) })),
  );
  return {
    possible: answers.filter(({ why }) => why === undefined).map(({ fault }) => fault),
    skipped: answers.flatMap(({ fault, why }) => (why === undefined ? [] : [{ fault, why }])),
  };
}

interface Ticking {
  bed: SoakBed;
  plan: Plan;
  story: Planting[];
  chronicle: Chronicle;
  judges: Judges;
  plantings: Plantings;
  ticks: number;
  observer: Observer;
  stop: AbortSignal;
}

/** @returns how many ticks there were */
async function runTicks(soaking: Ticking): Promise<number> {
  const { bed, plan, chronicle, judges, ticks, observer, stop } = soaking;
  const intervalMs = plan.schedule.intervalSeconds * 1_000;
  const startMs = Math.ceil(bed.clock.nowMs() / intervalMs) * intervalMs;
  bed.writers.start();
  judges.start();
  let tick = 0;
  while (tick < ticks && !stop.aborted) {
    tick += 1;
    bed.clock.skipTo(startMs + tick * intervalMs);
    chronicle.open(tick, bed.clock.nowMs());
    const isOver = await Promise.race([oneTick(soaking, tick), stuck(tick)]);
    observer.ticked(tick, chronicle.close());
    if (isOver) continue;
    judges.convict("every tick comes to an end", `it was not over after ${LONGEST_TICK_MS / 1_000} s`);
    break;
  }
  return tick;
}

async function oneTick({ bed, story, judges, plantings }: Ticking, tick: number): Promise<true> {
  await plantings.plant(story.filter(({ fromTick }) => fromTick === tick));
  const runs: Run[] = await bed.fn.deliver(tick, bed.clock.nowMs());
  judges.note(runs);
  await plantings.lift(tick, runs);
  await sleep(WRITERS_MS);
  await judges.judge(tick, runs, plantings);
  return true;
}

async function stuck(): Promise<false> {
  await sleep(LONGEST_TICK_MS, undefined, { ref: false });
  return false;
}
