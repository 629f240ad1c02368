import assert from "node:assert/strict";
import { EventError, parseEvent } from "../../handler/event";
import { viewNamed } from "./harness";

const [jobs, sales, salesElsewhere] = [
  viewNamed("jobs"),
  viewNamed("sales"),
  { ...viewNamed("sales"), schema: "eu.west" },
];
const views = [jobs, sales, salesElsewhere];
const scheduled = {
  version: "0",
  id: "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
  "detail-type": "Scheduled Event",
  source: "aws.events",
  account: "123456789012",
  time: "2026-11-09T10:00:00Z",
  region: "us-west-2",
  resources: ["arn:aws:events:us-west-2:123456789012:rule/matview-refresh-job_progress"],
  detail: {},
};
const message = { messageId: "1", eventSource: "aws:sqs", body: JSON.stringify(scheduled), attributes: {} };

describe("an event", () => {
  it("of the schedule, straight or through a queue, is a tick for all views", () => {
    assert.deepEqual(parseEvent(scheduled, views), { kind: "scheduled", views });
    assert.deepEqual(parseEvent({ Records: [message] }, views), { kind: "scheduled", views });
  });

  it("by hand waits for the lock, and may name one configured view", () => {
    assert.deepEqual(parseEvent({ source: "manual-test" }, views), { kind: "manual", views });
    const chosen = (view: string): unknown => parseEvent({ source: "manual", view }, views).views;
    assert.deepEqual(chosen("jobs"), [jobs]);
    assert.deepEqual(chosen("public.sales"), [sales]);
    assert.deepEqual(chosen('"eu.west"."sales"'), [salesElsewhere]);
    assert.deepEqual(chosen("eu.west.sales"), [salesElsewhere]);
  });

  it("cannot write lines of its own into the log, nor pages", () => {
    const told = (view: string): string => {
      try {
        parseEvent({ source: "manual", view }, views);
      } catch (error) {
        return (error as Error).message;
      }
      return "";
    };
    assert.match(told("jobs\n[2026-11-09 10:00:00] all is well"), /^view "jobs.\[2026[^\n]*$/);
    assert.ok(told("x".repeat(100_000)).length < 500);
  });

  const refused: [string, unknown, RegExp][] = [
    [
      "a view that is not configured",
      { source: "manual", view: "pg_class" },
      /"pg_class" is not configured.*public\.jobs/,
    ],
    ["a name that two schemas have", { source: "manual", view: "sales" }, /several configured schemas/],
    ["a batch of two", { Records: [message, message] }, /2 messages at once; set .* batch size to 1/],
    ["an empty batch", { Records: [] }, /0 messages/],
    ["another queue's record", { Records: [{ ...message, eventSource: "aws:s3" }] }, /not understood/],
    ["another event of AWS", { ...scheduled, "detail-type": "EC2 Instance State-change" }, /not understood/],
    ["a manual event with more in it", { source: "manual", sql: "DROP TABLE jobs" }, /not understood/],
    ["nothing", undefined, /not understood/],
    ["an empty object", {}, /not understood/],
  ];
  for (const [what, event, expected] of refused) {
    it(`is refused when it is ${what}`, () => {
      assert.throws(
        () => parseEvent(event, views),
        (error) => error instanceof EventError && expected.test(error.message),
      );
    });
  }
});
