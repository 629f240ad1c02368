/** What an invocation asks for: a scheduled tick, straight or through a queue, or a refresh by hand. */
import * as z from "zod/mini";
import { chooseView } from "./names";
import type { ViewSettings } from "./settings";

/** A scheduled run skips a view that is being refreshed; a manual one waits for it. */
interface Trigger {
  kind: "scheduled" | "manual";
  views: ViewSettings[];
}

/** The event is none of the three the function understands; the message says which they are. */
export class EventError extends Error {
  override readonly name = "EventError";
}

const scheduledEvent = z.object({
  source: z.literal("aws.events"),
  "detail-type": z.literal("Scheduled Event"),
});
const queueBatch = z.object({ Records: z.array(z.object({ eventSource: z.literal("aws:sqs") })) });
const manualEvent = z.strictObject({
  source: z.string().check(z.startsWith("manual")),
  view: z.optional(z.string()),
});

const UNDERSTOOD =
  'an EventBridge scheduled event, an SQS batch of one message, or {"source":"manual-…","view":"<a configured view>"}';

/**
 * @throws EventError for anything but those three, for a batch of several messages (each is a tick of its own, and
 * one failing would bring back all), and for a view that is not configured.
 */
export function parseEvent(event: unknown, views: ViewSettings[]): Trigger {
  if (scheduledEvent.safeParse(event).success) return { kind: "scheduled", views };
  const batch = queueBatch.safeParse(event);
  if (batch.success) {
    if (batch.data.Records.length === 1) return { kind: "scheduled", views };
    throw new EventError(
      `the queue delivered ${batch.data.Records.length} messages at once; set the event source mapping's batch size to 1`,
    );
  }
  const manual = manualEvent.safeParse(event);
  if (!manual.success) throw new EventError(`this event is not understood; send ${UNDERSTOOD}`);
  const asked = manual.data.view;
  if (asked === undefined) return { kind: "manual", views };
  try {
    return { kind: "manual", views: [chooseView(asked, views)] };
  } catch (error) {
    throw new EventError((error as Error).message);
  }
}
