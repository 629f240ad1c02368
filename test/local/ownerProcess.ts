import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { createInterface } from "node:readline";

/** What an owner process said of its start: the server, or why there is none. */
export interface OwnerAnswer {
  pid?: number;
  port?: number;
  error?: string;
  message?: string;
}

/** A process that runs postgresOwner.ts. */
export interface OwnerProcess {
  pid: number;
  /** Settles with the first line it prints. */
  answer: Promise<OwnerAnswer>;
  /** Settles with its exit code, or null when a signal ended it. */
  ended: Promise<number | null>;
  kill(signal: NodeJS.Signals): void;
}

/** Starts a process that starts a server on the folder, as another user when one is given. */
export function startOwner(dataDirectory: string, user?: { uid: number; gid: number }): OwnerProcess {
  const script = path.join(__dirname, "postgresOwner.ts");
  const child = spawn(process.execPath, ["-r", "tsx/cjs", script, dataDirectory], {
    cwd: path.join(__dirname, "..", ".."),
    stdio: ["ignore", "pipe", "inherit"],
    detached: true,
    ...user,
  });
  const ended = once(child, "exit").then(([code]) => code as number | null);
  const lines = createInterface({ input: child.stdout });
  const answer = Promise.race([
    once(lines, "line").then(([line]) => JSON.parse(String(line)) as OwnerAnswer),
    ended.then((code) => ({ error: "Ended", message: `ended with ${code} without an answer` })),
  ]);
  const pid = child.pid ?? 0;
  return {
    pid,
    answer,
    ended,
    kill: (signal) => void child.kill(signal),
  };
}
