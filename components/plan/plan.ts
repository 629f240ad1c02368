/** Settings in, plan out: pure, so that the same settings give the same plan everywhere and every day. */
import { cutText } from "../settings/faults";
import { groupOf, viewSettingsOf } from "../settings/rules";
import type { Settings } from "../settings/schema";
import { defaultFailedTicks, keepableStalenessSeconds } from "../time/alarmTiming";
import { parseRefreshRate, ticksPerMonth } from "../time/schedule";
import { planAlarms } from "./alarmPlan";
import { planStatements } from "./permissionPlan";
import type { FunctionPlan, NamesPlan, Plan } from "./planTypes";
import { planNames, planQueues, planRule, planTargets } from "./tickPlan";

export type * from "./planTypes";

/** Tags of the rule that hold facts of the plan, for policies and people to read. */
export const MAX_STALENESS_TAG = "matview-refresh:max-staleness-seconds";
export const MONTHLY_USD_TAG = "matview-refresh:monthly-usd";
/** "true" where a price is not recorded for the region, so that a month costs at least {@link MONTHLY_USD_TAG}. */
export const MONTHLY_USD_IS_AT_LEAST_TAG = "matview-refresh:monthly-usd-is-at-least";
export const MONTHLY_BUDGET_USD_TAG = "matview-refresh:monthly-budget-usd";
/** Tag of everything the component makes: which group it belongs to. */
export const GROUP_TAG = "matview-refresh:group";

/** Makes the plan of settings that {@link parseSettings} has checked. */
export function makePlan(settings: Settings): Plan {
  const { timeoutSeconds, alarms } = settings;
  const schedule = parseRefreshRate(settings.refreshRate);
  const timing = { schedule, timeoutSeconds };
  const group = groupOf(settings) ?? "";
  const names = planNames(settings, group);
  const failedTicks = alarms.failedTicks ?? defaultFailedTicks(timing, settings.maxStalenessSeconds);
  const maxStalenessSeconds = settings.maxStalenessSeconds ?? keepableStalenessSeconds(timing, failedTicks);
  const queues = planQueues(schedule, timeoutSeconds, names);
  const base = {
    settings,
    names,
    group,
    views: settings.views.map(viewSettingsOf),
    schedule,
    ticksPerMonth: ticksPerMonth(schedule),
    failedTicks,
    worstStalenessByDesignSeconds: schedule.intervalSeconds + timeoutSeconds,
    maxStalenessSeconds,
    function: planFunction(settings, names),
    asyncRetries: 0,
    rule: planRule(settings, schedule, names),
    targets: planTargets(settings, queues),
    queues,
    statements: planStatements(settings, queues, names.function),
    tags: tagsOf(settings, names),
  };
  return { ...base, alarms: planAlarms(base) };
}

/** Tags of everything that is made. */
export function tagsOf({ tags }: Settings, names: NamesPlan): Record<string, string> {
  return { [GROUP_TAG]: names.group, ...tags };
}

/** The function without what other resources give it. */
function planFunction(settings: Settings, names: NamesPlan): FunctionPlan {
  const { timeoutSeconds, memoryMb, architecture, runtime, reservedConcurrency, views } = settings;
  // Without the rate, so that a change of frequency leaves the function as it is.
  const description = `Refreshes ${views.map(({ name }) => name).join(", ")}`;
  return {
    name: names.function,
    description: cutText(description, 256),
    handler: "index.handler",
    runtime,
    architecture,
    timeoutSeconds,
    memoryMb,
    ...(reservedConcurrency === undefined ? {} : { reservedConcurrency }),
  };
}
