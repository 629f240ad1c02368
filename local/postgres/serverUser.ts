/** Who runs the server when root starts it: PostgreSQL refuses root. No system user is ever created. */
import { spawnSync, type SpawnOptions } from "node:child_process";
import { stat } from "node:fs/promises";
import path from "node:path";
import { PostgresStartError } from "./serverFolder";

/** A system user; undefined stands for the user who runs this. */
export interface SystemUser {
  uid: number;
  gid: number;
}

/** A program and the options with which it runs as another user. */
export interface UserCommand {
  file: string;
  args: string[];
  options: Pick<SpawnOptions, "uid" | "gid">;
}

/**
 * For root the owner of the folder, or of the nearest one above it that exists; `nobody` where that is root or a
 * user this machine does not know (a mounted clone), as whom initdb would not run.
 */
export async function chooseServerUser(directory: string): Promise<SystemUser | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const owner = await ownerOfNearestFolder(directory);
  if (owner.uid !== 0 && spawnSync("id", [String(owner.uid)]).status === 0) return owner;
  const [uid, gid] = ["-u", "-g"].map((what) => Number(spawnSync("id", [what, "nobody"]).stdout));
  if (!uid || !gid) {
    throw new PostgresStartError(
      "PostgreSQL refuses to run as root, and there is no user `nobody` to run it as. Run this as an ordinary user.",
    );
  }
  return { uid, gid };
}

/**
 * How to run a command as that user. Where a folder on the way to the files is closed to that user (a clone under
 * /root, mode 700), the command keeps one capability of root's, CAP_DAC_OVERRIDE, to reach them.
 * @throws PostgresStartError when that is needed and setpriv cannot do it
 */
export function commandAs(
  user: SystemUser | undefined,
  [file = "", ...args]: string[],
  neededFiles: string[],
): UserCommand {
  if (user === undefined) return { file, args, options: {} };
  const reachable = spawnSync("ls", ["-d", file, ...neededFiles], { ...user, cwd: "/" }).status === 0;
  if (reachable) return { file, args, options: user };
  const setpriv = [
    `--reuid=${user.uid}`,
    `--regid=${user.gid}`,
    "--clear-groups",
    "--no-new-privs",
    // initdb asks access(2) whether it may run the server program. The kernel answers that call without the
    // capabilities of a user other than root, unless this bit is set.
    "--securebits=+no_setuid_fixup",
    "--inh-caps=-all,+dac_override",
    "--ambient-caps=-all,+dac_override",
    "--",
  ];
  const trial = spawnSync("setpriv", [...setpriv, "true"], { encoding: "utf8" });
  if (trial.status !== 0) {
    throw new PostgresStartError(
      `PostgreSQL refuses to run as root, and a folder on the way to ${neededFiles.join(" or ")} is closed to ` +
        `user ${user.uid}. setpriv, which would let it through, ` +
        `${trial.error ? "is not installed" : `fails here: ${trial.stderr.trim()}`}. Install it (package ` +
        "util-linux), move the clone to a folder that every user may enter, or run this as an ordinary user.",
    );
  }
  return { file: "setpriv", args: [...setpriv, file, ...args], options: {} };
}

async function ownerOfNearestFolder(folder: string): Promise<SystemUser> {
  const found = await stat(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
  });
  return found ?? ownerOfNearestFolder(path.dirname(folder));
}
