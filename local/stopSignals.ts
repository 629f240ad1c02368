/** How a run ends: the signals that stop it, and what has to be undone then. */

/** Ctrl-C, a request to end, and a terminal that was closed. */
const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * Ctrl-C reaches every process of the terminal, and npm passes its own copy on: what arrives so soon after the
 * first signal is the same key pressed once.
 */
const sameSignalMs = 1_000;

/** Turns the first signal into an abort and the second into an end without goodbye. */
export class StopSignals {
  private readonly controller = new AbortController();
  private readonly forced: (() => void)[] = [];
  private firstEpochMs = 0;
  private readonly listener = (name: NodeJS.Signals): void => this.receive(name);
  private readonly onBrokenPipe = (): void => this.controller.abort("the output was closed");

  constructor() {
    for (const signal of signals) process.on(signal, this.listener);
    // `npm start | head`: nobody reads on, so the run ends as if it had been asked to.
    process.stdout.on("error", this.onBrokenPipe);
  }

  /** Aborted by the first signal; the reason is its name. */
  get signal(): AbortSignal {
    return this.controller.signal;
  }

  /** Something to end at once, without waiting, when a second signal comes. */
  onForce(end: () => void): void {
    this.forced.push(end);
  }

  /** Gives the signals back their usual effect. */
  release(): void {
    for (const signal of signals) process.off(signal, this.listener);
  }

  private receive(name: NodeJS.Signals): void {
    if (!this.controller.signal.aborted) {
      this.firstEpochMs = Date.now();
      return this.controller.abort(name);
    }
    if (Date.now() - this.firstEpochMs < sameSignalMs) return;
    for (const end of this.forced) end();
    process.exit(name === "SIGTERM" ? 143 : 130);
  }
}

/** What has to be undone at the end of a run, last thing first, however the run ends. */
export class Cleanup {
  private readonly steps: (() => Promise<void>)[] = [];

  add(step: () => Promise<void>): void {
    this.steps.push(step);
  }

  /** Runs every step, also when one fails. @returns what failed */
  async run(): Promise<unknown[]> {
    const failures: unknown[] = [];
    for (let step = this.steps.pop(); step !== undefined; step = this.steps.pop()) {
      await step().catch((error: unknown) => failures.push(error));
    }
    return failures;
  }
}
