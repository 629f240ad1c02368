"use strict";
/**
 * Runs in an execution environment: loads the handler's bundle the way Lambda does (LAMBDA_TASK_ROOT and _HANDLER)
 * and answers the parent's messages `{ event, requestId, deadlineEpochMs }`, one at a time. lambdaProcess.ts starts
 * it with nothing in its environment but what a deployed function has, and lists the messages that it sends.
 *
 * JavaScript on purpose: what runs here is the bundle on plain Node, with no loader between them.
 */
const path = require("node:path");

const memoryCheckMs = 200;

// The parent is gone: a run in flight has nobody to answer.
process.on("disconnect", () => process.exit(0));

// Through the channel of the answers, so that every line of a run arrives before its answer.
for (const stream of [process.stdout, process.stderr]) {
  stream.write = (chunk, ...rest) => {
    const done = rest.at(-1);
    process.send({ type: "output", text: String(chunk) }, () => typeof done === "function" && done());
    return true;
  };
}

/** V8's own limit covers only the JavaScript heap. */
function exceedsMemory() {
  const limitBytes = Number(process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE) * 2 ** 20;
  if (process.memoryUsage.rss() <= limitBytes) return false;
  process.send({ type: "memoryExceeded" });
  return true;
}
setInterval(exceedsMemory, memoryCheckMs).unref();

/** The shape Lambda gives an error that left the handler. */
function describeError(error) {
  if (!(error instanceof Error)) return { errorType: typeof error, errorMessage: String(error) };
  return { errorType: error.name, errorMessage: error.message };
}

function loadHandler() {
  const [moduleName, functionName] = process.env._HANDLER.split(".");
  const exported = require(path.join(process.env.LAMBDA_TASK_ROOT, `${moduleName}.js`));
  if (typeof exported[functionName] !== "function") {
    throw new Error(`${process.env._HANDLER} is undefined or not exported`);
  }
  return exported[functionName];
}

function contextOf({ requestId, deadlineEpochMs }) {
  const functionName = process.env.AWS_LAMBDA_FUNCTION_NAME;
  return {
    callbackWaitsForEmptyEventLoop: true,
    awsRequestId: requestId,
    functionName,
    functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
    invokedFunctionArn: `arn:aws:lambda:${process.env.AWS_REGION}:000000000000:function:${functionName}`,
    memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: process.env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: process.env.AWS_LAMBDA_LOG_STREAM_NAME,
    getRemainingTimeInMillis: () => Math.max(0, deadlineEpochMs - Date.now()),
  };
}

async function answer(handler, message) {
  try {
    const value = (await handler(message.event, contextOf(message))) ?? null;
    // Through JSON, as Lambda does: undefined members vanish and dates become text here and not later.
    return { type: "succeeded", value: JSON.parse(JSON.stringify(value)) };
  } catch (error) {
    return { type: "failed", error: describeError(error) };
  }
}

const initStart = performance.now();
let handler;
try {
  handler = loadHandler();
} catch (error) {
  process.send({ type: "failed", error: describeError(error) }, () => process.exit(1));
}
if (handler !== undefined) {
  process.on("message", async (message) => {
    const answered = await answer(handler, message);
    if (!exceedsMemory()) process.send(answered);
  });
  process.send({ type: "ready", initMs: performance.now() - initStart });
}
