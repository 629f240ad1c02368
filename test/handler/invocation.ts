import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";

/** A run of the bundle in a process of its own. */
export interface Invocation {
  child: ChildProcess;
  /** All that it wrote, and what the handler returned or threw, once the process is gone. */
  finished: Promise<{ stdout: string; stderr: string; returned?: unknown; thrown?: string; stack?: string }>;
}

const PROGRAM = `
  const [file, event, timeoutMs] = process.argv.slice(1);
  const endsAt = Date.now() + Number(timeoutMs);
  const context = { awsRequestId: "request-1", getRemainingTimeInMillis: () => endsAt - Date.now() };
  require(file).handler(JSON.parse(event), context).then(
    (returned) => process.send({ returned }),
    (error) => process.send({ thrown: String(error), stack: error.stack }),
  ).then(() => process.disconnect());
`;

/** Invokes a bundled handler on plain Node, with nothing in its environment but what is given. */
export function invokeBundle(
  file: string,
  environment: Record<string, string>,
  event: unknown,
  timeoutMs = 20_000,
): Invocation {
  const child = spawn(process.execPath, ["-e", PROGRAM, file, JSON.stringify(event), String(timeoutMs)], {
    env: environment,
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
  let stdout = "";
  let stderr = "";
  let answer: { returned?: unknown; thrown?: string; stack?: string } = {};
  child.stdout?.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  child.on("message", (message) => (answer = message as typeof answer));
  return { child, finished: once(child, "close").then(() => ({ stdout, stderr, ...answer })) };
}
