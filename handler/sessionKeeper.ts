/** The one session of a run. */
import type { Session } from "./connect";
import type { Run } from "./run";

/** The run's one session, opened again when the server or the network has taken it away. */
export class SessionKeeper {
  private session: Session | undefined;
  /** Whether the last history access seen allowed pruning. */
  mayPrune = false;
  /** Whether a server that takes writes has answered in this run. */
  hasBegun = false;
  private readonly startedMs = performance.now();

  constructor(private readonly run: Run) {}

  get isLost(): boolean {
    return this.session?.lost ?? false;
  }

  get isOpen(): boolean {
    return this.session !== undefined && !this.session.lost;
  }

  /** Milliseconds that the run still waits for a first answer; without limit once it came, or on schedule. */
  patienceLeftMs(): number {
    const { firstAnswerWithinMs } = this.run;
    if (firstAnswerWithinMs === undefined || this.hasBegun) return Number.POSITIVE_INFINITY;
    return firstAnswerWithinMs - (performance.now() - this.startedMs);
  }

  async get(): Promise<Session> {
    if (this.session !== undefined && !this.session.lost) return this.session;
    await this.close();
    this.run.report.connecting();
    this.session = await this.run.connector.open(this.run.deadline);
    return this.session;
  }

  async close(): Promise<void> {
    await this.session?.close();
    this.session = undefined;
  }
}
