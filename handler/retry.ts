/** When another try is made, and when not. */
import pRetry, { AbortError } from "p-retry";
import { RefreshFailure } from "./failure";
import type { Run } from "./run";
import type { SessionKeeper } from "./sessionKeeper";

const FIRST_RETRY_AFTER_MS = 200;
const LONGEST_RETRY_PAUSE_MS = 3_000;

/** Tries again with growing pauses while the failure is transient and there is time for the pause and the work. */
export async function retrying<Result>(
  run: Run,
  sessions: SessionKeeper,
  task: () => Promise<Result>,
): Promise<Result> {
  const mayTryAgain = (error: unknown): error is RefreshFailure =>
    error instanceof RefreshFailure &&
    error.kind === "transient" &&
    Math.min(run.deadline.workLeftMs(), sessions.patienceLeftMs()) > LONGEST_RETRY_PAUSE_MS;
  return pRetry(
    async () => {
      try {
        return await task();
      } catch (error) {
        // p-retry takes a TypeError for a bug unless it knows the message; ours are failures by now.
        throw error instanceof Error ? error : new AbortError(String(error));
      }
    },
    {
      retries: Number.POSITIVE_INFINITY,
      minTimeout: FIRST_RETRY_AFTER_MS,
      maxTimeout: LONGEST_RETRY_PAUSE_MS,
      randomize: true,
      shouldRetry: ({ error }) => mayTryAgain(error),
      onFailedAttempt: ({ error, attemptNumber }) => {
        if (mayTryAgain(error)) run.report.retrying(error, attemptNumber);
      },
    },
  );
}
