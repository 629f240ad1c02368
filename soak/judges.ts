/** All judges, asked in turn after each tick, and of the views all the time, as readers read. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Plan } from "../components/plan/plan";
import { qualifiedName } from "../handler/names";
import type { Run } from "./bed/bed";
import { BALANCE, SUMMARY } from "./books/books";
import type { SoakBed } from "./bed/makeBed";
import type { Chronicle } from "./chronicle";
import type { Dice } from "./dice";
import type { Fault, Touched } from "./fault";
import { CommandJudge } from "./judge/commands";
import { SizeWatch } from "./judge/growth";
import { HistoryJudge } from "./judge/history";
import { LeftoversJudge } from "./judge/leftovers";
import { isOfMissingRow } from "./judge/moment";
import { judgePromises, type Judgement } from "./judge/alarms/promise";
import { Recorder } from "./judge/alarms/record";
import { ViewJudge, type Look } from "./judge/views";
import { outcomesOf } from "./outcomes";
import type { Plant, Plantings } from "./plantings";
import { RECOVERY_TICKS } from "./story";

const LOOK_EVERY_MS = 100;

const ONE_MOMENT = "readers see the query at one moment";

/** More than a day of changes and its tidying up, which writers may have done since the last fold: folds have left it. */
const MOST_ROWS_LOGGED = 50_000;

/** What each view reads, by `schema.name`. */
const SOURCES = { [qualifiedName(SUMMARY)]: [qualifiedName(BALANCE)] };

/** What runs say where they could not write history. */
const UNRECORDED = /is not recorded|is untracked/;

const touchesAny = (faults: Fault[], ...touched: Touched[]): boolean =>
  faults.some(({ touches }) => touches.some((each) => touched.includes(each)));

export class Judges {
  private readonly views: ViewJudge;
  private readonly history: HistoryJudge;
  private readonly leftovers: LeftoversJudge;
  private readonly sizes: SizeWatch;
  private readonly recorder: Recorder;
  readonly commands: CommandJudge;
  /** Runs that history has not been held against, since the server was away. */
  private unjudged: Run[] = [];
  /** What readers saw in the middle of runs: judged when it is known what the runs said. */
  private suspicions: string[] = [];
  private lastEndedEpochMs = 0;
  /** Something was planted that only a full run finds. */
  private isDriftDue = false;
  private looks = 0;
  private looking: Promise<void> = Promise.resolve();
  private isOver = false;
  private watch: Promise<void> = Promise.resolve();

  constructor(
    private readonly bed: SoakBed,
    private readonly plan: Plan,
    private readonly chronicle: Chronicle,
    lateness: Dice,
  ) {
    const connection = () => bed.cluster.connection();
    const { views, tables } = bed.books;
    this.views = new ViewJudge(connection, bed.claims);
    this.history = new HistoryJudge(connection, views, SOURCES);
    this.leftovers = new LeftoversJudge(connection, views);
    this.sizes = new SizeWatch(connection, views, tables);
    this.recorder = new Recorder(plan, bed.clock, lateness);
    this.commands = new CommandJudge(bed);
  }

  /** Begins to look on. */
  async start(): Promise<void> {
    await this.history.begin();
    this.watch = this.lookOn();
  }

  get counts(): { looks: number; cuts: number; historyRows: number } {
    return { looks: this.looks, cuts: this.views.moments, historyRows: this.history.count };
  }

  /** What readers have seen until now, before anything else is planted. */
  async settle(): Promise<void> {
    await this.looking;
    for (const what of this.suspicions.splice(0)) this.chronicle.convict(ONE_MOMENT, what);
  }

  /** Faults that have just been planted. */
  async planted(plants: Plant[]): Promise<void> {
    const faults = plants.map(({ planting }) => planting.fault);
    const drifts = plants.flatMap(({ planted }) => planted.driftsUntilFullRun ?? []);
    if (touchesAny(faults, "clock")) this.views.clockWasMoved();
    await this.mayBeUnrecorded(faults);
    if (drifts.length === 0) return;
    await this.views.excuseUntilFullRun();
    await this.looking;
    // Of what was planted, seen before it was excused.
    this.suspicions = [];
    this.isDriftDue ||= drifts.includes("surely");
  }

  /** Refreshes may lack their row of history until the next one: from planting to lifting, and a last time then. */
  async mayBeUnrecorded(faults: Fault[]): Promise<void> {
    if (touchesAny(faults, "maintenance", "wire")) await this.excuseUnrecorded();
  }

  /** Takes down what a tick's runs came to. @param throttled whether Lambda refused the tick */
  note(runs: Run[], throttled: boolean): void {
    for (const run of runs) {
      this.recorder.run(run);
      this.lastEndedEpochMs = Math.max(this.lastEndedEpochMs, run.endedEpochMs);
      const code = outcomesOf(run).join(", ");
      const seconds = (run.invocation.durationMs / 1_000).toFixed(1);
      this.chronicle.add(`${run.kind === "tick" ? "run" : `run (${run.kind})`}: ${code} after ${seconds} s`);
    }
    if (throttled) this.recorder.throttled(Date.now());
    this.unjudged.push(...runs);
  }

  /** Whether commands name the one fault that is planted, before it is lifted. */
  async judgeCommands(plant: Plant): Promise<void> {
    const wrong = await this.commands.check(plant);
    if (wrong === undefined) return;
    this.lastEndedEpochMs = Date.now();
    this.chronicle.add(`refresh, doctor and status asked about "${plant.planting.fault.name}"`);
    for (const what of wrong) this.chronicle.convict("commands name what was planted", what);
  }

  /**
   * After the runs of a tick, when none is under way but in processes that are paused.
   * @param met faults that the runs may have met
   */
  async judge(tick: number, runs: Run[], met: Fault[], plantings: Plantings): Promise<void> {
    if (runs.some(({ lines }) => lines.some((line) => UNRECORDED.test(line)))) {
      await this.looking;
      this.suspicions = this.suspicions.filter((violation) => !isOfMissingRow(violation));
      await this.excuseUnrecorded();
    }
    const isLate = (run: Run): boolean => run.tick < tick;
    this.judgeCauses(
      runs.filter((run) => !isLate(run)),
      met,
    );
    // Of a process that was paused, which may have met whatever came meanwhile.
    this.judgeCauses(runs.filter(isLate), plantings.sinceAllWasWell);
    const { look, isFresh } = await this.look(plantings.quiet?.epochMs);
    for (const what of look.violations) this.suspicions.push(what);
    await this.settle();
    if (look.reached) await this.judgeServer(tick, met);
    else if (!touchesAny(plantings.now, "server"))
      this.chronicle.convict("the server is there", "no judge could reach it");
    await this.judgeRecovery(tick, plantings, isFresh);
  }

  /** The end: what only the whole soak tells. */
  async conclude(startSeconds: number): Promise<Judgement> {
    this.isOver = true;
    await this.watch;
    for (const what of this.sizes.judge()) this.chronicle.convict("nothing grows without end", what);
    for (const what of this.bed.writers.surprises)
      this.chronicle.convict("writers are never disturbed", what);
    const span = { fromSeconds: startSeconds, toSeconds: this.bed.clock.nowMs() / 1_000 };
    const judgement = judgePromises(this.plan, this.recorder.facts, span, SOURCES);
    for (const { alarm, atSeconds, what } of judgement.broken) {
      this.chronicle.convict(
        "alarms are raised in time, and with cause",
        `${alarm}: ${what}`,
        atSeconds * 1_000,
      );
    }
    await this.views.close();
    return judgement;
  }

  /** Every failure is that of a fault; without any fault a run refreshes. */
  private judgeCauses(runs: Run[], met: Fault[]): void {
    const codes = new Set(met.flatMap((fault) => fault.codes));
    for (const run of runs) {
      const unexpected = outcomesOf(run).filter(
        (outcome) => outcome !== "refreshed" && outcome !== "skipped" && !codes.has(outcome),
      );
      const said = run.invocation.error?.errorMessage ?? "";
      for (const outcome of unexpected)
        this.chronicle.convict("every failure names its cause", `${outcome}: ${said}`);
    }
    const mustPass = met.every(({ refresh }) => refresh === "passes");
    if (!mustPass || runs.length === 0) return;
    if (!runs.some((run) => outcomesOf(run).includes("refreshed"))) {
      const faults = met.map(({ name }) => `"${name}"`).join(", ") || "no fault";
      const came = runs.flatMap(outcomesOf).join(", ");
      this.chronicle.convict(
        "a refresh passes where nothing stops it",
        `${faults}, and the run came to ${came}`,
      );
    }
  }

  private async judgeServer(tick: number, met: Fault[]): Promise<void> {
    const runs = this.unjudged;
    const clockMoved = touchesAny(met, "clock");
    const someArePaused = this.bed.fn.somePaused;
    const connectionsWereCut = met.some(({ endsConnections }) => endsConnections === true);
    try {
      for (const what of await this.history.check(runs, { clockMoved, connectionsWereCut, someArePaused }))
        this.chronicle.convict("history says what happened", what);
      this.unjudged = [];
      this.recorder.rows(this.history.newRows);
      for (const { view, refreshType, drift } of this.history.newRows) {
        if (refreshType !== "full") continue;
        this.chronicle.add(`${view} in full, drift ${drift ?? "not counted"}`);
        // It is not counted where so much was logged that a fold is given up.
        if (drift === null || drift > 0) this.isDriftDue = false;
      }
      const circumstances = {
        lastEndedEpochMs: this.lastEndedEpochMs,
        isWireSilent: met.some(({ hidesEnd }) => hidesEnd === true),
        isStandbyLost: met.some(({ name }) => name === "standby lost"),
      };
      for (const what of await this.leftovers.check(circumstances))
        this.chronicle.convict("nothing is left behind", what);
      await this.sizes.sample(tick);
    } catch (error) {
      if (!touchesAny(met, "server")) throw error;
    }
  }

  private async judgeRecovery(tick: number, plantings: Plantings, isFresh: boolean): Promise<void> {
    const afterTicks = tick - (plantings.quiet?.tick ?? tick);
    if (afterTicks === 0) return;
    const after = `after ${plantings.lastEpisode}`;
    if (isFresh) {
      await plantings.recovered(afterTicks);
      if (this.isDriftDue) this.chronicle.convict("drift is found", `no full run has found any ${after}`);
      this.isDriftDue = false;
      const logged = this.sizes.samples.at(-1)?.rowsLogged ?? 0;
      if (logged > MOST_ROWS_LOGGED)
        this.chronicle.convict("nothing is left behind", `${logged} rows stay in logs ${after}`);
    } else if (afterTicks >= RECOVERY_TICKS) {
      await plantings.notRecovered();
      const what = `not all are, ${afterTicks} ticks ${after}`;
      this.chronicle.convict("views are fresh again within two ticks", what);
    }
  }

  private async excuseUnrecorded(): Promise<void> {
    await this.views.excuseUntilRecorded().catch(() => undefined);
  }

  private async lookOn(): Promise<void> {
    while (!this.isOver) {
      try {
        const { look } = await this.look();
        this.suspicions.push(...look.violations);
      } catch (error) {
        this.suspicions.push(`a view cannot be read: ${String(error)}`);
      }
      await sleep(LOOK_EVERY_MS);
    }
  }

  /** One look at a time. @param since whether the views show all that had returned by then is asked of the same look */
  private look(since = 0): Promise<{ look: Look; isFresh: boolean }> {
    const next = this.looking.then(async () => {
      const look = await this.views.look();
      if (look.reached) this.looks += 1;
      return { look, isFresh: this.views.isFresh(since) };
    });
    this.looking = next.then(
      () => undefined,
      () => undefined,
    );
    return next;
  }
}
