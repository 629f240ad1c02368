/**
 * Which functions the rules are about, and what belongs to each. This is the one place that decides it; an unrelated
 * Lambda is left alone.
 *
 * A function is a refresh function when it has a tag or a variable of this product, or when its name or description,
 * or that of a rule which triggers it, matches the configured pattern.
 */
import * as z from "zod";
import { GROUP_TAG } from "../components/plan/plan";
import { readViewList, type QualifiedName } from "../handler/settings";
import { REFRESH_USER_VARIABLE } from "../migrations/contract";
import { alarmReading, watches, type AlarmReading } from "./alarms";
import { asyncInvocationOf, type AsyncInvocation } from "./asyncInvocation";
import {
  known,
  read,
  readNames,
  readNumber,
  readText,
  withDefault,
  type Properties,
  type Reading,
} from "./reading";
import type { Related } from "./relations";
import { nameOf, TYPE, type Resource, type ResourcesOfType } from "./resource";
import { ticksOf, triggersOf, type Ticks, type Trigger } from "./triggers";

/** Default of the pattern over names and descriptions. */
export const REFRESH_NAME_PATTERN = "matview|materiali[sz]ed[-_ ]?view";

/** Lambda's own default. */
const DEFAULT_TIMEOUT_SECONDS = 3;

/** A function that the rules are about, with what belongs to it. */
export interface RefreshFunction {
  resource: Resource;
  /** Its name in AWS, or its Pulumi name where AWS has not given one. */
  name: string;
  /** Whether it applies this product's migrations: it has no schedule, but a role, a log and a connection. */
  isMigration: boolean;
  timeoutSeconds: Reading<number>;
  /** How scheduled ticks reach it. */
  triggers: Related<Trigger>;
  /** Absent where no schedule reaches it that counts. */
  ticks: Reading<Ticks>;
  asyncInvocation: AsyncInvocation;
  /** The refresh group, by which the handler's metrics are told apart; absent for a function written by hand. */
  group: Reading<string>;
  /** The views that it refreshes; absent for a function written by hand. */
  views: Reading<QualifiedName[]>;
  /** Alarms on its metrics. */
  alarms: AlarmReading[];
  /** Whether there may be more alarms, which a preview cannot tell. */
  hasUnclearAlarm: boolean;
}

/** What all rules know of a stack. */
export interface StackFacts {
  functions: RefreshFunction[];
  ofType: ResourcesOfType;
}

/** Gathers the facts of a stack. */
export function stackFacts(resources: Resource[], pattern: RegExp): StackFacts {
  const ofType: ResourcesOfType = (type) => resources.filter((resource) => resource.type === type);
  const alarms = ofType(TYPE.alarm).map(alarmReading);
  const functions = ofType(TYPE.function).flatMap((resource): RefreshFunction[] => {
    const { props } = resource;
    const triggers = triggersOf(resource, ofType);
    const variables = known(readNames(props, "environment", "variables")) ?? [];
    const isRefresh =
      variables.some((name) => name.startsWith("MATVIEW_")) ||
      [props, ...triggers.found.map(({ rule }) => rule.props)].some((of) => saysRefresh(of, pattern));
    if (!isRefresh) return [];
    const group = readText(props, "environment", "variables", "MATVIEW_GROUP");
    const related = alarms.map((alarm) => ({ alarm, relation: watches(alarm, resource, group) }));
    return [
      {
        resource,
        name: nameOf(resource),
        isMigration: variables.includes(REFRESH_USER_VARIABLE),
        timeoutSeconds: withDefault(readNumber(props, "timeout"), DEFAULT_TIMEOUT_SECONDS),
        triggers,
        ticks: ticksOf(triggers),
        asyncInvocation: asyncInvocationOf(resource, ofType),
        group,
        views: viewsOf(props),
        alarms: related.flatMap(({ alarm, relation }) => (relation === "yes" ? [alarm] : [])),
        hasUnclearAlarm: related.some(({ relation }) => relation === "unclear"),
      },
    ];
  });
  return { functions, ofType };
}

function saysRefresh(props: Properties, pattern: RegExp): boolean {
  if (read(props, "tags", GROUP_TAG).state === "known") return true;
  return ["name", "description"].some((property) => pattern.test(known(readText(props, property)) ?? ""));
}

const viewList = z.array(z.object({ schema: z.string(), name: z.string() }));

/** The views that the function's environment names; absent where the list is not one, too. */
function viewsOf(props: Properties): Reading<QualifiedName[]> {
  const text = readText(props, "environment", "variables", "MATVIEW_VIEWS");
  if (text.state !== "known") return text;
  try {
    return { ...text, value: viewList.parse(readViewList(text.value)) };
  } catch {
    return { state: "absent", path: text.path };
  }
}
