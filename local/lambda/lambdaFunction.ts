/** The deployed function on this machine, by Lambda's rules; lambdaProcess.ts is one of its execution environments. */
import { randomUUID } from "node:crypto";
import { basename, dirname, extname } from "node:path";
import { LambdaProcess, type Invocation, type LineListener } from "./lambdaProcess";

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

/**
 * The function on this machine: as many execution environments as there are runs at one time. A finished run
 * leaves its process warm for the next; a run that arrives meanwhile gets a process of its own, and one that
 * died or timed out is replaced by the next run. These are Lambda's rules.
 */
export class LambdaFunction {
  /** The most recently used one last: it is taken first, so that the others stay cold. */
  private idle: LambdaProcess[] = [];
  private readonly processes = new Set<LambdaProcess>();
  private readonly atWork = new Set<LambdaProcess>();
  private stopped = false;

  constructor(
    private readonly configuration: FunctionConfiguration,
    private readonly onLine: LineListener = () => {},
  ) {}

  /** Process ids of the execution environments that are alive. */
  get pids(): number[] {
    return [...this.processes].map(({ pid }) => pid);
  }

  /** The execution environments that have a run, begun or about to begin. */
  get busy(): LambdaProcess[] {
    return [...this.atWork];
  }

  /** Runs the function once; an error, a timeout and a crash are outcomes, not rejections. */
  async invoke(event: unknown): Promise<Invocation> {
    if (this.stopped) return stoppedInvocation();
    const environment = this.idle.pop() ?? this.start();
    this.atWork.add(environment);
    const invocation = await environment.invoke(event);
    this.atWork.delete(environment);
    if (environment.usable) this.idle.push(environment);
    return invocation;
  }

  /** Ends every process, also those in the middle of a run, and waits until they are gone. */
  async stop(): Promise<void> {
    this.stopped = true;
    const processes = [...this.processes];
    for (const one of processes) one.kill();
    await Promise.all(processes.map(({ gone }) => gone));
  }

  private start(): LambdaProcess {
    const { timeoutSeconds, memoryMb } = this.configuration;
    const environment = new LambdaProcess(
      { environment: processEnvironment(this.configuration), timeoutSeconds, memoryMb },
      this.onLine,
    );
    this.processes.add(environment);
    void environment.gone.then(() => {
      this.processes.delete(environment);
      this.idle = this.idle.filter((one) => one !== environment);
    });
    return environment;
  }
}

function stoppedInvocation(): Invocation {
  const error = { errorType: "Runtime.InitError", errorMessage: "the function was stopped" };
  return {
    requestId: randomUUID(),
    outcome: "crashed",
    error,
    startedEpochMs: Date.now(),
    durationMs: 0,
    pid: 0,
  };
}

/**
 * The environment Lambda gives a Node function: its own variables, then the function's. Nothing is taken over
 * from this machine, so a run cannot lean on what is set here and missing there.
 * @see https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime
 */
function processEnvironment(configuration: FunctionConfiguration): Record<string, string> {
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
