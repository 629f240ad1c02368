/** One execution environment of the function: a process of its own. */
import { type ChildProcess, fork } from "node:child_process";
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { TimeLimit } from "./timeLimit";

/** Lambda gives the code outside the handler 10 seconds. */
const initLimitMs = 10_000;

/** What a process that was paused may still do when its time is over. */
const awakeAtLeastMs = 1_000;

/** What one execution environment is started with. */
export interface ProcessConfiguration {
  /** The whole environment of the process: nothing of this machine's own is added. */
  environment: Record<string, string>;
  timeoutSeconds: number;
  memoryMb: number;
}

/** A line a run printed, and the run's request id; undefined outside a run (while the bundle loads). */
export type LineListener = (line: string, requestId: string | undefined) => void;

/** An error as Lambda reports it. */
export interface InvocationError {
  errorType: string;
  errorMessage: string;
}

/** How one run ended: `failed` threw, `timedOut` was killed at its timeout, `crashed` took its process along. */
export type InvocationOutcome = "succeeded" | "failed" | "timedOut" | "crashed";

/** One finished run of the function. */
export interface Invocation {
  requestId: string;
  outcome: InvocationOutcome;
  /** What the handler returned; with `succeeded` alone. */
  value?: unknown;
  error?: InvocationError;
  startedEpochMs: number;
  /** The run itself, without the start of a new process. */
  durationMs: number;
  /** Time the bundle took to load; only on the first run of a process. */
  initMs?: number;
  /** The process that ran it. */
  pid: number;
}

type Answer =
  | { type: "ready"; initMs: number }
  | { type: "succeeded"; value: unknown }
  | { type: "failed"; error: InvocationError };
type Message = Answer | { type: "output"; text: string } | { type: "memoryExceeded" };
type Ending = Answer | { type: "timedOut" } | { type: "gone"; reason: string };

/**
 * An execution environment lives from its cold start until it is killed, times out, or dies. It runs one
 * invocation at a time.
 */
export class LambdaProcess {
  /** Resolves when the process is gone, with the way Lambda names such an end. */
  readonly gone: Promise<string>;
  readonly pid: number;
  private readonly child: ChildProcess;
  private readonly loaded: Promise<Ending>;
  private isWarm = false;
  private isUsable = true;
  private exceededMemory = false;
  private requestId: string | undefined;
  private onAnswer: (answer: Answer) => void = () => undefined;
  private limit: TimeLimit | undefined;
  private isPaused = false;

  /** Starts the process, which begins to load the bundle. */
  constructor(
    private readonly configuration: ProcessConfiguration,
    private readonly onLine: LineListener,
  ) {
    const { environment, memoryMb } = configuration;
    this.child = fork(join(__dirname, "lambdaRuntime.cjs"), {
      env: environment,
      execArgv: [`--max-old-space-size=${memoryMb}`],
      stdio: ["ignore", "pipe", "pipe", "ipc"],
      // A process group of its own: a Ctrl-C in the terminal reaches the parent alone, which ends the run.
      detached: true,
    });
    this.pid = this.child.pid ?? 0;
    this.gone = new Promise((resolve) => {
      this.child.once("error", (error) => resolve(error.message));
      this.child.once("close", (code, signal) =>
        resolve(signal === null ? `exit status ${code}` : `signal: ${describeSignal(signal)}`),
      );
    });
    void this.gone.then(() => (this.isUsable = false));
    this.child.on("message", (message: Message) => this.receive(message));
    // What Node itself prints when it crashes; the handler's lines come as messages, in order with its answer.
    for (const stream of [this.child.stdout, this.child.stderr]) {
      if (stream) createInterface({ input: stream }).on("line", (line) => this.onLine(line, this.requestId));
    }
    this.loaded = this.nextEnding(initLimitMs);
  }

  /** Whether another run can be given to it. */
  get usable(): boolean {
    return this.isUsable;
  }

  /** Runs the handler once. Never rejects: an error, a timeout and a crash are outcomes. */
  async invoke(event: unknown): Promise<Invocation> {
    const requestId = randomUUID();
    const loaded = await this.loaded;
    const startedEpochMs = Date.now();
    const common = { requestId, startedEpochMs, pid: this.pid };
    if (loaded.type !== "ready") {
      this.kill();
      const error = { errorType: "Runtime.InitError", errorMessage: describeFailedInit(loaded) };
      return { ...common, outcome: "crashed", error, durationMs: 0 };
    }
    const started = performance.now();
    const timeoutMs = this.configuration.timeoutSeconds * 1000;
    const ending = this.nextEnding(timeoutMs);
    this.requestId = requestId;
    // A channel that broke means a process that died: `gone` reports it.
    this.child.send({ event, requestId, deadlineEpochMs: startedEpochMs + timeoutMs }, () => undefined);
    const result = this.resultOf(await ending);
    this.requestId = undefined;
    const init = this.isWarm ? {} : { initMs: loaded.initMs };
    this.isWarm = true;
    return { ...common, ...init, ...result, durationMs: performance.now() - started };
  }

  /** Ends the process at once, as Lambda does with an environment it no longer wants. */
  kill(): void {
    this.isUsable = false;
    this.child.kill("SIGKILL");
  }

  /** Stops the process where it is; its timeout goes on, and ends it where nothing resumes it before. */
  hang(): void {
    this.child.kill("SIGSTOP");
  }

  /** Stops the process where it is, as a machine that is paused: its timeout does not end it until it goes on. */
  pause(): void {
    this.isPaused = true;
    this.hang();
    this.limit?.hold();
  }

  /** Lets it go on. Where it was paused and its time is over by now, it has a moment before it is ended. */
  resume(): void {
    if (this.isPaused) this.limit?.goOn(awakeAtLeastMs);
    this.isPaused = false;
    this.child.kill("SIGCONT");
  }

  private receive(message: Message): void {
    if (message.type === "output") {
      for (const line of message.text.replace(/\n$/, "").split("\n")) this.onLine(line, this.requestId);
    } else if (message.type === "memoryExceeded") {
      this.exceededMemory = true;
      this.kill();
    } else {
      this.onAnswer(message);
    }
  }

  /** The next answer, unless the process ends or the time is up before; it is killed then. */
  private async nextEnding(limitMs: number): Promise<Ending> {
    const timedOut = new Promise<{ type: "timedOut" }>((resolve) => {
      this.limit = new TimeLimit(limitMs, () => resolve({ type: "timedOut" }));
      if (this.isPaused) this.limit.hold();
    });
    const ending = await Promise.race([
      new Promise<Answer>((resolve) => (this.onAnswer = resolve)),
      this.gone.then((reason) => ({ type: "gone", reason }) as const),
      timedOut,
    ]);
    this.limit?.end();
    this.limit = undefined;
    if (ending.type === "timedOut") this.kill();
    return ending;
  }

  private resultOf(ending: Ending): Pick<Invocation, "outcome" | "value" | "error"> {
    switch (ending.type) {
      case "succeeded":
        return { outcome: "succeeded", value: ending.value };
      case "failed":
        return { outcome: "failed", error: ending.error };
      case "timedOut": {
        const errorMessage = `Task timed out after ${this.configuration.timeoutSeconds.toFixed(2)} seconds`;
        return { outcome: "timedOut", error: { errorType: "Sandbox.Timedout", errorMessage } };
      }
      case "ready":
      case "gone": {
        const reason = ending.type === "gone" ? ending.reason : "loaded twice";
        const limit = `memory limit of ${this.configuration.memoryMb} MB exceeded, `;
        const errorMessage = `Runtime exited with error: ${this.exceededMemory ? limit : ""}${reason}`;
        return { outcome: "crashed", error: { errorType: "Runtime.ExitError", errorMessage } };
      }
    }
  }
}

function describeFailedInit(ending: Ending): string {
  if (ending.type === "timedOut") return `Init timed out after ${(initLimitMs / 1000).toFixed(2)} seconds`;
  if (ending.type === "failed") return `${ending.error.errorType}: ${ending.error.errorMessage}`;
  return `Runtime exited with error: ${ending.type === "gone" ? ending.reason : ending.type}`;
}

function describeSignal(signal: string): string {
  return { SIGKILL: "killed", SIGABRT: "aborted", SIGSEGV: "segmentation fault" }[signal] ?? signal;
}
