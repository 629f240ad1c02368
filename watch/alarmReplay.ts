/**
 * The plan's alarms, replayed from history by the rules that the plan's promises are proven with. CloudWatch's may
 * differ: what is not in history (a function that Lambda never started, a run that reached no database) is not seen.
 */
import { groupDimensions, METRIC, METRIC_NAMESPACE, metricDimensions } from "../handler/metricNames";
import type { AlarmPlan, MetricPlan, Plan } from "../components/plan/planTypes";
import { evaluateAlarm, evaluationSeconds, type AlarmState as State } from "../components/time/alarmRule";
import type { AlarmState } from "./contract";
import type { AlarmRow } from "./queries/runs";

/** How far back is replayed at least, and at the most: alarms look back for seven days. */
const LEAST_SPAN_SECONDS = 6 * 3_600;
const LONGEST_SPAN_SECONDS = 8 * 86_400;

/** CloudWatch may look a little further back than an alarm's periods say. */
const FURTHER_PERIODS = 2;

type Point = [stampSeconds: number, value: number];

/** What only Lambda knows. */
const isInHistory = ({ kind }: AlarmPlan): boolean => kind !== "throttled";

export class AlarmReplay {
  private readonly alarms: AlarmPlan[];
  private readonly states = new Map<
    string,
    { state: State; sinceSeconds: number | null; nextSeconds: number }
  >();
  private rows: AlarmRow[] = [];
  private newestId: number | undefined;
  private points = new Map<string, Point[]>();
  private beganSeconds = 0;
  private madeSeconds = -Infinity;

  constructor(private readonly plan: Plan) {
    this.alarms = plan.alarms.filter(isInHistory);
  }

  /** From so many seconds before now history is needed. */
  get spanSeconds(): number {
    const windows = this.alarms.map(
      ({ periodSeconds, evaluationPeriods }) => periodSeconds * (evaluationPeriods + FURTHER_PERIODS),
    );
    return Math.min(LONGEST_SPAN_SECONDS, Math.max(LEAST_SPAN_SECONDS, 2 * Math.max(0, ...windows)));
  }

  /** The newest row that was given; undefined before the first time. */
  get lastId(): number | undefined {
    return this.newestId;
  }

  /**
   * Goes on to a moment.
   * @param rows those after `afterId`, in order; `view` counts the plan's views.
   * @param isWhole whether there is no history before the first of them: the alarms are taken to be as old as it.
   */
  advance(rows: AlarmRow[], afterId: number, nowSeconds: number, isWhole: boolean): AlarmState[] {
    if (this.newestId === undefined) {
      this.beganSeconds = nowSeconds - this.spanSeconds;
      if (isWhole) this.madeSeconds = rows[0]?.started ?? nowSeconds;
    }
    this.newestId = rows.at(-1)?.id ?? afterId;
    if (rows.length > 0) {
      const oldest = nowSeconds - this.spanSeconds;
      this.rows = [...this.rows, ...rows].filter(({ finished }) => finished >= oldest);
      this.points = pointsOf(this.plan, this.rows);
    }
    return this.alarms.map((alarm) => this.evaluate(alarm, nowSeconds));
  }

  private evaluate(alarm: AlarmPlan, nowSeconds: number): AlarmState {
    const stepSeconds = evaluationSeconds(alarm);
    // The first looks back on a whole window of history.
    const windowSeconds = alarm.periodSeconds * (alarm.evaluationPeriods + FURTHER_PERIODS);
    const begin = Math.max(this.beganSeconds + windowSeconds, this.madeSeconds);
    let { state, sinceSeconds, nextSeconds } = this.states.get(alarm.key) ?? {
      state: "INSUFFICIENT_DATA" as State,
      sinceSeconds: null,
      nextSeconds: Math.min(nowSeconds, Math.ceil(begin / stepSeconds) * stepSeconds),
    };
    const isFirst = (at: number): boolean => at <= begin + stepSeconds && this.madeSeconds === -Infinity;
    for (; nextSeconds <= nowSeconds; nextSeconds += stepSeconds) {
      const next = evaluateAlarm(alarm, this.data, nextSeconds, state, this.madeSeconds);
      if (next !== state) sinceSeconds = isFirst(nextSeconds) ? null : nextSeconds;
      state = next;
    }
    this.states.set(alarm.key, { state, sinceSeconds, nextSeconds });
    return {
      name: alarm.name,
      kind: alarm.kind,
      view: alarm.view ?? null,
      state,
      sinceMs: sinceSeconds === null ? null : sinceSeconds * 1_000,
      description: alarm.description,
    };
  }

  private readonly data = (metric: MetricPlan, fromSeconds: number, toSeconds: number): number[] => {
    const points = this.points.get(keyOf(metric.name, metric.namespace, metric.dimensions)) ?? [];
    const values: number[] = [];
    for (let index = firstFrom(points, fromSeconds); index < points.length; index += 1) {
      const [stamp, value] = points[index] as Point;
      if (stamp >= toSeconds) break;
      values.push(value);
    }
    return values;
  };
}

function firstFrom(points: Point[], fromSeconds: number): number {
  let [low, high] = [0, points.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((points[middle] as Point)[0] < fromSeconds) low = middle + 1;
    else high = middle;
  }
  return low;
}

const keyOf = (name: string, namespace: string, dimensions: Record<string, string>): string =>
  [namespace, name, ...Object.entries(dimensions).sort().flat()].join("\n");

/** The metrics that the runs have left: Lambda's own are of the start of a run, the function's of its end. */
function pointsOf({ group, views, names }: Plan, rows: AlarmRow[]): Map<string, Point[]> {
  const points = new Map<string, Point[]>();
  const add = (key: string, stamp: number, value: number): void => {
    const list = points.get(key);
    if (list === undefined) points.set(key, [[stamp, value]]);
    else list.push([stamp, value]);
  };
  const runs = new Map<string, AlarmRow[]>();
  for (const row of rows) {
    const run = runs.get(row.runId);
    if (run === undefined) runs.set(row.runId, [row]);
    else run.push(row);
    const view = views[row.view];
    if (view === undefined || row.outcome !== "refreshed") continue;
    const key = (name: string): string => keyOf(name, METRIC_NAMESPACE, metricDimensions(group, view));
    add(key(METRIC.succeeded), row.finished, 1);
    if (row.isFull !== null) add(key(METRIC.fullRuns), row.finished, Number(row.isFull));
    if (row.drift !== null) add(key(METRIC.drift), row.finished, row.drift);
  }
  const lambda = { FunctionName: names.function };
  const errors = keyOf("Errors", "AWS/Lambda", lambda);
  const runSeconds = keyOf(METRIC.runDuration, METRIC_NAMESPACE, groupDimensions(group));
  for (const run of runs.values()) {
    const started = Math.min(...run.map((row) => row.started));
    const finished = Math.max(...run.map((row) => row.finished));
    const failed = run.some(({ outcome }) => outcome === "failed");
    add(errors, started, failed ? 1 : 0);
    if (!failed && run.some(({ outcome }) => outcome === "refreshed")) {
      add(runSeconds, finished, finished - started);
    }
  }
  for (const list of points.values()) list.sort(([a], [b]) => a - b);
  return points;
}
