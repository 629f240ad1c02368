/** The event of a tick, as EventBridge sends it to the function or to a queue. */
import { createHash, randomUUID } from "node:crypto";
import type { Schedule } from "../components/time/schedule";

const account = "000000000000";

/** What the names inside an event are made of. */
export interface EventOrigin {
  region: string;
  /** Name of the function; rule and queues are named after it. */
  functionName: string;
  /** Becomes the event's `detail`, as the rule's target would put it. */
  payload?: Record<string, unknown>;
}

/** Seconds between the firing of the rule and this tick; 0 for the tick the rule itself brings. */
export function offsetSeconds(schedule: Schedule, tickEpochMs: number): number {
  return schedule.offsetsSeconds.length === 1 ? 0 : (tickEpochMs / 1000) % 60;
}

/**
 * The event a deployed function gets for a tick: the rule's own event at the full minute, and the same event
 * as the body of an SQS message, sent at the full minute and held back, for the ticks between.
 */
export function tickEvent(schedule: Schedule, tickEpochMs: number, origin: EventOrigin): unknown {
  const offset = offsetSeconds(schedule, tickEpochMs);
  const ruleEpochMs = tickEpochMs - offset * 1000;
  const scheduled = scheduledEvent(ruleEpochMs, origin);
  return offset === 0
    ? scheduled
    : queueEvent(JSON.stringify(scheduled), ruleEpochMs, tickEpochMs, offset, origin);
}

/** @see https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-run-lambda-schedule.html */
function scheduledEvent(epochMs: number, { region, functionName, payload }: EventOrigin): object {
  return {
    version: "0",
    id: randomUUID(),
    "detail-type": "Scheduled Event",
    source: "aws.events",
    account,
    time: new Date(epochMs).toISOString().replace(/\.\d{3}Z$/, "Z"),
    region,
    resources: [`arn:aws:events:${region}:${account}:rule/${functionName}`],
    detail: payload ?? {},
  };
}

/** @see https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html */
function queueEvent(
  body: string,
  sentEpochMs: number,
  receivedEpochMs: number,
  delaySeconds: number,
  { region, functionName }: EventOrigin,
): object {
  const record = {
    messageId: randomUUID(),
    receiptHandle: randomUUID(),
    body,
    attributes: {
      ApproximateReceiveCount: "1",
      SentTimestamp: String(sentEpochMs),
      SenderId: "events.amazonaws.com",
      ApproximateFirstReceiveTimestamp: String(receivedEpochMs),
    },
    messageAttributes: {},
    md5OfBody: createHash("md5").update(body).digest("hex"),
    eventSource: "aws:sqs",
    eventSourceARN: `arn:aws:sqs:${region}:${account}:${functionName}-${delaySeconds}s`,
    awsRegion: region,
  };
  return { Records: [record] };
}
