/** The dashboard as CloudWatch's own body: the lines drawn in its graphs are those the alarms use. */
import { METRIC, METRIC_NAMESPACE, metricDimensions } from "../../handler/metricNames";
import type { AlarmKind, AlarmPlan, DashboardPlan, DashboardWidget, NamesPlan, Place } from "./planTypes";
import { staleWindowWithinSeconds } from "../time/alarmTiming";
import { mostTicksPerPeriod } from "../time/schedule";
import type { Settings } from "../settings/settings";
import { writeViewName } from "../settings/viewNames";

const FULL_WIDTH = 24;
const HALF_WIDTH = 12;
const GRAPH_HEIGHT = 6;
const TEXT_HEIGHT = 4;

/** What a dashboard is made of. */
export interface DashboardSource {
  settings: Settings;
  names: NamesPlan;
  place: Required<Place>;
  alarms: AlarmPlan[];
}

/** Freshness, duration, errors, invocations against ticks due, skips, and where to look further. */
export function planDashboard(source: DashboardSource): DashboardPlan {
  const graphs = [freshness, successes, duration, errors, invocations, skips].map((graph) => graph(source));
  const widgets = graphs.map((properties, index) => ({
    type: "metric" as const,
    x: (index % 2) * HALF_WIDTH,
    y: TEXT_HEIGHT + Math.floor(index / 2) * GRAPH_HEIGHT,
    width: HALF_WIDTH,
    height: GRAPH_HEIGHT,
    properties: { region: source.place.region, view: "timeSeries", ...properties },
  }));
  return {
    name: source.names.dashboard,
    body: { start: "-PT3H", periodOverride: "inherit", widgets: [textWidget(source), ...widgets] },
  };
}

type Graph = Record<string, unknown>;

function textWidget({ settings, names, place }: DashboardSource): DashboardWidget {
  const { region } = place;
  const console = consoleAddress(region);
  const logGroup = encodeURIComponent(encodeURIComponent(names.logGroup)).replaceAll("%", "$");
  const links = [
    `[function](${console}/lambda/home?region=${region}#/functions/${names.function})`,
    `[log](${console}/cloudwatch/home?region=${region}#logsV2:log-groups/log-group/${logGroup})`,
    `[rule](${console}/events/home?region=${region}#/eventbus/default/rules/${names.rule})`,
    ...(settings.runbookUrl === undefined ? [] : [`[runbook](${settings.runbookUrl})`]),
  ];
  const promise =
    `Refreshed ${settings.schedule.description}; an alarm within ${settings.maxStalenessSeconds} s ` +
    "when a view is not.";
  const views = settings.views.map((view) => `\`${writeViewName(view)}\``).join(", ");
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
function viewMetrics({ settings }: DashboardSource, names: string[], statistic: string): unknown[] {
  return settings.views.flatMap((view) => {
    const { group, view: name } = metricDimensions(settings.group, view);
    return names.map((metric) => [
      METRIC_NAMESPACE,
      metric,
      "group",
      group,
      "view",
      name,
      { stat: statistic, label: names.length === 1 ? name : `${name} ${metric}` },
    ]);
  });
}

function functionMetric(
  { names }: DashboardSource,
  metric: string,
  statistic: string,
  extra: Graph = {},
): unknown[] {
  return ["AWS/Lambda", metric, "FunctionName", names.function, { stat: statistic, ...extra }];
}

/** The alarms' own thresholds, as lines. */
function lines({ alarms }: DashboardSource, kinds: AlarmKind[], scale = 1): Graph {
  const horizontal = alarms
    .filter((alarm) => kinds.includes(alarm.kind))
    .map(({ kind, threshold }) => ({ label: kind, value: threshold * scale }));
  const distinct = horizontal.filter(
    (line, index) => horizontal.findIndex((other) => other.label === line.label) === index,
  );
  return { annotations: { horizontal: distinct } };
}

function periodOf({ alarms }: DashboardSource, kind: AlarmKind): number {
  return alarms.find((alarm) => alarm.kind === kind)?.periodSeconds ?? 60;
}

/**
 * The age alone has no points while the database cannot be asked, which would look healthy: the second line stands
 * at the promise wherever the stale alarm's window holds no refresh.
 */
function freshness(source: DashboardSource): Graph {
  const { settings } = source;
  const periodSeconds = staleWindowWithinSeconds(settings, settings.maxStalenessSeconds);
  const overdue = settings.views.flatMap((view, index) => {
    const dimensions = Object.entries(metricDimensions(settings.group, view)).flat();
    const [id, name] = [`success${index}`, writeViewName(view)];
    const expression = `IF(FILL(${id}, 0) < 1, ${settings.maxStalenessSeconds}, 0)`;
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
    annotations: { horizontal: [{ label: "promised", value: settings.maxStalenessSeconds }] },
  };
}

function successes(source: DashboardSource): Graph {
  return {
    title: "Refreshes; the stale alarm goes off when a view stays below the line",
    metrics: viewMetrics(source, [METRIC.succeeded], "Sum"),
    period: staleWindowWithinSeconds(source.settings, source.settings.maxStalenessSeconds),
    yAxis: { left: { min: 0 } },
    ...lines(source, ["stale"]),
  };
}

function duration(source: DashboardSource): Graph {
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

function errors(source: DashboardSource): Graph {
  return {
    title: "Errors and throttles",
    metrics: [functionMetric(source, "Errors", "Sum"), functionMetric(source, "Throttles", "Sum")],
    period: periodOf(source, "failing"),
    yAxis: { left: { min: 0 } },
    ...lines(source, ["throttled", "errors"]),
  };
}

function invocations(source: DashboardSource): Graph {
  const { schedule } = source.settings;
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

function skips(source: DashboardSource): Graph {
  return {
    title: "Refreshes that were skipped or failed",
    metrics: viewMetrics(source, [METRIC.skipped, METRIC.failed], "Sum"),
    period: 300,
    yAxis: { left: { min: 0 } },
  };
}
