/**
 * The Lambda function: environment and event in, response out, failures thrown. Read the folder in this order:
 * - `settings`, `parseEnvironment`, `event`: what the function is told, and which views an event asks for.
 * - `budget`: the run's time, each view's share of it, and the limit of each statement.
 * - `session`, over `connect`, `credentials`, `tls`: the run's connection, opened again when lost, and what is retried.
 * - `run`, over `order`: the views one after the other, sources first; `refreshView`: one view's turn and its tries.
 * - `transaction`: one try, one transaction; over `catalog` (what the server says of a view), `maintained` (what is
 *   folded instead of refreshed), `mode` (which refresh that allows), `blockers` and `diagnose` (asked when something is
 *   wrong). `preview` asks the same, changing nothing.
 * - `outcome`: what a view came to; `failure` and `remedies`: what failed, whether another try helps, and what to do.
 * - `history`, `statistics`, `report`, `metrics`: where that is told; `response`: what is answered, or thrown.
 */
import type { Context } from "aws-lambda";
import { Budget } from "./budget";
import { connectorFor } from "./connect";
import { parseEvent } from "./event";
import { publishMetrics } from "./metrics";
import { jsonReport, textReport, type Report } from "./report";
import { respond, type RefreshResponse } from "./response";
import { runRefresh } from "./run";
import { parseEnvironment } from "./parseEnvironment";
import type { HandlerSettings } from "./settings";

/** What the function uses of Lambda's context. */
type InvocationContext = Pick<Context, "awsRequestId" | "getRemainingTimeInMillis"> & Partial<Context>;

/**
 * Refreshes the views the environment names, or the one of them that a manual event names.
 * @throws SettingsError, EventError, or an Error with the view, SQLSTATE and remedy of whatever failed.
 */
export async function handler(event: unknown, context: InvocationContext): Promise<RefreshResponse> {
  const startedMs = performance.now();
  const settings = parseEnvironment(process.env);
  const trigger = parseEvent(event, settings.views);
  const outcomes = await runRefresh({
    views: trigger.views,
    connector: connectorFor(settings.database),
    waitForLock: trigger.kind === "manual",
    budget: new Budget(context.getRemainingTimeInMillis()),
    historyRetentionDays: settings.historyRetentionDays,
    runId: context.awsRequestId,
    report: await reportFor(settings, context),
  });
  publishMetrics(settings.group, outcomes, (performance.now() - startedMs) / 1_000);
  return respond(outcomes);
}

async function reportFor(settings: HandlerSettings, context: InvocationContext): Promise<Report> {
  if (settings.logFormat === "text") return textReport((line) => void process.stdout.write(`${line}\n`));
  const { Logger } = await import("@aws-lambda-powertools/logger");
  const persistentKeys = { group: settings.group, request_id: context.awsRequestId };
  return jsonReport(new Logger({ serviceName: "matview-refresh", persistentKeys }));
}
