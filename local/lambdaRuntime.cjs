"use strict";
/**
 * One Lambda execution environment: a plain Node program that loads the handler's bundle the way Lambda does
 * (LAMBDA_TASK_ROOT and _HANDLER) and answers invocations that arrive over IPC, one at a time.
 *
 * It is started by lambdaProcess.ts with nothing in its environment but what a deployed function has. It is
 * JavaScript on purpose: what runs here is the bundle on plain Node, with no loader between them.
 *
 * Messages in:  { type: "invoke", event, requestId, deadlineEpochMs }
 * Messages out: { type: "ready", initMs }
 *               { type: "initFailed", error }
 *               { type: "result", requestId, value | error, peakMemoryKb }
 * The result is followed on stdout and on stderr by the line "END RequestId: <id>", so that the parent knows it
 * has read every line of the run, whatever order the pipes are read in.
 */
const path = require("node:path");

// The parent is gone: nobody will ever ask again, and a run in flight has nobody to answer.
process.on("disconnect", () => process.exit(0));
// A Ctrl-C in the terminal is the parent's to handle; it stops this process when the run is over.
process.on("SIGINT", () => {});

/** The shape Lambda gives an error that left the handler. */
function describeError(error) {
  if (error instanceof Error) {
    return {
      errorType: error.name,
      errorMessage: error.message,
      trace: String(error.stack ?? "").split("\n"),
    };
  }
  return { errorType: typeof error, errorMessage: String(error), trace: [] };
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

async function invoke(handler, message) {
  const answer = { type: "result", requestId: message.requestId };
  try {
    // Through JSON, as Lambda does: undefined members vanish and dates become text here and not later.
    answer.value = JSON.parse(JSON.stringify((await handler(message.event, contextOf(message))) ?? null));
  } catch (error) {
    answer.error = describeError(error);
  }
  answer.peakMemoryKb = process.resourceUsage().maxRSS;
  const end = `END RequestId: ${message.requestId}\n`;
  process.stdout.write(end);
  process.stderr.write(end);
  process.send(answer);
}

const initStart = process.hrtime.bigint();
let handler;
try {
  handler = loadHandler();
} catch (error) {
  process.send({ type: "initFailed", error: describeError(error) }, () => process.exit(1));
}
if (handler !== undefined) {
  process.on("message", (message) => void invoke(handler, message));
  process.send({ type: "ready", initMs: Number(process.hrtime.bigint() - initStart) / 1e6 });
}
