/** A command of this repository, run as a person runs it. */
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { text } from "node:stream/consumers";

const REPOSITORY = path.join(__dirname, "..");
/** Three of them fit into the longest tick. */
const LONGEST_COMMAND_MS = 30_000;

/** Where a command logs in, and as whom. */
interface Login {
  host: string;
  port: number;
  database: string;
  user: string;
  password: string;
  /** PEM file of the CA of the server's certificate; without TLS unless given. */
  caFile?: string;
}

export interface CommandResult {
  /** Null where it had to be ended. */
  exitCode: number | null;
  stdout: string;
  stderr: string;
}

/**
 * Runs it in the repository. The password stands in a file that lives as long as the command.
 * @param folder for that file
 */
export async function runCommand(command: string, login: Login, folder: string): Promise<CommandResult> {
  const { host, port, database, user, password, caFile } = login;
  const passwordFile = path.join(folder, `pgpass-${randomUUID()}`);
  // https://www.postgresql.org/docs/current/libpq-pgpass.html
  const line = `*:*:*:*:${password.replaceAll(/[\\:]/g, String.raw`\$&`)}\n`;
  await writeFile(passwordFile, line, { mode: 0o600, flag: "wx" });
  let limit: NodeJS.Timeout | undefined;
  try {
    // A group of its own, so that what npm runs can be ended with it.
    const child = spawn("sh", ["-c", command], {
      cwd: REPOSITORY,
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
      env: {
        PATH: process.env.PATH,
        HOME: process.env.HOME,
        ...{ PGHOST: host, PGPORT: String(port), PGUSER: user, PGDATABASE: database },
        PGPASSFILE: passwordFile,
        ...(caFile !== undefined && { PGSSLMODE: "verify-full", PGSSLROOTCERT: caFile }),
      },
    });
    limit = setTimeout(() => process.kill(-(child.pid as number), "SIGKILL"), LONGEST_COMMAND_MS);
    const [[exitCode], stdout, stderr] = await Promise.all([
      once(child, "close") as Promise<[number | null]>,
      text(child.stdout),
      text(child.stderr),
    ]);
    return { exitCode, stdout, stderr };
  } finally {
    clearTimeout(limit);
    await rm(passwordFile, { force: true });
  }
}
