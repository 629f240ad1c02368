/** The dashboard as CloudWatch's own body: the lines drawn in its graphs are those the alarms use. */
import { METRIC, METRIC_NAMESPACE, metricDimensions } from "../../handler/metricNames";
import { maintainedViews, MOST_FULL_RUN_SHARE } from "./alarmPlan";
import type { AlarmKind, DashboardBody, DashboardWidget, Plan } from "./planTypes";
import { staleWindowWithinSeconds } from "../time/alarmTiming";
import { mostTicksPerPeriod } from "../time/schedule";
import { writeViewName } from "../settings/names";

const FULL_WIDTH = 24;
const HALF_WIDTH = 12;
const GRAPH_HEIGHT = 6;
const TEXT_HEIGHT = 4;

/**
 * Freshness, duration, errors, invocations against ticks due, skips, and where to look further; of maintained views
 * what was folded, the share of full runs, and drift.
 */
export function dashboardBody(plan: Plan, region: string): DashboardBody {
  const isMaintained = maintainedViews(plan).length > 0;
  const graphs = [
    ...[freshness, successes, duration, errors, invocations, skips],
    ...(isMaintained ? [changesFolded, fullRuns, drift] : []),
  ].map((graph) => graph(plan));
  const widgets = graphs.map((properties, index) => ({
    type: "metric" as const,
    x: (index % 2) * HALF_WIDTH,
    y: TEXT_HEIGHT + Math.floor(index / 2) * GRAPH_HEIGHT,
    width: HALF_WIDTH,
    height: GRAPH_HEIGHT,
    properties: { region, view: "timeSeries", ...properties },
  }));
  return { start: "-PT3H", periodOverride: "inherit", widgets: [textWidget(plan, region), ...widgets] };
}

/** Where the dashboard is. */
export function dashboardUrl({ names }: Plan, region: string): string {
  return `${consoleAddress(region)}/cloudwatch/home?region=${region}#dashboards/dashboard/${names.dashboard}`;
}

type Graph = Record<string, unknown>;

function textWidget(plan: Plan, region: string): DashboardWidget {
  const { settings, names } = plan;
  const console = consoleAddress(region);
  const logGroup = encodeURIComponent(encodeURIComponent(names.logGroup)).replaceAll("%", "$");
  const links = [
    `[function](${console}/lambda/home?region=${region}#/functions/${names.function})`,
    `[log](${console}/cloudwatch/home?region=${region}#logsV2:log-groups/log-group/${logGroup})`,
    `[rule](${console}/events/home?region=${region}#/eventbus/default/rules/${names.rule})`,
    ...(settings.runbookUrl === undefined ? [] : [`[runbook](${settings.runbookUrl})`]),
  ];
  const promise = `Refreshed ${plan.schedule.description}; told before data is ${plan.maxStalenessSeconds} s old.`;
  const views = settings.views.map(({ name }) => `\`${name}\``).join(", ");
  const markdown = [`# ${names.base}`, views, promise, links.join(" | ")].join("\n\n");
  return { type: "text", x: 0, y: 0, width: FULL_WIDTH, height: TEXT_HEIGHT, properties: { markdown } };
}

/** The console's address differs by partition. */
export function consoleAddress(region: string): string {
  if (region.startsWith("cn-")) return "https://console.amazonaws.cn";
  return region.startsWith("us-gov-")
    ? "https://console.amazonaws-us-gov.com"
    : `https://${region}.console.aws.amazon.com`;
}

/** One line for each view. */
function viewMetrics(
  { views, group }: Pick<Plan, "views" | "group">,
  names: string[],
  statistic: string,
): unknown[] {
  return views.flatMap((view) => {
    const { group: groupName, view: name } = metricDimensions(group, view);
    return names.map((metric) => [
      METRIC_NAMESPACE,
      metric,
      "group",
      groupName,
      "view",
      name,
      { stat: statistic, label: names.length === 1 ? name : `${name} ${metric}` },
    ]);
  });
}

function functionMetric({ names }: Plan, metric: string, statistic: string, extra: Graph = {}): unknown[] {
  return ["AWS/Lambda", metric, "FunctionName", names.function, { stat: statistic, ...extra }];
}

/** The alarms' own thresholds, as lines. */
function lines({ alarms }: Plan, kinds: AlarmKind[], scale = 1): Graph {
  const horizontal = alarms
    .filter((alarm) => kinds.includes(alarm.kind))
    .map(({ kind, threshold }) => ({ label: kind, value: threshold * scale }));
  const distinct = horizontal.filter(
    (line, index) => horizontal.findIndex((other) => other.label === line.label) === index,
  );
  return { annotations: { horizontal: distinct } };
}

function periodOf({ alarms }: Plan, kind: AlarmKind): number {
  return alarms.find((alarm) => alarm.kind === kind)?.periodSeconds ?? 60;
}

/**
 * The age alone has no points while the database cannot be asked, which would look healthy: the second line stands
 * at the promise wherever the stale alarm's window holds no refresh.
 */
function freshness(source: Plan): Graph {
  const { views, group, maxStalenessSeconds } = source;
  const periodSeconds = staleWindowOf(source);
  const overdue = views.flatMap((view, index) => {
    const dimensions = Object.entries(metricDimensions(group, view)).flat();
    const [id, name] = [`success${index}`, writeViewName(view)];
    const expression = `IF(FILL(${id}, 0) < 1, ${maxStalenessSeconds}, 0)`;
    const counted = { id, stat: "Sum", period: periodSeconds, visible: false };
    return [
      [
        {
          id: `overdue${index}`,
          expression,
          label: `${name}: none for ${periodSeconds} s`,
          color: "#d62728",
        },
      ],
      [METRIC_NAMESPACE, METRIC.succeeded, ...dimensions, counted],
    ];
  });
  return {
    title: "Age of the data readers saw until each run (s)",
    metrics: [...viewMetrics(source, [METRIC.staleness], "Maximum"), ...overdue],
    period: 60,
    yAxis: { left: { min: 0 } },
    annotations: { horizontal: [{ label: "promised", value: maxStalenessSeconds }] },
  };
}

function staleWindowOf({ schedule, settings, maxStalenessSeconds }: Plan): number {
  return staleWindowWithinSeconds({ schedule, timeoutSeconds: settings.timeoutSeconds }, maxStalenessSeconds);
}

function successes(source: Plan): Graph {
  return {
    title: "Refreshes; the stale alarm goes off when a view stays below the line",
    metrics: viewMetrics(source, [METRIC.succeeded], "Sum"),
    period: staleWindowOf(source),
    yAxis: { left: { min: 0 } },
    ...lines(source, ["stale"]),
  };
}

function duration(source: Plan): Graph {
  const { timeoutSeconds } = source.settings;
  const { annotations } = lines(source, ["slow"], 1_000) as { annotations: { horizontal: unknown[] } };
  return {
    title: "Duration of runs (ms)",
    metrics: [functionMetric(source, "Duration", "p50"), functionMetric(source, "Duration", "Maximum")],
    period: periodOf(source, "slow"),
    yAxis: { left: { min: 0 } },
    annotations: {
      horizontal: [...annotations.horizontal, { label: "timeout", value: timeoutSeconds * 1_000 }],
    },
  };
}

function errors(source: Plan): Graph {
  return {
    title: "Errors and throttles",
    metrics: [functionMetric(source, "Errors", "Sum"), functionMetric(source, "Throttles", "Sum")],
    period: periodOf(source, "failing"),
    yAxis: { left: { min: 0 } },
    ...lines(source, ["throttled", "errors"]),
  };
}

function invocations(source: Plan): Graph {
  const { schedule } = source;
  const periodSeconds = Math.min(86_400, Math.max(300, Math.ceil(schedule.intervalSeconds / 60) * 60));
  const due = mostTicksPerPeriod(schedule, periodSeconds);
  return {
    title: `Invocations; ${due} ticks are due in ${periodSeconds} s`,
    metrics: [functionMetric(source, "Invocations", "Sum")],
    period: periodSeconds,
    yAxis: { left: { min: 0 } },
    annotations: { horizontal: [{ label: "ticks due", value: due }] },
  };
}

function skips(source: Plan): Graph {
  return {
    title: "Refreshes that were skipped or failed",
    metrics: viewMetrics(source, [METRIC.skipped, METRIC.failed], "Sum"),
    period: 300,
    yAxis: { left: { min: 0 } },
  };
}

/** One line for each view that is maintained. */
function maintainedMetrics(source: Plan, metric: string, statistic: string): unknown[] {
  return viewMetrics({ views: maintainedViews(source), group: source.group }, [metric], statistic);
}

function changesFolded(source: Plan): Graph {
  return {
    title: "Changes folded into maintained views",
    metrics: maintainedMetrics(source, METRIC.changes, "Sum"),
    period: 300,
    yAxis: { left: { min: 0 } },
  };
}

function fullRuns(source: Plan): Graph {
  return {
    title: "Share of full runs of maintained views",
    metrics: maintainedMetrics(source, METRIC.fullRuns, "Average"),
    period: Math.min(86_400, periodOf(source, "fullRuns")),
    yAxis: { left: { min: 0, max: 1 } },
    annotations: { horizontal: [{ label: "fullRuns", value: MOST_FULL_RUN_SHARE }] },
  };
}

function drift(source: Plan): Graph {
  return {
    title: "Rows that full runs found different",
    metrics: maintainedMetrics(source, METRIC.drift, "Sum"),
    period: periodOf(source, "drift"),
    yAxis: { left: { min: 0 } },
    ...lines(source, ["drift"]),
  };
}
