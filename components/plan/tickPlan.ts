/** Names, and the way of a tick: the rule, its targets, the queues that hold ticks back. */
import { tickInput } from "../settings/environment";
import { resourceNamePart } from "../settings/names";
import { KNOWN_LATER } from "../settings/readers";
import type { Settings } from "../settings/schema";
import type { Schedule } from "../time/schedule";
import type { NamesPlan, QueuePlan, RulePlan, TargetPlan } from "./planTypes";

/** SQS's shortest retention: a tick that could not be taken in this time is worthless and vanishes. */
const QUEUE_RETENTION_SECONDS = 60;

/** EventBridge tries a delivery again this often at the most, within the event's age. */
const DELIVERY_RETRIES = 3;

/** Names of everything, `<prefix>-refresh-<group>`. */
export function planNames({ namePrefix, logGroupName }: Settings, group: string): NamesPlan {
  const groupPart = resourceNamePart(group);
  const base = `${namePrefix}-refresh-${groupPart}`;
  return {
    group: groupPart,
    base,
    function: base,
    role: base,
    rule: base,
    logGroup: logGroupName === KNOWN_LATER ? "the log group given" : (logGroupName ?? `/aws/lambda/${base}`),
    securityGroup: base,
    topic: base,
    dashboard: base,
  };
}

export function planRule({ refreshEnabled }: Settings, schedule: Schedule, names: NamesPlan): RulePlan {
  return {
    name: names.rule,
    description: `Ticks of ${names.function}: ${schedule.description}`,
    scheduleExpression: schedule.ruleExpression,
    isEnabled: refreshEnabled,
  };
}

/** One queue for each tick after the first of the rule's minute. */
export function planQueues(schedule: Schedule, timeoutSeconds: number, names: NamesPlan): QueuePlan[] {
  return schedule.offsetsSeconds
    .filter((offsetSeconds) => offsetSeconds > 0)
    .map((offsetSeconds) => ({
      name: `${names.base}-${offsetSeconds}s`,
      offsetSeconds,
      delaySeconds: offsetSeconds,
      retentionSeconds: QUEUE_RETENTION_SECONDS,
      // Six timeouts as AWS advises; never shorter than the retention, so that a failed tick does not come back.
      visibilityTimeoutSeconds: Math.max(6 * timeoutSeconds, QUEUE_RETENTION_SECONDS),
      batchSize: 1,
      maximumConcurrency: 2,
    }));
}

/** The rule's targets: the function, then the queues. */
export function planTargets({ eventPayload, eventAgeSeconds }: Settings, queues: QueuePlan[]): TargetPlan[] {
  const input = tickInput(eventPayload);
  const delivery = {
    retryAttempts: DELIVERY_RETRIES,
    eventAgeSeconds,
    ...(input === undefined ? {} : { input }),
  };
  return [
    { id: "tick-0s", offsetSeconds: 0, ...delivery },
    ...queues.map(({ name, offsetSeconds }) => ({
      id: `tick-${offsetSeconds}s`,
      offsetSeconds,
      queue: name,
      ...delivery,
    })),
  ];
}
