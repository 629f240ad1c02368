/**
 * Relations between resources: which schedule triggers which function, directly or through a delay queue, and
 * which alarm watches which function. In a preview the ARN that joins two resources is often not known; the
 * engine then still tells which resource it comes from.
 */
import { parseRefreshRate, ScheduleError, type Schedule } from "../components/time/schedule";
import { GROUP_TAG } from "../components/plan/plan";
import { alarmReading, type AlarmReading } from "./alarmReading";
import { known, read, readFlag, readNumber, readText, type Reading } from "./reading";
import { functionKind, saysRefresh } from "./refreshFunctions";
import { TYPE, type Resource } from "./resource";

/** `unclear`: the value is not known yet and nothing tells where it comes from. */
export type Relation = "yes" | "no" | "unclear";

/** One way by which ticks reach a function. */
export interface Trigger {
  /** The EventBridge rule or schedule. */
  rule: Resource;
  /** The resource that joins rule and function: a target, or the schedule itself. */
  target: Resource;
  schedule: Reading<Schedule> | { state: "faulty"; problem: string };
  /** Seconds that a queue holds the tick back; 0 for a direct one. */
  delaySeconds: number;
  /** Present: the tick goes through this queue. */
  queue?: Resource;
}

/** A function that the rules are about, with what belongs to it. */
export interface RefreshFunction {
  resource: Resource;
  /** Its name in AWS, or its Pulumi name where AWS has not given one. */
  name: string;
  kind: "refresh" | "migration";
  /** It is known by what triggers it alone. */
  isKnownByTrigger: boolean;
  triggers: Trigger[];
  /** Present: a target, mapping or schedule of which a preview cannot tell whether it belongs here. */
  unclearTrigger?: Resource;
  alarms: AlarmReading[];
}

/** What all rules know of a stack. */
export interface StackFacts {
  resources: Resource[];
  /** Functions to judge, those that apply migrations too. */
  functions: RefreshFunction[];
  /** The functions of `functions` that refresh. */
  refreshes: RefreshFunction[];
  /** Functions of which a preview cannot tell what they are. */
  unclearFunctions: Resource[];
  alarms: AlarmReading[];
  ofType(...types: string[]): Resource[];
}

/** Gathers the facts of a stack. */
export function stackFacts(resources: Resource[], pattern: RegExp): StackFacts {
  const ofType = (...types: string[]) => resources.filter(({ type }) => types.includes(type));
  const alarms = ofType(TYPE.alarm).map(alarmReading);
  const functions: RefreshFunction[] = [];
  const unclearFunctions: Resource[] = [];
  for (const resource of ofType(TYPE.function)) {
    const triggers = triggersOf(resource, ofType);
    let kind = functionKind(resource.props, pattern);
    const isKnownByTrigger =
      (kind === "none" || kind === "unclear") && triggers.some(({ rule }) => ruleSaysRefresh(rule, pattern));
    if (isKnownByTrigger) kind = "refresh";
    if (kind === "unclear") unclearFunctions.push(resource);
    if (kind === "none" || kind === "unclear") continue;
    const unclearTrigger = unclearTriggerOf(resource, ofType);
    functions.push({
      resource,
      name: nameOf(resource),
      kind,
      isKnownByTrigger,
      triggers,
      ...(unclearTrigger === undefined ? {} : { unclearTrigger }),
      alarms: alarms.filter((alarm) => watches(alarm, resource) === "yes"),
    });
  }
  const refreshes = functions.filter(({ kind }) => kind === "refresh");
  return { resources, functions, refreshes, unclearFunctions, alarms, ofType };
}

/** A resource's name in AWS where it is known, else its Pulumi name. */
export function nameOf({ props, name }: Resource): string {
  return known(readText(props, "name")) ?? name;
}

function ruleSaysRefresh(rule: Resource, pattern: RegExp): boolean {
  return (
    read(rule.props, "tags", GROUP_TAG).state === "known" ||
    saysRefresh(rule.props, pattern, "name", "description")
  );
}

/** Whether a property of one resource names another: by ARN, name or id, or by where its value comes from. */
export function refersTo(from: Resource, path: (string | number)[], to: Resource): Relation {
  const value = readText(from.props, ...path);
  if (value.state === "absent") return "no";
  if (value.state === "known") return textRefersTo(value.value, to);
  const sources = from.propertyDependencies[String(path[0])] ?? [];
  if (sources.length === 0) return "unclear";
  const isSource = sources.some(
    (source) =>
      source.urn === to.urn ||
      (source.type === TYPE.alias && refersTo(source, ["functionName"], to) === "yes"),
  );
  return isSource ? "yes" : "no";
}

/** Whether a text names a resource: by ARN, name or id. */
export function textRefersTo(text: string, to: Resource): Relation {
  if (isIdentity(text, to)) return "yes";
  return mayBeIdentity(text, to) ? "unclear" : "no";
}

/** Whether a text is a resource's name, id, URL or ARN, or the ARN of one of its versions or aliases. */
function isIdentity(text: string, { props }: Resource): boolean {
  const names = [
    "name",
    "id",
    "url",
    "arn",
    "qualifiedArn",
    "invokeArn",
    "topicArn",
    "identifier",
    "alarmName",
  ];
  const identities = names.map((name) => known(readText(props, name))).filter((value) => value !== undefined);
  if (identities.includes(text)) return true;
  if (!text.startsWith("arn:")) return false;
  const name = known(readText(props, "name"));
  const arn = known(readText(props, "arn"));
  if (arn !== undefined) return text.startsWith(`${arn}:`) && arn.includes(":function:");
  const rest = text.split(":").slice(5).join(":");
  return name !== undefined && new RegExp(`(^|[:/])${escaped(name)}(:[^:]+)?$`).test(rest);
}

/** Whether a text could turn out to be the name or ARN of a resource whose name is not known yet. */
function mayBeIdentity(text: string, { props }: Resource): boolean {
  if (readText(props, "name").state !== "unknown") return false;
  return !text.startsWith("arn:") || readText(props, "arn").state !== "known";
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

type OfType = StackFacts["ofType"];

/** Every way by which scheduled ticks reach a function. */
function triggersOf(fn: Resource, ofType: OfType): Trigger[] {
  const queues = queuesOf(fn, ofType);
  const ruleTriggers = ofType(TYPE.target).flatMap((target) => {
    const isDirect = refersTo(target, ["arn"], fn) === "yes";
    const queue = queues.find((resource) => refersTo(target, ["arn"], resource) === "yes");
    if (!isDirect && queue === undefined) return [];
    return ofType(TYPE.rule)
      .filter((rule) => refersTo(target, ["rule"], rule) === "yes")
      .map((rule) => trigger(rule, target, isDirect ? undefined : queue));
  });
  const schedules = ofType(TYPE.schedule)
    .filter((schedule) => refersTo(schedule, ["target", "arn"], fn) === "yes")
    .map((schedule) => trigger(schedule, schedule));
  // A rule with a pattern instead of a schedule fires on events, not on ticks.
  return [...ruleTriggers, ...schedules].filter(({ schedule }) => schedule.state !== "absent");
}

/** Queues that are mapped to a function. */
function queuesOf(fn: Resource, ofType: OfType): Resource[] {
  const mappings = ofType(TYPE.eventSourceMapping).filter(
    (mapping) =>
      refersTo(mapping, ["functionName"], fn) === "yes" &&
      known(readFlag(mapping.props, "enabled")) !== false,
  );
  return ofType(TYPE.queue).filter((queue) =>
    mappings.some((mapping) => refersTo(mapping, ["eventSourceArn"], queue) === "yes"),
  );
}

/** A resource that may join a rule or a queue with the function, which a preview cannot tell. */
function unclearTriggerOf(fn: Resource, ofType: OfType): Resource | undefined {
  const queues = queuesOf(fn, ofType);
  const mapping = ofType(TYPE.eventSourceMapping).find((candidate) => {
    const toFunction = refersTo(candidate, ["functionName"], fn);
    const fromQueue = ofType(TYPE.queue).map((queue) => refersTo(candidate, ["eventSourceArn"], queue));
    return toFunction === "unclear" || (toFunction === "yes" && fromQueue.includes("unclear"));
  });
  const target = ofType(TYPE.target).find((candidate) => {
    const to = [fn, ...queues].map((end) => refersTo(candidate, ["arn"], end));
    const from = ofType(TYPE.rule).map((rule) => refersTo(candidate, ["rule"], rule));
    return to.includes("unclear") || (to.includes("yes") && from.includes("unclear"));
  });
  const schedule = ofType(TYPE.schedule).find(
    (candidate) => refersTo(candidate, ["target", "arn"], fn) === "unclear",
  );
  return mapping ?? target ?? schedule;
}

function trigger(rule: Resource, target: Resource, queue?: Resource): Trigger {
  return {
    rule,
    target,
    schedule: scheduleOf(rule),
    delaySeconds: queue === undefined ? 0 : (known(readNumber(queue.props, "delaySeconds")) ?? 0),
    ...(queue === undefined ? {} : { queue }),
  };
}

/** A rate in seconds: the product's own extension, which stands for a rule of a minute and delay queues. */
const RATE_IN_SECONDS = /^\s*rate\(.*seconds?\s*\)\s*$/;

/** What AWS does with the expression of a rule or schedule; settings take rates that AWS does not. */
function scheduleOf(rule: Resource): Trigger["schedule"] {
  const expression = readText(rule.props, "scheduleExpression");
  if (expression.state !== "known") return expression;
  const { value: text, path } = expression;
  if (text === "") return { state: "absent", path };
  const underAMinute: Trigger["schedule"] = {
    state: "faulty",
    problem:
      `"${text}": AWS has no step under a minute and no rate in seconds. Ticks under a minute are a ` +
      "rate(1 minute) rule with further targets on queues that delay them, as the component makes them.",
  };
  try {
    const schedule = parseRefreshRate(text);
    return schedule.offsetsSeconds.length > 1 ? underAMinute : { ...expression, value: schedule };
  } catch (error) {
    if (!(error instanceof ScheduleError)) throw error;
    // What is wrong with it as a setting does not matter: no number of seconds would do.
    if (RATE_IN_SECONDS.test(text)) return underAMinute;
    const { problems, suggestion } = error;
    return { state: "faulty", problem: `"${text}": ${problems.join("; ")}. For instance ${suggestion}.` };
  }
}

/** Whether an alarm reads one of Lambda's metrics of a function. */
export function watches(alarm: AlarmReading, fn: Resource): Relation {
  const relations = alarm.metrics
    .filter(({ namespace }) => known(namespace) === "AWS/Lambda" || namespace.state === "unknown")
    .map(({ dimensionsPath }) => refersTo(alarm.resource, [...dimensionsPath, "FunctionName"], fn));
  return relations.find((relation) => relation === "yes") ?? relations.find((r) => r === "unclear") ?? "no";
}

/** The one setting of asynchronous invocations that a function has, where the stack makes it. */
export function invokeConfigOf(facts: StackFacts, fn: Resource): Resource | undefined {
  return facts.ofType(TYPE.invokeConfig).find((config) => refersTo(config, ["functionName"], fn) === "yes");
}
