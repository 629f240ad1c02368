/**
 * The migration function: applies the migrations in the folder beside its bundle and makes sure that the refresh user
 * exists. It is invoked once an update, when a migration changed; what it throws fails that update.
 */
import path from "node:path";
import type { Context } from "aws-lambda";
import { connectorFor } from "../handler/connect";
import { Budget } from "../handler/budget";
import { parseEnvironment } from "../handler/parseEnvironment";
import { MIGRATIONS_FOLDER, REFRESH_USER_VARIABLE } from "./contract";
import { ensureRefreshUser } from "./refreshUser";
import { migrate } from "./runner";

/** What the update's log shows of a run. */
export interface MigrationResponse {
  applied: string[];
  alreadyApplied: string[];
}

/**
 * Applies what is pending.
 * @throws SettingsError for a wrong environment, a connection's error, or the runner's errors.
 */
export async function handler(
  _event: unknown,
  context: Pick<Context, "getRemainingTimeInMillis">,
): Promise<MigrationResponse> {
  const refreshUser = process.env[REFRESH_USER_VARIABLE];
  if (refreshUser === undefined || refreshUser === "") throw new Error(`${REFRESH_USER_VARIABLE} is not set`);
  const connector = connectorFor(parseEnvironment(process.env).database);
  const budget = new Budget(context.getRemainingTimeInMillis());
  const result = await migrate(() => connector.open(budget), {
    directories: [path.join(__dirname, MIGRATIONS_FOLDER)],
    lockWaitSeconds: Math.floor(budget.workLeftMs() / 1_000),
    onEvent: (event) => console.log(JSON.stringify(event)),
  });
  const session = await connector.open(budget);
  try {
    await ensureRefreshUser(session, refreshUser);
  } finally {
    await session.close();
  }
  return { applied: result.applied.map(({ name }) => name), alreadyApplied: result.alreadyApplied };
}
