/** One tick of a run, from its event to what is counted and printed. */
import type { Plan } from "../components/plan/plan";
import { AlarmWatch } from "./alarms";
import { describeSeconds } from "./duration";
import type { FreshnessWatch, ViewAge } from "./freshness";
import type { LambdaFunction } from "./lambda/lambdaFunction";
import type { Invocation } from "./lambda/lambdaProcess";
import { readEmbeddedMetrics, type Datapoint } from "./metrics";
import { isFailure, Tally, tickOf, type Tick } from "./tally";
import type { Terminal } from "./terminal";
import { tickEvent, type EventOrigin } from "./tickEvent";

/** What a tick needs to know of the run. */
export interface TickContext {
  plan: Plan;
  origin: EventOrigin;
  fn: LambdaFunction;
  freshness: FreshnessWatch;
  terminal: Terminal;
}

/** Fires ticks at the function, prints what came of them, and keeps the tally and the alarms. */
export class TickRunner {
  readonly tally = new Tally();
  /** Each alarm that went off, in order. */
  readonly alarmsRaised: string[] = [];
  private readonly alarms: AlarmWatch;
  private readonly inFlight = new Set<Promise<void>>();
  private readonly alarmTimer: NodeJS.Timeout;
  private failureIsExpected = false;
  private refreshedSinceOutage: boolean | undefined;
  private reading: Promise<void> = Promise.resolve();
  private abandoned = false;

  constructor(private readonly context: TickContext) {
    this.alarms = new AlarmWatch(context.plan.alarms, Date.now());
    this.alarmTimer = setInterval(() => this.evaluateAlarms(), 1000);
  }

  /** A line the function printed. */
  print(line: string): void {
    const metrics = readEmbeddedMetrics(line);
    if (metrics === undefined) this.context.terminal.line(line);
    else this.alarms.add(metrics);
  }

  /** Whether a refresh succeeded after the planned outage; undefined when there was none. */
  get recovered(): boolean | undefined {
    return this.refreshedSinceOutage;
  }

  /** The database is stopped on purpose: until the next refresh, failures are what is wanted. */
  beginOutage(): void {
    this.failureIsExpected = true;
    this.refreshedSinceOutage = false;
  }

  /** Starts the run of a tick and returns at once. */
  fire(tickEpochMs: number): void {
    const { plan, origin, fn } = this.context;
    const run = fn
      .invoke(tickEvent(plan.schedule, tickEpochMs, origin))
      .then((invocation) => this.finish(invocation));
    this.inFlight.add(run);
    void run.finally(() => this.inFlight.delete(run));
  }

  /**
   * Runs the function by hand, as the page asks: it waits for a refresh that is running.
   * @returns what came of it, with the function's own error where it failed.
   */
  async refreshNow(): Promise<{ tick: Tick; error: string | undefined }> {
    const invoked = this.context.fn.invoke({ source: "manual-page" });
    const run = invoked.then((invocation) => this.finish(invocation));
    this.inFlight.add(run);
    void run.finally(() => this.inFlight.delete(run));
    const invocation = await invoked;
    return { tick: tickOf(invocation, this.failureIsExpected), error: invocation.error?.errorMessage };
  }

  /** Waits for the runs under way, at most so long; those that are not over by then no longer count. */
  async drain(longestMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => (timer = setTimeout(resolve, longestMs)));
    await Promise.race([Promise.allSettled([...this.inFlight]), patience]);
    clearTimeout(timer);
    clearInterval(this.alarmTimer);
    this.abandoned = true;
  }

  private async finish(invocation: Invocation): Promise<void> {
    if (this.abandoned) return;
    const tick = tickOf(invocation, this.failureIsExpected);
    this.tally.add(tick);
    if (tick.outcome === "refreshed" && this.failureIsExpected) {
      this.failureIsExpected = false;
      this.refreshedSinceOutage = true;
    }
    const { terminal } = this.context;
    if (tick.outcome === "timedOut" || tick.outcome === "crashed") {
      terminal.event(terminal.colors.red(`✗ ${invocation.error?.errorMessage ?? tick.outcome}`));
    }
    this.alarms.add(this.lambdaMetrics(invocation, tick));
    // One reading at a time, in the order the runs ended.
    this.reading = this.reading.then(async () => this.printAges(await this.context.freshness.read()));
    await this.reading;
  }

  /** What Lambda itself measures of a run, with the time at which the run began. */
  private lambdaMetrics(invocation: Invocation, tick: Tick): Datapoint[] {
    const point = (name: string, value: number): Datapoint => ({
      namespace: "AWS/Lambda",
      name,
      dimensions: { FunctionName: this.context.plan.names.function },
      epochMs: invocation.startedEpochMs,
      value,
    });
    return [
      point("Invocations", 1),
      point("Errors", isFailure(tick.outcome) ? 1 : 0),
      point("Throttles", 0),
      point("Duration", invocation.durationMs),
    ];
  }

  private evaluateAlarms(): void {
    const { terminal } = this.context;
    for (const { alarm, state } of this.alarms.evaluate(Date.now())) {
      if (state === "OK") {
        terminal.event(terminal.colors.green(`OK again: ${alarm.name}`));
      } else {
        terminal.event(terminal.colors.red(`ALARM ${alarm.name}: ${alarm.description}`));
        this.alarmsRaised.push(alarm.kind);
      }
    }
  }

  private printAges(ages: ViewAge[]): void {
    const { terminal, plan } = this.context;
    for (const { view, ageSeconds, ageBeforeSeconds } of ages) {
      const name = ages.length > 1 ? ` of ${view.schema}.${view.name}` : "";
      const now = ageSeconds === undefined ? "never refreshed" : describeSeconds(ageSeconds);
      const before = ageBeforeSeconds === undefined ? "" : `, was ${describeSeconds(ageBeforeSeconds)}`;
      const isLate = ageSeconds !== undefined && ageSeconds > plan.maxStalenessSeconds;
      const color = isLate ? terminal.colors.red : terminal.colors.cyan;
      terminal.line(color(`  Staleness${name}: ${now}${before}`));
    }
  }
}
