/** Names, and the way of a tick: the rule, its targets, the queues that hold ticks back. */
import type { FunctionPlan, NamesPlan, QueuePlan, RulePlan, TargetPlan } from "./planTypes";
import type { Settings } from "../settings/settings";
import { resourceNamePart } from "../settings/viewNames";

/** SQS's shortest retention: a tick that could not be taken in this time is worthless and vanishes. */
export const QUEUE_RETENTION_SECONDS = 60;

/** EventBridge tries a delivery again this often at the most, within the event's age. */
const DELIVERY_RETRIES = 3;

/** Names after the guide's pattern. */
export function planNames({ namePrefix, group, logGroupName }: Settings): NamesPlan {
  const groupPart = resourceNamePart(group);
  const base = `${namePrefix}-refresh-${groupPart}`;
  return {
    group: groupPart,
    base,
    function: base,
    role: base,
    rule: base,
    logGroup: logGroupName ?? `/aws/lambda/${base}`,
    securityGroup: base,
    topic: base,
    dashboard: base,
  };
}

export function planRule({ schedule, refreshEnabled }: Settings, names: NamesPlan): RulePlan {
  return {
    name: names.rule,
    description: `Ticks of ${names.function}: ${schedule.description}`,
    scheduleExpression: schedule.ruleExpression,
    isEnabled: refreshEnabled,
  };
}

/** One queue for each tick after the first of the rule's minute. */
export function planQueues(settings: Settings, names: NamesPlan): QueuePlan[] {
  const { schedule, timeoutSeconds, kmsKeyArn } = settings;
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
      ...(kmsKeyArn === undefined ? {} : { kmsKeyArn }),
    }));
}

/** The rule's targets: the function, then the queues. */
export function planTargets(
  settings: Settings,
  queues: QueuePlan[],
  { eventAgeSeconds }: FunctionPlan,
): TargetPlan[] {
  const input = tickInput(settings);
  const delivery = {
    retryAttempts: DELIVERY_RETRIES,
    eventAgeSeconds,
    ...(input === undefined ? {} : { input }),
    ...deadLetters(settings),
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

/** EventBridge takes a queue only; a topic hears of what Lambda lost, not of what never reached it. */
function deadLetters({ failureDestinationArn }: Settings): { deadLetterArn?: string } {
  return failureDestinationArn?.split(":")[2] === "sqs" ? { deadLetterArn: failureDestinationArn } : {};
}

/** With a payload of the user's own the event still is a scheduled one, which the handler tells from a manual. */
export function tickInput({
  eventPayload,
}: {
  eventPayload?: Settings["eventPayload"] | undefined;
}): string | undefined {
  if (eventPayload === undefined || Object.keys(eventPayload).length === 0) return undefined;
  return JSON.stringify({ source: "aws.events", "detail-type": "Scheduled Event", detail: eventPayload });
}
