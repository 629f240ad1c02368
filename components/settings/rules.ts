/**
 * What settings must be to one another: limits that no single value shows. Each rule is told only of values
 * whose own form was right, so that one mistake is one fault.
 */
import type { ViewSettings } from "../../handler/settings";
import { mostPeriods, LONGEST_WINDOW_SECONDS } from "../time/alarmRule";
import { defaultFailedTicks, keepableStalenessSeconds } from "../time/alarmTiming";
import {
  LAMBDA_VARIABLES,
  LONGEST_FUNCTION_NAME,
  LONGEST_RDS_IDENTIFIER,
  LONGEST_TARGET_INPUT,
  MOST_ALARM_ACTIONS,
  MOST_ENVIRONMENT_BYTES,
  MOST_TAGS,
  mostEventAgeSeconds,
  mostTimeoutSeconds,
} from "../time/limits";
import { parseRefreshRate, type Schedule } from "../time/schedule";
import {
  environmentBytes,
  functionEnvironment,
  PRODUCT_VARIABLES,
  SECRETS_URL_VARIABLE,
  tickInput,
} from "./environment";
import { scalars, unsetCommand, unsetItems, writeStep, type Purpose, type RuleFault } from "./faults";
import { partitionOf } from "./identifiers";
import { LONGEST_IDENTIFIER_BYTES, resourceNamePart, viewNameOf } from "./names";
import { placeFaults } from "./placeRules";
import { KNOWN_LATER } from "./readers";
import type { Settings } from "./schema";

/** Settings so far, with the schedule read; a key is absent where its own form was wrong. */
type Given = Partial<Settings> & { schedule?: Schedule };

type Rule = (given: Given, purpose: Purpose, region?: string) => RuleFault[];

/** Every fault that the rules find. */
export function ruleFaults(settings: Partial<Settings>, purpose: Purpose, region?: string): RuleFault[] {
  const { refreshRate } = settings;
  const given = {
    ...settings,
    ...(refreshRate === undefined ? {} : { schedule: parseRefreshRate(refreshRate) }),
  };
  return RULES.flatMap((rule) => rule(given, purpose, region));
}

const RULES: Rule[] = [
  viewsOnce,
  groupNamed,
  nameLengths,
  prefixFit,
  environmentNames,
  environmentValues,
  environmentSize,
  tagLimits,
  noDoubles,
  ticksCloseEnough,
  timeoutShortEnough,
  stalenessKeepable,
  eventAgeShortEnough,
  concurrencyEnough,
  failedTicksVisible,
  errorsAlarmWindow,
  oneFailureDestination,
  actionsFew,
  actionsNear,
  keysNear,
  payloadShort,
  nothingLater,
  placeFaults,
];

function viewsOnce({ views = [] }: Given): RuleFault[] {
  const seen = new Set<string>();
  const faults = views.flatMap(({ name }, index) => {
    // Compared as metrics have it: two views whose metrics were the same would hide each other's absence.
    const { schema, name: bare } = viewNameOf(name);
    const measured = `${schema}.${bare}`;
    if (!seen.has(measured)) {
      seen.add(measured);
      return [];
    }
    const key = `views[${index}]`;
    return [{ key, value: name, problem: "is listed twice", limit: "each view once", example: undefined }];
  });
  // The last one first: taking one out moves those behind it.
  return faults.reverse();
}

/** The group's name: the view's where there is but one. */
export function groupOf({ groupName, views }: Pick<Given, "groupName" | "views">): string | undefined {
  const first = views?.[0];
  return groupName ?? (first && viewNameOf(first.name).name);
}

function groupNamed({ views = [], groupName }: Given): RuleFault[] {
  const fault = { key: "groupName", value: groupName, example: "billing" };
  if (groupName === undefined && views.length > 1) {
    const problem = `is missing, and ${views.length} views have no one name`;
    return [{ ...fault, problem, limit: "a name for the group, where there are several views" }];
  }
  const group = groupOf({ groupName, views });
  if (group !== undefined && resourceNamePart(group) === "") {
    const problem = `nothing of "${group}" can stand in the name of an AWS resource`;
    return [{ ...fault, problem, limit: "letters, digits and hyphens" }];
  }
  return [];
}

/** What Pulumi puts after a name it makes: a hyphen and seven hexadecimal digits. */
const RANDOM_SUFFIX = "-0123456";

/** The longest `<namePrefix>-refresh-<group>`, and what else is named by it, where that sets the limit. */
function longestName(database: Given["database"]): { longest: number; use: string } {
  if (database?.create === undefined) return { longest: LONGEST_FUNCTION_NAME, use: "" };
  const rest = database.create.proxy ? "-proxy" : "-db";
  return {
    longest: LONGEST_RDS_IDENTIFIER - rest.length - RANDOM_SUFFIX.length,
    use: `, and "<name>${rest}-<7 digits>" would be an RDS identifier over ${LONGEST_RDS_IDENTIFIER}`,
  };
}

function nameLengths({ namePrefix, groupName, views, database }: Given): RuleFault[] {
  const group = groupOf({ groupName, views });
  if (namePrefix === undefined || group === undefined) return [];
  const name = `${namePrefix}-refresh-${resourceNamePart(group)}`;
  const { longest, use } = longestName(database);
  const excess = name.length - longest;
  if (excess <= 0) return [];
  const key = namePrefix.length > excess + 1 && groupName === undefined ? "namePrefix" : "groupName";
  const given = key === "namePrefix" ? namePrefix : resourceNamePart(group);
  return [
    {
      key,
      value: key === "namePrefix" ? namePrefix : groupName,
      problem: `makes the function's name "${name}" ${name.length} long${use}`,
      limit: `${longest} for <namePrefix>-refresh-<group>, so ${excess} fewer`,
      example: given.slice(0, Math.max(1, given.length - excess)).replace(/-+$/, ""),
    },
  ];
}

function prefixFit({ namePrefix, database }: Given): RuleFault[] {
  if (namePrefix === undefined) return [];
  const fault = { key: "namePrefix", value: namePrefix };
  if (/^sg(?:-|$)/i.test(namePrefix)) {
    const problem = "makes names that begin with sg-, which EC2 keeps for the ids of security groups";
    return [{ ...fault, problem, limit: "anything else than sg or sg-...", example: "matview" }];
  }
  const fit = namePrefix.replace(/-+/g, "-").toLowerCase();
  if (database?.create === undefined || fit === namePrefix) return [];
  const problem = "cannot stand in an RDS identifier, and database.create makes one of it";
  const limit = "with database.create: lower-case letters, digits and single hyphens";
  return [{ ...fault, problem, limit, example: fit }];
}

function environmentNames({ environment = {} }: Given): RuleFault[] {
  const reserved = [...LAMBDA_VARIABLES, ...PRODUCT_VARIABLES];
  return Object.keys(environment).flatMap((name) => {
    const isReserved = reserved.includes(name) || name.startsWith("MATVIEW_");
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

function environmentValues({ environment = {} }: Given): RuleFault[] {
  return Object.keys(environment).flatMap((name) => {
    if (!/\0|\p{Cs}/u.test(environment[name] ?? "")) return [];
    const problem = "has a NUL or half a character in it, which no variable can hold";
    return [
      {
        key: `environment${writeStep(name)}`,
        value: "(not shown)",
        problem,
        limit: "text",
        example: "<value>",
      },
    ];
  });
}

/** As long as an endpoint may be, so that a database whose address is known later fits as well. */
const LONGEST_HOST = "h".repeat(253);

/** As long as the address of a Secrets Manager endpoint gets in any region. */
const LONGEST_SECRETS_URL = `https://vpce-${"0".repeat(17)}-${"0".repeat(8)}.secretsmanager.${"r".repeat(20)}.vpce.amazonaws.com.cn`;

function environmentSize(
  { views, environment, database, network, groupName }: Given,
  purpose: Purpose,
): RuleFault[] {
  if (views === undefined || environment === undefined) return [];
  const isHostKnown = database?.host !== undefined && database.host !== KNOWN_LATER;
  const variables = functionEnvironment(
    {
      group: groupOf({ groupName, views }) ?? "",
      views: views.map(viewSettingsOf),
      logFormat: "json",
      historyRetentionDays: 3_650,
      environment,
    },
    {
      host: isHostKnown ? (database.host ?? "") : LONGEST_HOST,
      port: "65535",
      name: longestOf(database?.name),
      user: longestOf(database?.user),
      auth: database?.auth ?? "iam",
      tls: "verify-full",
      ...(database?.secretArn === undefined ? {} : { secretArn: database.secretArn }),
    },
  );
  if (network?.secretsEndpoint === true) variables[SECRETS_URL_VARIABLE] = LONGEST_SECRETS_URL;
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
      example: undefined,
      remedy: isViews
        ? `take views out, the last one first, for a group of their own: ${unsetItems(purpose, "views", [views.length - 1])}`
        : `shorten variables, or take some out: ${unsetCommand(purpose, "environment.<key>")}`,
    },
  ];
}

/** An identifier; as long as one may be where it is known later. */
function longestOf(identifier = ""): string {
  return identifier === KNOWN_LATER ? "i".repeat(LONGEST_IDENTIFIER_BYTES) : identifier;
}

/** What the keys of this product's own tags begin with. */
const OWN_TAGS = "matview-refresh:";

function tagLimits({ tags = {}, roleArn }: Given, purpose: Purpose): RuleFault[] {
  const names = Object.keys(tags);
  const faults = names.flatMap((name) => tagFaults(name, tags[name] ?? ""));
  const seen = new Set<string>();
  for (const name of names) {
    const folded = name.toLowerCase();
    // IAM does not tell keys apart by their case, and a role that is made has these tags too.
    if (seen.has(folded) && roleArn === undefined) {
      const problem =
        "differs from another key in the case of its letters alone, which IAM does not tell apart";
      const fault = { value: tags[name], problem, limit: "each key once", example: undefined };
      faults.push({ key: `tags${writeStep(name)}`, ...fault });
    }
    seen.add(folded);
  }
  const excess = names.length - MOST_TAGS;
  if (excess > 0) {
    const fault = { key: "tags", value: tags, problem: `holds ${names.length} tags`, example: undefined };
    const remedy = `take out ${excess === 1 ? "one" : excess} of the tags: ${unsetCommand(purpose, "tags.<key>")}`;
    faults.push({ ...fault, limit: `at most ${MOST_TAGS}`, remedy });
  }
  return faults;
}

function tagFaults(name: string, value: string): RuleFault[] {
  const signs = /^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$/u;
  const limit =
    "a key of 1 to 128 and a value of up to 256 letters, digits, spaces and _ . : / = + - @; no key beginning with aws:";
  const fault = { key: `tags${writeStep(name)}`, value, limit, example: undefined };
  if (name === "" || name.length > 128) return [{ ...fault, problem: `has a key ${name.length} long` }];
  if (name.toLowerCase().startsWith(OWN_TAGS))
    return [
      {
        ...fault,
        problem: "has a key of this product's own tags",
        limit: `no key beginning with ${OWN_TAGS}`,
      },
    ];
  if (/^aws:/i.test(name)) return [{ ...fault, problem: "has a key that AWS keeps for itself" }];
  if (value.length > 256) return [{ ...fault, problem: `has a value ${value.length} long` }];
  if (!signs.test(name) || !signs.test(value)) return [{ ...fault, problem: "has a sign AWS does not take" }];
  return [];
}

/** The items of a list that may be known later as a whole. */
function itemsOf(values: string[] | undefined): string[] {
  return Array.isArray(values) ? values : [];
}

function noDoubles(given: Given): RuleFault[] {
  return (["alarmEmails", "alarmTopicArns", "okActionArns"] as const).flatMap((key) => {
    const values = itemsOf(given[key]);
    const faults = values.flatMap((value, index) => {
      if (values.indexOf(value) === index || value === KNOWN_LATER) return [];
      const problem = "is listed twice";
      return [{ key: `${key}[${index}]`, value, problem, limit: "each one once", example: undefined }];
    });
    return faults.reverse();
  });
}

function ticksCloseEnough({ schedule, timeoutSeconds = 60 }: Given): RuleFault[] {
  if (schedule === undefined || Number.isFinite(keepableStalenessSeconds({ schedule, timeoutSeconds }, 1)))
    return [];
  return [
    {
      key: "refreshRate",
      value: schedule.refreshRate,
      problem: `leaves up to ${schedule.intervalSeconds} s between two ticks, and no alarm could tell that they stopped`,
      limit: `CloudWatch alarms look back ${LONGEST_WINDOW_SECONDS} s (7 days), so at most 6 days`,
      example: "rate(1 day)",
    },
  ];
}

function timeoutShortEnough({ schedule, timeoutSeconds }: Given): RuleFault[] {
  if (schedule === undefined || timeoutSeconds === undefined) return [];
  const most = mostTimeoutSeconds(schedule);
  if (timeoutSeconds <= most) return [];
  return [
    {
      key: "timeoutSeconds",
      value: timeoutSeconds,
      problem: `is too long for ticks ${schedule.description}: a hung run would hold up more than one`,
      limit: `at most ${most} (twice the interval of ${schedule.intervalSeconds} s, but 120 for short ones; Lambda's own limit is 900)`,
      example: most,
    },
  ];
}

/**
 * The promise must be one that the alarms keep: they look at a whole interval, the longest run, and the time that
 * metrics take to come in, or they would go off in a healthy stack.
 */
function stalenessKeepable({ schedule, timeoutSeconds, maxStalenessSeconds, alarms }: Given): RuleFault[] {
  if (schedule === undefined || timeoutSeconds === undefined || maxStalenessSeconds === undefined) return [];
  const timing = { schedule, timeoutSeconds };
  const failedTicks = alarms?.failedTicks ?? 1;
  const least = keepableStalenessSeconds(timing, failedTicks);
  if (maxStalenessSeconds >= least || !Number.isFinite(least)) return [];
  const ticks = failedTicks === 1 ? "a tick" : `${failedTicks} ticks (alarms.failedTicks)`;
  return [
    {
      key: "maxStalenessSeconds",
      value: maxStalenessSeconds,
      problem:
        `is too short for alarms that see ${ticks} ${schedule.description} fail, each for up to ` +
        `${timeoutSeconds} s, with metrics that come up to a minute late`,
      limit: `at least ${least}`,
      example: Math.max(least, keepableStalenessSeconds(timing, defaultFailedTicks(timing))),
    },
  ];
}

function eventAgeShortEnough({ schedule, eventAgeSeconds }: Given): RuleFault[] {
  if (schedule === undefined || eventAgeSeconds === undefined) return [];
  const most = mostEventAgeSeconds(schedule);
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

function concurrencyEnough({ schedule, reservedConcurrency }: Given): RuleFault[] {
  if (schedule === undefined || reservedConcurrency === undefined) return [];
  if (reservedConcurrency >= 2 || schedule.offsetsSeconds.length === 1) return [];
  return [
    {
      key: "reservedConcurrency",
      value: reservedConcurrency,
      problem: `is too small for ${schedule.refreshRate}: a queue's mapping takes 2 at least`,
      limit: "at least 2 with rates under a minute, or none",
      example: Math.max(2, schedule.offsetsSeconds.length),
    },
  ];
}

function failedTicksVisible({ schedule, timeoutSeconds = 60, alarms }: Given): RuleFault[] {
  const failedTicks = alarms?.failedTicks;
  if (schedule === undefined || failedTicks === undefined) return [];
  const isVisible = (ticks: number): boolean =>
    Number.isFinite(keepableStalenessSeconds({ schedule, timeoutSeconds }, ticks));
  if (isVisible(failedTicks) || !isVisible(1)) return [];
  let most = failedTicks - 1;
  while (most > 1 && !isVisible(most)) most -= 1;
  return [
    {
      key: "alarms.failedTicks",
      value: failedTicks,
      problem: `${failedTicks} ticks ${schedule.description} reach further back than an alarm can look`,
      limit: `at most ${most}, within 7 days`,
      example: most,
    },
  ];
}

function errorsAlarmWindow({ alarms }: Given): RuleFault[] {
  const errors = alarms?.errors;
  if (errors === undefined) return [];
  const faults: RuleFault[] = [];
  const { periodSeconds, evaluationPeriods, datapointsToAlarm = evaluationPeriods } = errors;
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

function oneFailureDestination({ failureQueueArn, failureTopicArn }: Given): RuleFault[] {
  if (failureQueueArn === undefined || failureTopicArn === undefined) return [];
  const problem = "stands beside failureQueueArn, and Lambda reports a lost tick to one of them alone";
  const limit = "a queue or a topic";
  return [{ key: "failureTopicArn", value: failureTopicArn, problem, limit, example: undefined }];
}

const ACTION_KEYS = ["alarmTopicArns", "okActionArns"] as const;

function actionsFew(given: Given, purpose: Purpose): RuleFault[] {
  const hasTopic = (given.alarmEmails ?? []).length > 0;
  const most = MOST_ALARM_ACTIONS - (hasTopic ? 1 : 0);
  return ACTION_KEYS.flatMap((key) => {
    const arns = itemsOf(given[key]);
    if (arns.length <= most) return [];
    const problem = `has ${arns.length}, and an alarm tells at most ${MOST_ALARM_ACTIONS} when its state changes`;
    const limit = `at most ${most}${hasTopic ? ", since alarmEmails makes a topic that is told too" : ""}`;
    const remedy = unsetItems(purpose, key, [...arns.keys()].slice(most));
    return [{ key, value: arns, problem, limit, example: undefined, remedy }];
  });
}

/** Keys and secrets of another region are not found where the function is. */
function keysNear({ kmsKeyArn, database }: Given, _purpose: Purpose, region?: string): RuleFault[] {
  if (region === undefined) return [];
  const { secretArn, secretKmsKeyArn } = database ?? {};
  const given = { kmsKeyArn, "database.secretArn": secretArn, "database.secretKmsKeyArn": secretKmsKeyArn };
  return Object.entries(given).flatMap(([key, arn]) => {
    if (arn === undefined || arn === KNOWN_LATER || arn.split(":")[3] === region) return [];
    const problem = `is in ${arn.split(":")[3]}, and the function looks for it in its own region`;
    return [{ key, value: arn, problem, limit: `one in ${region}`, example: inRegion(arn, region) }];
  });
}

function inRegion(arn: string, region: string): string {
  const parts = arn.split(":");
  return [parts[0], partitionOf(region), parts[2], region, ...parts.slice(4)].join(":");
}

function actionsNear(given: Given, _purpose: Purpose, region?: string): RuleFault[] {
  if (region === undefined) return [];
  return ACTION_KEYS.flatMap((key) =>
    itemsOf(given[key]).flatMap((arn, index) => {
      const parts = arn.split(":");
      if (arn === KNOWN_LATER || parts[3] === region) return [];
      const problem = `is in ${parts[3]}, and alarms tell only what is in their own region`;
      const example = inRegion(arn, region);
      return [{ key: `${key}[${index}]`, value: arn, problem, limit: `one in ${region}`, example }];
    }),
  );
}

function payloadShort({ eventPayload }: Given, purpose: Purpose): RuleFault[] {
  const part = unsetCommand(purpose, "eventPayload.<key>");
  const fault = (problem: string, limit: string, remedy: string): RuleFault[] => [
    { key: "eventPayload", value: eventPayload, problem, limit, example: undefined, remedy },
  ];
  const input = payloadText(eventPayload);
  if (input === undefined)
    return fault(
      "cannot be written as JSON, or is nested too deep for it",
      "JSON",
      `take a part out: ${part}`,
    );
  if (purpose === "component" && input.includes(JSON.stringify(KNOWN_LATER))) {
    const problem = "has a value in it that is known only after deployment, and the plan is made before";
    return fault(problem, "values that the program knows", `take it out: ${part}`);
  }
  const { length } = input;
  if (length <= LONGEST_TARGET_INPUT) return [];
  const limit = `${LONGEST_TARGET_INPUT} for the event with eventPayload as its detail, so ${length - LONGEST_TARGET_INPUT} fewer`;
  return fault(`makes the event ${length} characters long`, limit, `shorten it, or take a part out: ${part}`);
}

/** The input of ticks; undefined for what JSON does not hold. */
function payloadText(eventPayload: Given["eventPayload"]): string | undefined {
  try {
    return tickInput(eventPayload) ?? "";
  } catch {
    return undefined;
  }
}

/** Text in which a program's mark stands for a value was written by hand where there is no program. */
function nothingLater(
  { schedule: _schedule, environment: _e, tags: _t, eventPayload: _p, ...given }: Given,
  purpose: Purpose,
): RuleFault[] {
  if (purpose === "component") return [];
  return Object.entries(given)
    .flatMap(([key, value]) => scalars(key, value))
    .filter(([, text]) => text === KNOWN_LATER)
    .map(([key]) => {
      const problem = "stands for a value that a program gives";
      return { key, value: KNOWN_LATER, problem, limit: "the value itself", example: "<value>" };
    });
}

/** A view as the handler takes it. */
export function viewSettingsOf(view: Settings["views"][number]): ViewSettings {
  const { name, statistics, allowBlocking, incremental } = view;
  return {
    ...viewNameOf(name),
    allowBlocking,
    ...(statistics === undefined ? {} : { statistics: viewNameOf(statistics) }),
    ...(incremental === undefined
      ? {}
      : {
          fullEverySeconds: parseRefreshRate(incremental.fullEvery).intervalSeconds,
          allowFullRuns: incremental.allowFullRuns,
        }),
  };
}
