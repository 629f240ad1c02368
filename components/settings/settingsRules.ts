/**
 * What settings must be to one another: limits that no single value shows. Each rule is told only of values
 * whose own shape was right, so that one mistake is one fault.
 */
import {
  failingWindow,
  defaultStalenessSeconds,
  leastStalenessSeconds,
  INGESTION_SECONDS,
  LONGEST_ALARM_SECONDS,
  mostPeriods,
} from "../plan/alarmWindows";
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
  const least = leastStalenessSeconds(refreshRate.intervalSeconds, timeoutSeconds);
  if (least <= LONGEST_ALARM_SECONDS) return [];
  return [
    {
      key: "refreshRate",
      value: refreshRate.refreshRate,
      problem: `leaves up to ${refreshRate.intervalSeconds} s between two ticks, and no alarm could tell that they stopped`,
      limit: `CloudWatch alarms look back ${LONGEST_ALARM_SECONDS} s (7 days), so at most 6 days`,
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

function stalenessKeepable({ refreshRate, timeoutSeconds, maxStalenessSeconds }: Shaped): RuleFault[] {
  if (refreshRate === undefined || timeoutSeconds === undefined || maxStalenessSeconds === undefined)
    return [];
  const { intervalSeconds } = refreshRate;
  const least = leastStalenessSeconds(intervalSeconds, timeoutSeconds);
  if (maxStalenessSeconds >= least || least > LONGEST_ALARM_SECONDS) return [];
  const byDesign = intervalSeconds + timeoutSeconds;
  return [
    {
      key: "maxStalenessSeconds",
      value: maxStalenessSeconds,
      problem:
        maxStalenessSeconds < byDesign
          ? `is below interval + timeout (${intervalSeconds} + ${timeoutSeconds} s): healthy data may be that old`
          : `is too short for an alarm that looks at a whole interval of ${intervalSeconds} s and ${INGESTION_SECONDS} s for metrics that come late, and is evaluated afterwards`,
      limit: `at least ${least}`,
      example: defaultStalenessSeconds(intervalSeconds, timeoutSeconds),
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

function failedTicksVisible({ refreshRate, alarms }: Shaped): RuleFault[] {
  const failedTicks = alarms?.failedTicks;
  if (refreshRate === undefined || failedTicks === undefined) return [];
  if (failingWindow(refreshRate, failedTicks) !== undefined) return [];
  let most = failedTicks - 1;
  while (most > 1 && failingWindow(refreshRate, most) === undefined) most -= 1;
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
