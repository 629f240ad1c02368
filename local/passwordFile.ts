import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isAlive } from "./livingProcess";

/** Ignored by git, and beside nothing that is read by others. */
const localFolder = join(__dirname, "..", ".local");

const namePattern = /^function-password-(\d+)-[0-9a-f]{8}$/;

/**
 * Writes the function's password into a file that only this user can read, for as long as the run lasts, and
 * removes the files of runs that were killed.
 */
export async function writePasswordFile(
  password: string,
  folder = localFolder,
): Promise<{ file: string; remove: () => void }> {
  await mkdir(folder, { recursive: true });
  await removeAbandoned(folder);
  const file = join(folder, `function-password-${process.pid}-${randomBytes(4).toString("hex")}`);
  await writeFile(file, password, { mode: 0o600, flag: "wx" });
  return { file, remove: () => rmSync(file, { force: true }) };
}

async function removeAbandoned(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const pid = namePattern.exec(name)?.[1];
    if (pid === undefined || isAlive(Number(pid))) continue;
    // Another user's cannot be removed; that user's next run does it.
    await rm(join(folder, name), { force: true }).catch(() => undefined);
  }
}
