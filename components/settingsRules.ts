/**
 * What settings must be to one another: limits that no single value shows. Each rule is told only of values
 * whose own shape was right, so that one mistake is one fault.
 */
import {
  failingWindow,
  defaultStalenessSeconds,
  leastStalenessSeconds,
  LONGEST_ALARM_SECONDS,
  mostPeriods,
} from "./alarmWindows";
import {
  environmentBytes,
  functionEnvironment,
  LONGEST_FUNCTION_NAME,
  MOST_ENVIRONMENT_BYTES,
  mostEventAgeSeconds,
  mostTimeoutSeconds,
  RESERVED_VARIABLES,
} from "./functionPlan";
import { placeFaults } from "./placeRules";
import { quoteValue, setCommand, unsetCommand, writeStep, type Fault, type Purpose } from "./settingsFaults";
import type { ShapedSettings } from "./settingsShapes";
import { resourceNamePart, writeViewName } from "./viewNames";

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

type Rule = (shaped: Shaped, purpose: Purpose) => RuleFault[];

/** Every fault that the rules find. */
export function ruleFaults(shaped: Shaped, values: Record<string, unknown>, purpose: Purpose): Fault[] {
  return RULES.flatMap((rule) => rule(shaped, purpose)).map(({ key, value, problem, limit, example }) => ({
    key,
    value: key in values ? quoteValue(values[key]) : quoteValue(value),
    problem,
    limit,
    remedy: example === undefined ? unsetCommand(purpose, key) : setCommand(purpose, key, example),
  }));
}

const RULES: Rule[] = [
  viewsOnce,
  groupNamed,
  nameLengths,
  ticksCloseEnough,
  timeoutBearable,
  stalenessKeepable,
  eventAgeBearable,
  concurrencyEnough,
  failedTicksVisible,
  errorsAlarmWindow,
  environmentNames,
  environmentSize,
  tagLimits,
  noDoubles,
  placeFaults,
];

function viewsOnce({ views = [] }: Shaped): RuleFault[] {
  const seen = new Set<string>();
  return views.flatMap(({ name }, index) => {
    // Compared as metrics have it: two views whose metrics were the same would hide each other's absence.
    const measured = `${name.schema}.${name.name}`;
    if (!seen.has(measured)) {
      seen.add(measured);
      return [];
    }
    const written = writeViewName(name);
    const key = `views[${index}]`;
    return [{ key, value: written, problem: "is listed twice", limit: "each view once", example: undefined }];
  });
}

function groupNamed({ views = [], groupName }: Shaped): RuleFault[] {
  const fault = { key: "groupName", value: groupName, example: "billing" };
  if (groupName === undefined && views.length > 1) {
    const problem = `is missing, and ${views.length} views have no one name`;
    return [{ ...fault, problem, limit: "a name for the group, where there are several views" }];
  }
  const group = groupName ?? views[0]?.name.name;
  if (group !== undefined && resourceNamePart(group) === "") {
    const problem = `nothing of "${group}" can stand in the name of an AWS resource`;
    return [{ ...fault, problem, limit: "letters, digits and hyphens" }];
  }
  return [];
}

function nameLengths({ namePrefix, groupName, views = [] }: Shaped): RuleFault[] {
  const group = groupName ?? views[0]?.name.name;
  if (namePrefix === undefined || group === undefined) return [];
  const name = `${namePrefix}-refresh-${resourceNamePart(group)}`;
  const excess = name.length - LONGEST_FUNCTION_NAME;
  if (excess <= 0) return [];
  const key = namePrefix.length > excess + 1 && groupName === undefined ? "namePrefix" : "groupName";
  const given = key === "namePrefix" ? namePrefix : resourceNamePart(group);
  return [
    {
      key,
      value: key === "namePrefix" ? namePrefix : groupName,
      problem: `makes the function's name "${name}" ${name.length} long`,
      limit: `${LONGEST_FUNCTION_NAME} for <namePrefix>-refresh-<group>, so ${excess} fewer`,
      example: given.slice(0, Math.max(1, given.length - excess)).replace(/-+$/, ""),
    },
  ];
}

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
          : `is too short for an alarm that looks at a whole interval of ${intervalSeconds} s and is evaluated afterwards`,
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

function environmentNames({ environment = {} }: Shaped): RuleFault[] {
  return Object.keys(environment).flatMap((name) => {
    const isReserved = RESERVED_VARIABLES.includes(name) || name.startsWith("MATVIEW_");
    const isName = /^[A-Za-z][A-Za-z0-9_]+$/.test(name);
    if (isName && !isReserved) return [];
    return [
      {
        key: `environment${writeStep(name)}`,
        value: "(not shown)",
        problem: isReserved ? "is set by Lambda or by this product" : "is not a name that Lambda takes",
        limit:
          "two or more of letters, digits and _, beginning with a letter, and none of Lambda's or MATVIEW_...",
        example: undefined,
      },
    ];
  });
}

/** As long as an endpoint may be, so that a database made with the stack fits as well. */
const LONGEST_HOST = "h".repeat(253);

function environmentSize(shaped: Shaped): RuleFault[] {
  const { views, environment, database } = shaped;
  if (views === undefined || environment === undefined) return [];
  const variables = functionEnvironment(
    {
      group: shaped.groupName ?? views[0]?.name.name ?? "",
      views: views.map(({ name, ...view }) => ({ ...name, ...view })),
      logFormat: "json",
      historyRetentionDays: 3_650,
      environment,
    },
    {
      host: database?.host ?? LONGEST_HOST,
      port: "65535",
      name: database?.name ?? "",
      user: database?.user ?? "",
      auth: database?.auth ?? "iam",
      tls: "verify-full",
      ...(database?.secretArn === undefined ? {} : { secretArn: database.secretArn }),
    },
  );
  const bytes = environmentBytes(variables);
  if (bytes <= MOST_ENVIRONMENT_BYTES) return [];
  const viewBytes = Buffer.byteLength(variables.MATVIEW_VIEWS ?? "");
  const isViews = viewBytes >= environmentBytes(environment);
  return [
    {
      key: isViews ? "views" : "environment",
      value: isViews ? `${views.length} views, ${viewBytes} bytes` : "(not shown)",
      problem: `makes the function's environment ${bytes} bytes`,
      limit: `${MOST_ENVIRONMENT_BYTES} bytes for all variables of a Lambda function; split the views over two groups`,
      example: isViews ? [{ name: "public.job_progress" }] : {},
    },
  ];
}

/** AWS allows 50 on a resource; ours and those that a provider adds by default take some. */
const MOST_TAGS = 45;

function tagLimits({ tags = {} }: Shaped): RuleFault[] {
  const names = Object.keys(tags);
  const faults = names.flatMap((name) => tagFaults(name, tags[name] ?? ""));
  if (names.length > MOST_TAGS) {
    const problem = `holds ${names.length} tags`;
    faults.push({ key: "tags", value: tags, problem, limit: `at most ${MOST_TAGS}`, example: {} });
  }
  return faults;
}

function tagFaults(name: string, value: string): RuleFault[] {
  const signs = /^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$/u;
  const limit =
    "a key of 1 to 128 and a value of up to 256 letters, digits, spaces and _ . : / = + - @; no key beginning with aws:";
  const fault = { key: `tags${writeStep(name)}`, value, limit, example: undefined };
  if (name === "" || name.length > 128) return [{ ...fault, problem: `has a key ${name.length} long` }];
  if (/^aws:/i.test(name)) return [{ ...fault, problem: "has a key that AWS keeps for itself" }];
  if (value.length > 256) return [{ ...fault, problem: `has a value ${value.length} long` }];
  if (!signs.test(name) || !signs.test(value)) return [{ ...fault, problem: "has a sign AWS does not take" }];
  return [];
}

function noDoubles(shaped: Shaped): RuleFault[] {
  return (["alarmEmails", "alarmTopicArns", "okActionArns"] as const).flatMap((key) => {
    const values = shaped[key] ?? [];
    return values.flatMap((value, index) =>
      values.indexOf(value) === index
        ? []
        : [
            {
              key: `${key}[${index}]`,
              value,
              problem: "is listed twice",
              limit: "each one once",
              example: undefined,
            },
          ],
    );
  });
}
