/** `npm start` in a process of its own, as a user sees it. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

export const root = resolve(__dirname, "..", "..");

/** A started `npm start`, with everything it prints. */
export interface Started {
  child: ChildProcess;
  output: () => string;
  /** Resolves when the output matches; rejects when the process ends before. */
  prints(pattern: RegExp): Promise<RegExpExecArray>;
  /** The exit code. */
  ended: Promise<number | null>;
}

/** Writes a stack file into the folder in which runs are started. */
export async function writeStack(
  folder: string,
  name: string,
  settings: Record<string, unknown>,
): Promise<void> {
  const lines = Object.entries(settings).map(
    ([key, value]) => `  matview-refresh:${key}: ${JSON.stringify(value)}\n`,
  );
  await writeFile(join(folder, `Pulumi.${name}.yaml`), `config:\n${lines.join("")}`);
}

/**
 * Runs the command that `npm start` runs, in a folder of stack files, with a pipe for output.
 * @param data folder of the embedded server, inside that folder.
 */
function startRun(
  folder: string,
  data: string,
  options: string[],
  env: Record<string, string> = {},
): Started {
  const args = ["-r", require.resolve("tsx/cjs"), join(root, "cli", "main.ts"), "start"];
  args.push("--data", join(folder, data));
  const child = spawn(process.execPath, [...args, ...options], {
    cwd: folder,
    env: { ...process.env, CI: "true", DATABASE_URL: undefined, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let text = "";
  const listeners = new Set<() => void>();
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
      for (const listener of listeners) listener();
    });
  }
  const ended = once(child, "close").then(([code]) => code as number | null);
  return {
    child,
    output: () => text,
    ended,
    prints: (pattern) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const found = pattern.exec(text);
          if (found === null) return;
          listeners.delete(look);
          resolve(found);
        };
        listeners.add(look);
        look();
        void ended.then(() => reject(new Error(`ended without printing ${String(pattern)}:\n${text}`)));
      }),
  };
}

/** A folder of stack files and the runs that are started in it, until the end of the surrounding `describe`. */
export function useRuns(name: string): { readonly folder: string; start: StartIn } {
  let folder = "";
  const all: Started[] = [];
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), `matview-refresh-${name}-`));
  });
  after(async () => {
    await Promise.all(
      all.map(async ({ child, ended }) => {
        child.kill("SIGTERM");
        await ended;
      }),
    );
    await rm(folder, { recursive: true, force: true });
  });
  return {
    get folder() {
      return folder;
    },
    start(data, options, env) {
      const started = startRun(folder, data, options, env);
      all.push(started);
      return started;
    },
  };
}

type StartIn = (data: string, options: string[], env?: Record<string, string>) => Started;

/** Lines of `ps` that name the folder: our servers do, by their data folder. */
export function processesMentioning(text: string): string {
  const lines = execFileSync("ps", ["-eo", "pid,args"], { encoding: "utf8" }).split("\n");
  return lines.filter((line) => line.includes(text)).join("\n");
}
