import { randomUUID } from "node:crypto";
import { basename, dirname, extname } from "node:path";
import { LambdaProcess, type Invocation } from "./lambdaProcess";

/** The function as it is deployed, in plain values. */
export interface FunctionConfiguration {
  name: string;
  /** The bundle; its exported `handler` is called. */
  bundleFile: string;
  timeoutSeconds: number;
  memoryMb: number;
  /** The deployed environment contract and nothing else. */
  environment: Record<string, string>;
  /** Where it would be deployed; only names are made of it. */
  region: string;
  /** Such as `nodejs24.x`; named in AWS_EXECUTION_ENV as Lambda does. */
  runtime: string;
}

/** A line a run printed, and the run's request id; undefined outside a run (while the bundle loads). */
export type LineListener = (line: string, requestId: string | undefined) => void;

/**
 * The function on this machine: as many execution environments as there are runs at one time. A finished run
 * leaves its process warm for the next; a run that arrives meanwhile gets a process of its own, and one that
 * died or timed out is replaced by the next run. These are Lambda's rules.
 */
export class LambdaFunction {
  private readonly idle: LambdaProcess[] = [];
  private readonly processes = new Set<LambdaProcess>();
  private readonly starting = new Set<Promise<unknown>>();
  private readonly requestIds = new Map<LambdaProcess, string>();
  private stopped = false;

  constructor(
    private readonly configuration: FunctionConfiguration,
    private readonly onLine: LineListener = () => {},
  ) {}

  /** Process ids of the execution environments that are alive. */
  get pids(): number[] {
    return [...this.processes].filter((one) => one.usable).map((one) => one.pid);
  }

  /** Runs the function once; an error, a timeout and a crash are outcomes, not rejections. */
  async invoke(event: unknown): Promise<Invocation> {
    const requestId = randomUUID();
    const startedEpochMs = Date.now();
    let environment: LambdaProcess;
    try {
      environment = this.takeIdle() ?? (await this.start());
    } catch (error) {
      const errorMessage = error instanceof Error ? error.message : String(error);
      return {
        requestId,
        outcome: "crashed",
        error: { errorType: "Runtime.InitError", errorMessage },
        startedEpochMs,
        durationMs: Date.now() - startedEpochMs,
        pid: 0,
      };
    }
    this.requestIds.set(environment, requestId);
    const invocation = await environment.invoke(event, requestId);
    this.requestIds.delete(environment);
    if (environment.usable && !this.stopped) this.idle.push(environment);
    return invocation;
  }

  /** Ends every process, also those in the middle of a run, and waits until they are gone. */
  async stop(): Promise<void> {
    this.stopped = true;
    await Promise.allSettled(this.starting);
    await Promise.all(
      [...this.processes].map(async (one) => {
        one.kill();
        await one.gone;
      }),
    );
  }

  /** The most recently used one first, so that the others stay cold. */
  private takeIdle(): LambdaProcess | undefined {
    for (;;) {
      const candidate = this.idle.pop();
      if (candidate === undefined || candidate.usable) return candidate;
    }
  }

  private start(): Promise<LambdaProcess> {
    if (this.stopped) return Promise.reject(new Error("the function was stopped"));
    const start = this.startProcess();
    this.starting.add(start);
    return start.finally(() => this.starting.delete(start));
  }

  private async startProcess(): Promise<LambdaProcess> {
    const { timeoutSeconds, memoryMb } = this.configuration;
    const own: { process?: LambdaProcess } = {};
    const environment = await LambdaProcess.start(
      { environment: processEnvironment(this.configuration), timeoutSeconds, memoryMb },
      (line) => this.onLine(line, own.process && this.requestIds.get(own.process)),
    );
    own.process = environment;
    this.processes.add(environment);
    void environment.gone.then(() => this.processes.delete(environment));
    return environment;
  }
}

/**
 * The environment Lambda gives a Node function: its own variables, then the function's. Nothing is taken over
 * from this machine, so a run cannot lean on what is set here and missing there.
 * @see https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime
 */
export function processEnvironment(configuration: FunctionConfiguration): Record<string, string> {
  const { name, bundleFile, memoryMb, region, runtime, environment } = configuration;
  return {
    AWS_EXECUTION_ENV: `AWS_Lambda_${runtime}`,
    AWS_LAMBDA_FUNCTION_NAME: name,
    AWS_LAMBDA_FUNCTION_MEMORY_SIZE: String(memoryMb),
    AWS_LAMBDA_FUNCTION_VERSION: "$LATEST",
    AWS_LAMBDA_INITIALIZATION_TYPE: "on-demand",
    AWS_LAMBDA_LOG_GROUP_NAME: `/aws/lambda/${name}`,
    AWS_LAMBDA_LOG_STREAM_NAME: "local",
    AWS_REGION: region,
    LAMBDA_TASK_ROOT: dirname(bundleFile),
    _HANDLER: `${basename(bundleFile, extname(bundleFile))}.handler`,
    TZ: "UTC",
    LANG: "en_US.UTF-8",
    ...environment,
  };
}
