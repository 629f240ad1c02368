import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { residentMemoryMb } from "./memory";

/** Lambda gives the code outside the handler 10 seconds. */
const initLimitMs = 10_000;
const memoryCheckMs = 200;

/** What one execution environment is started with. */
export interface ProcessConfiguration {
  /** The whole environment of the process: nothing of this machine's own is added. */
  environment: Record<string, string>;
  timeoutSeconds: number;
  memoryMb: number;
}

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
  peakMemoryMb?: number;
}

interface Result {
  type: "result";
  requestId: string;
  value?: unknown;
  error?: InvocationError;
  peakMemoryKb: number;
}
type Message = { type: "ready"; initMs: number } | { type: "initFailed"; error: InvocationError } | Result;

type Ending = { result: Result } | { outcome: "timedOut" | "crashed"; error: InvocationError };

/**
 * One execution environment of the function: a process of its own that lives from its cold start until it is
 * stopped, times out, or dies. It runs one invocation at a time.
 */
export class LambdaProcess {
  /** Settles when the process is gone, with the way Lambda names such an end. */
  readonly gone: Promise<string>;
  readonly pid: number;
  private initMs: number | undefined;
  private alive = true;
  /** Called with the request id of each "END" line; both pipes print one. */
  private readonly onEnd = new Map<string, () => void>();
  private exceededMemory = false;

  private constructor(
    private readonly child: ChildProcess,
    private readonly configuration: ProcessConfiguration,
    onLine: (line: string) => void,
  ) {
    this.pid = child.pid ?? 0;
    this.gone = new Promise((resolve) => {
      child.once("error", (error) => resolve(error.message));
      child.once("close", (code, signal) =>
        resolve(signal === null ? `exit status ${code}` : `signal: ${describeSignal(signal)}`),
      );
    });
    void this.gone.then(() => (this.alive = false));
    for (const stream of [child.stdout, child.stderr]) {
      if (stream === null) continue;
      createInterface({ input: stream }).on("line", (line) => {
        const ended = /^END RequestId: (\S+)$/.exec(line)?.[1];
        const end = ended === undefined ? undefined : this.onEnd.get(ended);
        if (end === undefined) onLine(line);
        else end();
      });
    }
  }

  /**
   * Starts a process and waits until it has loaded the bundle (a cold start).
   * @throws Error when the bundle cannot be loaded within Lambda's 10 seconds
   */
  static async start(
    configuration: ProcessConfiguration,
    onLine: (line: string) => void,
  ): Promise<LambdaProcess> {
    const child = spawn(
      process.execPath,
      [`--max-old-space-size=${configuration.memoryMb}`, join(__dirname, "lambdaRuntime.cjs")],
      {
        env: configuration.environment,
        stdio: ["ignore", "pipe", "pipe", "ipc"],
        // A process group of its own: a Ctrl-C in the terminal reaches the parent alone, which ends the run.
        detached: true,
      },
    );
    const started = new LambdaProcess(child, configuration, onLine);
    const over = new AbortController();
    const failure = await Promise.race([
      new Promise<string | undefined>((resolve) =>
        child.once("message", (message: Message) => resolve(started.noteInit(message))),
      ),
      started.gone.then((reason) => `Runtime exited with error: ${reason}`),
      elapse(initLimitMs, over.signal).then(() => "Init timed out after 10.00 seconds"),
    ]);
    over.abort();
    if (failure !== undefined) {
      started.kill();
      throw new Error(failure);
    }
    return started;
  }

  /** Whether another run can be given to it. */
  get usable(): boolean {
    return this.alive;
  }

  /** Runs the handler once. Never rejects: an error, a timeout and a crash are outcomes. */
  async invoke(event: unknown, requestId: string): Promise<Invocation> {
    const startedEpochMs = Date.now();
    const started = performance.now();
    const initMs = this.initMs;
    this.initMs = undefined;
    const over = new AbortController();
    const memory = this.watchMemory(over.signal);
    const ending = await Promise.race([
      this.ask(event, requestId, startedEpochMs, over.signal),
      this.timeout(over.signal),
      this.gone.then((reason): Ending => this.crash(reason)),
    ]).finally(() => over.abort());
    const durationMs = performance.now() - started;
    const common = { requestId, startedEpochMs, durationMs, pid: this.pid };
    const optional = { ...(initMs !== undefined && { initMs }) };
    if (!("result" in ending)) {
      return { ...common, ...optional, ...ending, peakMemoryMb: memory.peakMb() };
    }
    const { value, error, peakMemoryKb } = ending.result;
    const outcome = error === undefined ? "succeeded" : "failed";
    return { ...common, ...optional, outcome, value, error, peakMemoryMb: peakMemoryKb / 1024 };
  }

  /** Ends the process at once, as Lambda does with an environment it no longer wants. */
  kill(): void {
    this.alive = false;
    this.child.kill("SIGKILL");
  }

  private noteInit(message: Message): string | undefined {
    if (message.type === "ready") {
      this.initMs = message.initMs;
      return undefined;
    }
    return message.type === "initFailed"
      ? `${message.error.errorType}: ${message.error.errorMessage}`
      : "the handler answered before it was asked";
  }

  /** Sends the invocation; resolves when its answer and every line it printed have been read. */
  private async ask(
    event: unknown,
    requestId: string,
    startedEpochMs: number,
    over: AbortSignal,
  ): Promise<Ending> {
    const answered = new Promise<Result>((resolve) => {
      const listen = (message: Message): void => {
        if (message.type === "result" && message.requestId === requestId) resolve(message);
      };
      this.child.on("message", listen);
      over.addEventListener("abort", () => this.child.off("message", listen), { once: true });
    });
    const printed = new Promise<void>((resolve) => {
      let pipes = 2;
      this.onEnd.set(requestId, () => {
        pipes -= 1;
        if (pipes === 0) resolve();
      });
      over.addEventListener("abort", () => this.onEnd.delete(requestId), { once: true });
    });
    const deadlineEpochMs = startedEpochMs + this.configuration.timeoutSeconds * 1000;
    this.child.send({ type: "invoke", event, requestId, deadlineEpochMs }, () => {
      // A channel that broke means a process that died: `gone` reports it.
    });
    const [result] = await Promise.all([answered, printed]);
    return { result };
  }

  private async timeout(over: AbortSignal): Promise<Ending> {
    const { timeoutSeconds } = this.configuration;
    await elapse(timeoutSeconds * 1000, over);
    this.kill();
    const errorMessage = `Task timed out after ${timeoutSeconds.toFixed(2)} seconds`;
    return { outcome: "timedOut", error: { errorType: "Sandbox.Timedout", errorMessage } };
  }

  private crash(reason: string): Ending {
    const detail = this.exceededMemory
      ? `memory limit of ${this.configuration.memoryMb} MB exceeded, signal: killed`
      : reason;
    const errorMessage = `Runtime exited with error: ${detail}`;
    return { outcome: "crashed", error: { errorType: "Runtime.ExitError", errorMessage } };
  }

  /** Kills the process when it holds more than its limit; V8's own limit covers only the JavaScript heap. */
  private watchMemory(over: AbortSignal): { peakMb: () => number | undefined } {
    let peakMb: number | undefined;
    const check = async (): Promise<void> => {
      const nowMb = await residentMemoryMb(this.pid);
      if (nowMb === undefined || over.aborted) return;
      peakMb = Math.max(peakMb ?? 0, nowMb);
      if (nowMb > this.configuration.memoryMb) {
        this.exceededMemory = true;
        this.kill();
      }
    };
    const timer = setInterval(() => void check(), memoryCheckMs);
    over.addEventListener("abort", () => clearInterval(timer), { once: true });
    return { peakMb: () => peakMb };
  }
}

function describeSignal(signal: string): string {
  return { SIGKILL: "killed", SIGABRT: "aborted", SIGSEGV: "segmentation fault" }[signal] ?? signal;
}

/** Resolves after the time; never when it is called off before. */
function elapse(milliseconds: number, calledOff: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    calledOff.addEventListener("abort", () => clearTimeout(timer), { once: true });
  });
}
