/** Runs as the bed hands them to judges. */
import { randomUUID } from "node:crypto";
import { Budget } from "../../handler/budget";
import { connectorFor } from "../../handler/connect";
import { textReport, type Report } from "../../handler/report";
import { respond } from "../../handler/response";
import { runRefresh } from "../../handler/run";
import type { ViewSettings } from "../../handler/settings";
import type { Invocation } from "../../local/lambda/lambdaProcess";
import type { Run } from "../../soak/bed/bed";
import type { TestDatabase } from "../database";

/** Two views of a soak, the second of which reads the first. */
export const BALANCE: ViewSettings = { schema: "soak", name: "balance", allowBlocking: false };
export const SUMMARY: ViewSettings = { schema: "soak", name: "summary", allowBlocking: true };

export const MAKE_VIEWS = `
  CREATE SCHEMA soak;
  CREATE TABLE soak.entry (account integer, amount numeric);
  INSERT INTO soak.entry SELECT n % 10, n FROM generate_series(1, 100) n;
  CREATE MATERIALIZED VIEW soak.balance AS SELECT account, sum(amount) AS amount FROM soak.entry GROUP BY account;
  CREATE UNIQUE INDEX balance_key ON soak.balance (account);
  CREATE MATERIALIZED VIEW soak.summary AS SELECT count(*) AS accounts, sum(amount) AS amount FROM soak.balance;`;

/** A run that was. @param tell writes its log, as the function would. */
export function plantedRun(
  { outcome, ...more }: Partial<Invocation> & Pick<Invocation, "outcome">,
  tell: (report: Report) => void = () => undefined,
): Run {
  const lines: string[] = [];
  tell(textReport((line) => lines.push(line)));
  const now = Date.now();
  const invocation = {
    ...{ requestId: randomUUID(), outcome, startedEpochMs: now - 1_000, durationMs: 1_000, pid: 1 },
    ...more,
  };
  return { tick: 1, kind: "tick", invocation, lines, metrics: [], endedEpochMs: now };
}

/** A run of the function's own code. */
export async function realRun(
  database: Pick<TestDatabase, "databaseSettings">,
  views: ViewSettings[],
): Promise<Run> {
  const lines: string[] = [];
  const requestId = randomUUID();
  const startedEpochMs = Date.now();
  const outcomes = await runRefresh({
    ...{ views, waitForLock: false, runId: requestId },
    connector: connectorFor(database.databaseSettings()),
    budget: new Budget(8_000),
    report: textReport((line) => lines.push(...line.split("\n"))),
  });
  const common = { requestId, startedEpochMs, durationMs: Date.now() - startedEpochMs, pid: process.pid };
  const answered = (): Invocation => {
    try {
      return { ...common, outcome: "succeeded", value: respond(outcomes) };
    } catch (error) {
      const { name, message } = error as Error;
      return { ...common, outcome: "failed", error: { errorType: name, errorMessage: message } };
    }
  };
  return {
    ...{ tick: 1, kind: "tick", lines, metrics: [], endedEpochMs: Date.now() },
    invocation: answered(),
  };
}
