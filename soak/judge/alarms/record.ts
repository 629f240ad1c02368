/**
 * What happened in the plan's time: what readers got, what was told of it, and when CloudWatch would have known. Kept
 * over the whole soak, and judged by promise.ts.
 */
import type { Plan } from "../../../components/plan/planTypes";
import { LATENESS_SECONDS } from "../../../components/time/replay";
import type { Run } from "../../bed/bed";
import type { VirtualClock } from "../../clock";
import type { Dice } from "../../dice";
import type { HistoryRow } from "../historyRows";
import { isBroken, readRunLog } from "../runLog";

/** A value of a metric, in the plan's time. */
export interface ToldPoint {
  namespace: string;
  name: string;
  dimensions: Record<string, string>;
  stampSeconds: number;
  knownAtSeconds: number;
  value: number;
}

/** A run that Lambda started. */
interface RunFact {
  startSeconds: number;
  endSeconds: number;
  isFailure: boolean;
}

/** A refresh that readers got. */
export interface RefreshFact {
  /** `schema.name` */
  view: string;
  finishedSeconds: number;
  /** The time of the data; the start of its run where the server's clock was another. */
  asOfSeconds: number;
  type: string | null;
  drift: number | null;
  /** Its run knew of it and ended by itself, so that it had to tell. */
  isKnownToRun: boolean;
}

/** All of it, in seconds since 1970 of the plan's time. */
export interface Facts {
  points: ToldPoint[];
  runs: RunFact[];
  refreshes: RefreshFact[];
  /** Ticks that Lambda refused. */
  throttledSeconds: number[];
}

/** A row's times are believed where they are those of its run, or of a moment later: the server may end what a killed run began. */
const MOST_OFF_MS = 3_000;
/** From the first command of a tick to when its row is seen. */
const LONGEST_COMMAND_MS = 60_000;

const isFailure = ({ invocation }: Run): boolean => invocation.outcome !== "succeeded";

const saysRefreshed = (run: Run, view: string): boolean =>
  !isBroken(run) && readRunLog(run, [view]).get(view)?.outcome === "refreshed";

export class Recorder {
  readonly facts: Facts = { points: [], runs: [], refreshes: [], throttledSeconds: [] };
  private readonly runs = new Map<string, Run>();

  /** @param dice how late metrics come: those of Lambda and those of the log on ways of their own. */
  constructor(
    private readonly plan: Pick<Plan, "names">,
    private readonly clock: Pick<VirtualClock, "virtualOf">,
    private readonly dice: Dice,
  ) {}

  /** A run that has ended. */
  run(run: Run): void {
    const { invocation, metrics, endedEpochMs } = run;
    this.runs.set(invocation.requestId, run);
    const endSeconds = this.seconds(endedEpochMs);
    const startSeconds = this.seconds(invocation.startedEpochMs);
    const knownAtSeconds = endSeconds + this.dice.between(0, LATENESS_SECONDS);
    this.lambda("Invocations", startSeconds, knownAtSeconds, 1);
    this.lambda("Errors", startSeconds, knownAtSeconds, isFailure(run) ? 1 : 0);
    this.lambda("Throttles", startSeconds, knownAtSeconds, 0);
    const logLate = this.dice.between(0, LATENESS_SECONDS);
    for (const { epochMs, ...point } of metrics) {
      const stampSeconds = this.seconds(epochMs);
      this.facts.points.push({ ...point, stampSeconds, knownAtSeconds: stampSeconds + logLate });
    }
    this.facts.runs.push({ startSeconds, endSeconds, isFailure: isFailure(run) });
  }

  /** A tick for which Lambda did not start the function. */
  throttled(realEpochMs: number): void {
    const atSeconds = this.seconds(realEpochMs);
    this.facts.throttledSeconds.push(atSeconds);
    this.lambda("Throttles", atSeconds, atSeconds + this.dice.between(0, LATENESS_SECONDS), 1);
  }

  /** Rows of history that were seen for the first time, all of a tick at once and after its runs. */
  rows(rows: HistoryRow[]): void {
    const refreshed = rows.filter(({ outcome }) => outcome === "refreshed");
    for (const [index, row] of refreshed.entries()) {
      const run = this.runs.get(row.runId ?? "");
      const isRepeated = refreshed.some(
        (later, at) => at > index && later.view === row.view && later.runId === row.runId,
      );
      this.facts.refreshes.push({
        view: row.view,
        ...this.timesOf(row, run),
        type: row.refreshType,
        drift: row.drift,
        isKnownToRun: !isRepeated && run !== undefined && saysRefreshed(run, row.view),
      });
    }
  }

  private timesOf(
    row: HistoryRow,
    run: Run | undefined,
  ): Pick<RefreshFact, "finishedSeconds" | "asOfSeconds"> {
    const finishedMs = row.finishedUs / 1_000;
    const asOfMs = (row.asOfUs ?? row.startedUs) / 1_000;
    const nowMs = Date.now();
    // Of a command it is known that it has ended just now.
    const [startMs, endMs] =
      run === undefined
        ? [nowMs - LONGEST_COMMAND_MS, nowMs]
        : [run.invocation.startedEpochMs, run.endedEpochMs];
    const isBelieved = finishedMs > startMs - MOST_OFF_MS && finishedMs < endMs + MOST_OFF_MS;
    return {
      finishedSeconds: this.seconds(isBelieved ? finishedMs : endMs),
      asOfSeconds: this.seconds(
        isBelieved ? asOfMs : run === undefined ? endMs - (finishedMs - asOfMs) : startMs,
      ),
    };
  }

  private lambda(name: string, stampSeconds: number, knownAtSeconds: number, value: number): void {
    const dimensions = { FunctionName: this.plan.names.function };
    this.facts.points.push({
      namespace: "AWS/Lambda",
      name,
      dimensions,
      stampSeconds,
      knownAtSeconds,
      value,
    });
  }

  private seconds(realEpochMs: number): number {
    return this.clock.virtualOf(realEpochMs) / 1_000;
  }
}
