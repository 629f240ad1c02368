/**
 * What a run can come to, the metrics that it leaves, and an alarm replayed over them. Alarms, their promises, the
 * run on this machine and the policies' verdicts all follow from this model; nothing else reasons about ticks.
 */
import { evaluateAlarm, evaluationSeconds, type AlarmRule, type AlarmState } from "./alarmRule";

/** The ids under which alarms read the metrics of a refresh function. */
export const SERIES = [
  "invocations",
  "errors",
  "throttles",
  "success",
  "runSeconds",
  "drift",
  "fullRuns",
  // The same metric again, for alarms that read it by two statistics.
  "fullShare",
] as const;
export type Series = (typeof SERIES)[number];

/** What becomes of one tick. */
export type Course =
  /** The view is refreshed after so long; one that is maintained in full or not, and with so much drift found. */
  | { kind: "refreshed"; seconds: number; isFull?: boolean; driftRows?: number }
  /** The run fails after so long: at once, at its timeout, or killed. Until then it holds the view. */
  | { kind: "failed"; seconds: number }
  /** No server answers: the run fails at its timeout, and holds no view. */
  | { kind: "unreachable" }
  /** Lambda does not start the function. */
  | { kind: "throttled" }
  /** The tick never comes. */
  | { kind: "lost" };

/** A tick as it reaches the function, late or not. */
export interface Tick {
  atSeconds: number;
  course: Course;
}

/** One value of a metric, with the time it is of and the time at which CloudWatch has it. */
export interface Datapoint {
  series: Series;
  stampSeconds: number;
  knownAtSeconds: number;
  value: number;
}

/** How the runs of a replay are measured. */
export interface Measuring {
  timeoutSeconds: number;
  /** Seconds that a metric takes to reach CloudWatch; asked once a run. */
  lateSeconds: () => number;
  /** When Lambda runs a failed tick again, in seconds after its failure; for functions of another make. */
  retriesAfterSeconds?: number[];
}

/** Metrics may come in this late (seen up to about a minute). */
export const LATENESS_SECONDS = 60;

/**
 * The metrics that ticks leave. Lambda stamps its own with the start of the run and sends them after its end; what
 * the function writes itself has the time of the run's end. A run that finds the view held by the one before is
 * skipped, which is neither a success nor an error.
 */
export function datapointsOf(ticks: Tick[], measuring: Measuring): Datapoint[] {
  const { timeoutSeconds, lateSeconds, retriesAfterSeconds = [] } = measuring;
  const points: Datapoint[] = [];
  const retries: (Tick & { count: number })[] = [];
  let heldUntilSeconds = -Infinity;
  const run = ({ atSeconds, course }: Tick, count: number): void => {
    if (course.kind === "lost") return;
    const late = lateSeconds();
    const add = (series: Series, stampSeconds: number, knownAtSeconds: number, value = 1): void =>
      void points.push({ series, stampSeconds, knownAtSeconds: knownAtSeconds + late, value });
    if (course.kind === "throttled") return add("throttles", atSeconds, atSeconds);
    const isSkipped = course.kind !== "unreachable" && atSeconds < heldUntilSeconds;
    const seconds = isSkipped ? 0 : course.kind === "unreachable" ? timeoutSeconds : course.seconds;
    const endSeconds = atSeconds + seconds;
    const isFailure = !isSkipped && course.kind !== "refreshed";
    add("invocations", atSeconds, endSeconds);
    add("errors", atSeconds, endSeconds, isFailure ? 1 : 0);
    if (isSkipped) return;
    if (course.kind !== "unreachable") heldUntilSeconds = endSeconds;
    if (course.kind === "refreshed") {
      add("success", endSeconds, endSeconds);
      add("runSeconds", endSeconds, endSeconds, seconds);
      const { isFull, driftRows } = course;
      if (isFull !== undefined) {
        for (const series of ["fullRuns", "fullShare"] as const) {
          add(series, endSeconds, endSeconds, Number(isFull));
        }
      }
      if (driftRows !== undefined) add("drift", endSeconds, endSeconds, driftRows);
      return;
    }
    const after = retriesAfterSeconds[count];
    if (after === undefined) return;
    retries.push({ atSeconds: endSeconds + after, course, count: count + 1 });
    retries.sort((a, b) => a.atSeconds - b.atSeconds);
  };
  const runRetriesBefore = (atSeconds: number): void => {
    while (retries[0] !== undefined && retries[0].atSeconds < atSeconds) {
      const [retry] = retries.splice(0, 1);
      if (retry !== undefined) run(retry, retry.count);
    }
  };
  for (const tick of ticks) {
    runRetriesBefore(tick.atSeconds);
    run(tick, 0);
  }
  runRetriesBefore(Infinity);
  return points.sort((a, b) => a.stampSeconds - b.stampSeconds);
}

/** An alarm that changed its state. */
export interface Transition {
  atSeconds: number;
  state: AlarmState;
}

/** Which series an alarm's metric id stands for; the plan's ids are the series themselves. */
export type SeriesOf = (id: string) => string | undefined;

/**
 * Replays an alarm over datapoints.
 * @param span from the alarm's creation to the end of the replay; the evaluations begin with its phase.
 * @returns every change of state, the first being that from INSUFFICIENT_DATA.
 */
export function replayAlarm(
  rule: AlarmRule,
  points: Datapoint[],
  span: { fromSeconds: number; toSeconds: number },
  seriesOf: SeriesOf = (id) => id,
): Transition[] {
  const bySeries = new Map<string, Datapoint[]>();
  for (const point of points) {
    const series = bySeries.get(point.series) ?? [];
    series.push(point);
    bySeries.set(point.series, series);
  }
  const transitions: Transition[] = [];
  let state: AlarmState = "INSUFFICIENT_DATA";
  const { fromSeconds, toSeconds } = span;
  for (let at = fromSeconds; at <= toSeconds; at += evaluationSeconds(rule)) {
    const next: AlarmState = evaluateAlarm(
      rule,
      ({ id }, from, to): number[] => known(bySeries.get(seriesOf(id) ?? "") ?? [], from, to, at),
      at,
      state,
      fromSeconds,
    );
    if (next !== state) transitions.push({ atSeconds: at, state: next });
    state = next;
  }
  return transitions;
}

/** The ticks of a schedule as a replay needs them. */
export interface TickSource {
  /** Ticks in order, of about so many seconds. */
  within: (seconds: number) => number[];
  /** The longest gap between two. */
  intervalSeconds: number;
}

/** What an alarm went through since trouble began. */
export interface TroubleReplay {
  transitions: Transition[];
  points: Datapoint[];
  lastSuccessSeconds: number;
}

/**
 * Replays one alarm: all is well for longer than it looks back, then every tick comes to `trouble`. Metrics come at
 * once and no run takes long: an alarm that is silent even so is silent always.
 */
export function replayTrouble(
  rule: AlarmRule,
  { within, intervalSeconds }: TickSource,
  trouble: Course,
  { seriesOf, retriesAfterSeconds }: { seriesOf?: SeriesOf; retriesAfterSeconds?: number[] } = {},
): TroubleReplay {
  const windowSeconds = rule.periodSeconds * (rule.evaluationPeriods + 2);
  const healthySeconds = windowSeconds + 2 * intervalSeconds;
  const spanSeconds = healthySeconds + 2 * windowSeconds + 8 * intervalSeconds + 3_600;
  const ticks = within(spanSeconds);
  const fromSeconds = ticks[0] ?? 0;
  const troubleSeconds = fromSeconds + healthySeconds;
  const points = datapointsOf(
    ticks.map((atSeconds) => ({
      atSeconds,
      course: atSeconds < troubleSeconds ? { kind: "refreshed", seconds: 0.3 } : trouble,
    })),
    { timeoutSeconds: 0, lateSeconds: () => 0, ...(retriesAfterSeconds && { retriesAfterSeconds }) },
  );
  const span = { fromSeconds, toSeconds: fromSeconds + spanSeconds };
  return {
    transitions: replayAlarm(rule, points, span, seriesOf).filter(
      ({ atSeconds }) => atSeconds >= troubleSeconds,
    ),
    points,
    lastSuccessSeconds: points.filter(({ series }) => series === "success").at(-1)?.stampSeconds ?? 0,
  };
}

/** Values stamped within `[from, to)` that were known at a moment; the points are in the order of their stamps. */
function known(points: Datapoint[], from: number, to: number, at: number): number[] {
  const values: number[] = [];
  for (let index = firstFrom(points, from); index < points.length; index += 1) {
    const point = points[index]!;
    if (point.stampSeconds >= to) break;
    if (point.knownAtSeconds <= at) values.push(point.value);
  }
  return values;
}

function firstFrom(points: Datapoint[], from: number): number {
  let [low, high] = [0, points.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (points[middle]!.stampSeconds < from) low = middle + 1;
    else high = middle;
  }
  return low;
}
