/**
 * What settings must be to one another: limits that no single value shows. Each rule is told only of values
 * whose own shape was right, so that one mistake is one fault.
 */
import { LONGEST_WINDOW_SECONDS, mostPeriods } from "../time/alarmRule";
import { defaultFailedTicks, keepableStalenessSeconds } from "../time/alarmTiming";
import { mostEventAgeSeconds, mostTimeoutSeconds } from "../plan/functionPlan";
import { AWS_LIMITS } from "./awsLimits";
import { NAME_RULES } from "./nameRules";
import { placeFaults } from "./placeRules";
import { quoteValue, setCommand, unsetCommand, type Fault, type Purpose } from "./settingsFaults";
import type { ShapedSettings } from "./settingsShapes";

/** Settings so far; a key is absent where its shape was wrong. */
export type Shaped = Partial<ShapedSettings>;

/** A fault before it is written out; `example` undefined means that the key should go. */
export interface RuleFault {
  key: string;
  value: unknown;
  problem: string;
  limit: string;
  example: unknown;
}

type Rule = (shaped: Shaped, purpose: Purpose, region?: string) => RuleFault[];

/** Every fault that the rules find. */
export function ruleFaults(
  shaped: Shaped,
  values: Record<string, unknown>,
  purpose: Purpose,
  region?: string,
): Fault[] {
  return RULES.flatMap((rule) => rule(shaped, purpose, region)).map(
    ({ key, value, problem, limit, example }) => ({
      key,
      value: key in values ? quoteValue(values[key]) : quoteValue(value),
      problem,
      limit,
      remedy: example === undefined ? unsetCommand(purpose, key) : setCommand(purpose, key, example),
    }),
  );
}

const RULES: Rule[] = [
  ...NAME_RULES,
  ticksCloseEnough,
  timeoutBearable,
  stalenessKeepable,
  eventAgeBearable,
  concurrencyEnough,
  failedTicksVisible,
  errorsAlarmWindow,
  ...AWS_LIMITS,
  placeFaults,
];

function ticksCloseEnough({ refreshRate, timeoutSeconds = 60 }: Shaped): RuleFault[] {
  if (refreshRate === undefined) return [];
  if (Number.isFinite(keepableStalenessSeconds({ schedule: refreshRate, timeoutSeconds }, 1))) return [];
  return [
    {
      key: "refreshRate",
      value: refreshRate.refreshRate,
      problem: `leaves up to ${refreshRate.intervalSeconds} s between two ticks, and no alarm could tell that they stopped`,
      limit: `CloudWatch alarms look back ${LONGEST_WINDOW_SECONDS} s (7 days), so at most 6 days`,
      example: "rate(1 day)",
    },
  ];
}

function timeoutBearable({ refreshRate, timeoutSeconds }: Shaped): RuleFault[] {
  if (refreshRate === undefined || timeoutSeconds === undefined) return [];
  const most = mostTimeoutSeconds(refreshRate);
  if (timeoutSeconds <= most) return [];
  return [
    {
      key: "timeoutSeconds",
      value: timeoutSeconds,
      problem: `is too long for ticks ${refreshRate.description}: a hung run would hold up more than one`,
      limit: `at most ${most} (twice the interval of ${refreshRate.intervalSeconds} s, but 120 for short ones; Lambda's own limit is 900)`,
      example: most,
    },
  ];
}

/**
 * The promise must be one that the alarms keep: they look at a whole interval, the longest run, and the time that
 * metrics take to come in, or they would go off in a healthy stack.
 */
function stalenessKeepable({
  refreshRate,
  timeoutSeconds,
  maxStalenessSeconds,
  alarms,
}: Shaped): RuleFault[] {
  if (refreshRate === undefined || timeoutSeconds === undefined || maxStalenessSeconds === undefined)
    return [];
  const timing = { schedule: refreshRate, timeoutSeconds };
  const failedTicks = alarms?.failedTicks ?? 1;
  const least = keepableStalenessSeconds(timing, failedTicks);
  if (maxStalenessSeconds >= least || !Number.isFinite(least)) return [];
  const ticks = failedTicks === 1 ? "a tick" : `${failedTicks} ticks (alarms.failedTicks)`;
  return [
    {
      key: "maxStalenessSeconds",
      value: maxStalenessSeconds,
      problem:
        `is too short for alarms that see ${ticks} ${refreshRate.description} fail, each for up to ` +
        `${timeoutSeconds} s, with metrics that come up to a minute late`,
      limit: `at least ${least}`,
      example: Math.max(least, keepableStalenessSeconds(timing, defaultFailedTicks(timing))),
    },
  ];
}

function eventAgeBearable({ refreshRate, eventAgeSeconds }: Shaped): RuleFault[] {
  if (refreshRate === undefined || eventAgeSeconds === undefined) return [];
  const most = mostEventAgeSeconds(refreshRate);
  if (eventAgeSeconds <= most) return [];
  return [
    {
      key: "eventAgeSeconds",
      value: eventAgeSeconds,
      problem: "lets late ticks pile up: an event would wait longer than the next tick takes to come",
      limit: `60 to ${most}: one interval, but never under 60`,
      example: most,
    },
  ];
}

function concurrencyEnough({ refreshRate, reservedConcurrency }: Shaped): RuleFault[] {
  if (refreshRate === undefined || reservedConcurrency === undefined) return [];
  if (reservedConcurrency >= 2 || refreshRate.offsetsSeconds.length === 1) return [];
  return [
    {
      key: "reservedConcurrency",
      value: reservedConcurrency,
      problem: `is too small for ${refreshRate.refreshRate}: a queue's mapping takes 2 at least`,
      limit: "at least 2 with rates under a minute, or -1 for no reservation",
      example: Math.max(2, refreshRate.offsetsSeconds.length),
    },
  ];
}

function failedTicksVisible({ refreshRate, timeoutSeconds = 60, alarms }: Shaped): RuleFault[] {
  const failedTicks = alarms?.failedTicks;
  if (refreshRate === undefined || failedTicks === undefined) return [];
  const timing = { schedule: refreshRate, timeoutSeconds };
  const isVisible = (ticks: number): boolean => Number.isFinite(keepableStalenessSeconds(timing, ticks));
  if (isVisible(failedTicks) || !isVisible(1)) return [];
  let most = failedTicks - 1;
  while (most > 1 && !isVisible(most)) most -= 1;
  return [
    {
      key: "alarms.failedTicks",
      value: failedTicks,
      problem: `${failedTicks} ticks ${refreshRate.description} reach further back than an alarm can look`,
      limit: `at most ${most}, within 7 days`,
      example: most,
    },
  ];
}

function errorsAlarmWindow({ alarms }: Shaped): RuleFault[] {
  const errors = alarms?.errors;
  if (errors === undefined) return [];
  const faults: RuleFault[] = [];
  const { periodSeconds, evaluationPeriods, datapointsToAlarm } = errors;
  if (datapointsToAlarm > evaluationPeriods) {
    faults.push({
      key: "alarms.errors.datapointsToAlarm",
      value: datapointsToAlarm,
      problem: `is above the ${evaluationPeriods} evaluation periods`,
      limit: `1 to ${evaluationPeriods}`,
      example: evaluationPeriods,
    });
  }
  const most = mostPeriods(periodSeconds);
  if (evaluationPeriods > most) {
    faults.push({
      key: "alarms.errors.evaluationPeriods",
      value: evaluationPeriods,
      problem: `${evaluationPeriods} periods of ${periodSeconds} s are longer than an alarm can look back`,
      limit: `at most ${most} periods of ${periodSeconds} s (a day, or 7 days with periods of an hour or more)`,
      example: most,
    });
  }
  return faults;
}
