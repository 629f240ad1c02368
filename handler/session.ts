/** A run's way to the database: one session, opened again when it was lost, and what is tried again. */
import pRetry, { AbortError } from "p-retry";
import type { Budget } from "./budget";
import type { HistoryAccess } from "./catalog";
import type { Connector, Session } from "./connect";
import { RefreshFailure } from "./failure";
import type { FailureContext } from "./remedies";
import type { Report } from "./report";

/** What the sessions of a run are opened with. */
export interface SessionOptions {
  connector: Connector;
  budget: Budget;
  report: Report;
  /** Whether somebody with rights of his own looks on at a terminal. */
  attended?: boolean;
  /**
   * Gives up after this time where no server has answered that takes writes: somebody waits for this run, and most
   * likely the address is wrong. Undefined tries until the time is up, as a scheduled run should.
   */
  firstAnswerWithinMs?: number;
}

const FIRST_RETRY_AFTER_MS = 200;
const LONGEST_RETRY_PAUSE_MS = 3_000;
/** A try with less time would fail for that, and its failure would stand in the place of the one that tells why. */
const LEAST_TRY_MS = 500;

export class RunSession {
  private session: Session | undefined;
  private readonly startedMs = performance.now();
  /** Whether a server that takes writes has answered in this run. */
  hasAnswered = false;
  /** What the last catalog check said of the history table. */
  historyAccess: HistoryAccess | undefined;

  constructor(private readonly options: SessionOptions) {}

  get isOpen(): boolean {
    return this.session !== undefined && !this.session.lost;
  }

  /** What is known of any failure of this run. */
  get failureContext(): FailureContext {
    const { connector, attended = false } = this.options;
    return {
      address: connector.address,
      auth: connector.auth,
      user: connector.user,
      connected: this.session !== undefined,
      connectionLost: this.session?.lost ?? false,
      attended,
    };
  }

  /** The open session, or a new one. @throws whatever keeps it from being opened. */
  async get(): Promise<Session> {
    if (this.session !== undefined && !this.session.lost) return this.session;
    await this.close();
    this.options.report.connecting();
    this.session = await this.options.connector.open(this.options.budget);
    return this.session;
  }

  async close(): Promise<void> {
    await this.session?.close();
    this.session = undefined;
  }

  /**
   * Tries again with growing pauses while the failure is transient and there is time for the pause and the work.
   * Without a connection nobody can use the run's time, so that all of it may go into having one again.
   * @param leftMs how long the task may go on where the connection is not what failed.
   * @param mayTryAgain whether a transient failure is to be tried again at all.
   */
  async retrying<Result>(
    task: () => Promise<Result>,
    leftMs: () => number,
    mayTryAgain: (failure: RefreshFailure) => boolean = () => true,
  ): Promise<Result> {
    const { report, budget } = this.options;
    const shouldRetry = (error: unknown): error is RefreshFailure =>
      error instanceof RefreshFailure &&
      error.kind === "transient" &&
      mayTryAgain(error) &&
      Math.min(this.isOpen ? leftMs() : budget.workLeftMs(), this.patienceLeftMs()) >
        LONGEST_RETRY_PAUSE_MS + LEAST_TRY_MS;
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
        shouldRetry: ({ error }) => shouldRetry(error),
        onFailedAttempt: ({ error, attemptNumber }) => {
          if (shouldRetry(error)) report.retrying(error, attemptNumber);
        },
      },
    );
  }

  /** Milliseconds that the run still waits for a first answer; without limit once it came, or on schedule. */
  private patienceLeftMs(): number {
    const { firstAnswerWithinMs } = this.options;
    if (firstAnswerWithinMs === undefined || this.hasAnswered) return Number.POSITIVE_INFINITY;
    return firstAnswerWithinMs - (performance.now() - this.startedMs);
  }
}
