/** pgbouncer between wire and server, as RDS Proxy would be: one connection of the server serves many transactions. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { chown, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { ClientConfig } from "pg";
import { withClient } from "../../local/postgres/database";
import { chooseServerUser, commandAs } from "../../local/postgres/serverUser";

const PROGRAM = "/usr/sbin/pgbouncer";

interface Bouncer {
  readonly port: number;
  /** Resolves when it and its connections are gone. */
  stop(): Promise<void>;
}

/** @returns why none can be started on this machine; undefined where one can */
export function whyNoBouncer(): string | undefined {
  return existsSync(PROGRAM) ? undefined : `${PROGRAM} is not installed (package pgbouncer)`;
}

/**
 * Pools by transaction, the way RDS Proxy multiplexes. Every login of the server may use it with its own password: who
 * knows that is found out by SCRAM, with what the server has of each.
 * @param folder is made, and removed at the end
 * @param server as the superuser
 */
export async function startBouncer(folder: string, server: ClientConfig): Promise<Bouncer> {
  const user = await chooseServerUser(folder);
  await mkdir(folder, { mode: 0o700 });
  const port = await freePort();
  const files = {
    "users.txt": `"${server.user}" "${server.password as string}"\n`,
    "bouncer.ini": settings(folder, port, server),
  };
  for (const [name, text] of Object.entries(files)) {
    await writeFile(path.join(folder, name), text, { mode: 0o600 });
    if (user !== undefined) await chown(path.join(folder, name), user.uid, user.gid);
  }
  if (user !== undefined) await chown(folder, user.uid, user.gid);
  const { file, args, options } = commandAs(user, [PROGRAM, path.join(folder, "bouncer.ini")], [folder]);
  const child = spawn(file, args, { ...options, cwd: "/", env: {}, stdio: "ignore" });
  const ended = once(child, "exit").then(() => undefined);
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGTERM");
    await ended;
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await answers({ ...server, options: undefined, port }, ended, path.join(folder, "log"));
    return { port, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

function settings(folder: string, port: number, server: ClientConfig): string {
  return `
[databases]
* = host=${server.host} port=${server.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
logfile = ${path.join(folder, "log")}
auth_type = scram-sha-256
auth_file = ${path.join(folder, "users.txt")}
auth_user = ${server.user}
auth_query = SELECT usename, passwd FROM pg_shadow WHERE usename = $1
pool_mode = transaction
default_pool_size = 4
server_login_retry = 0.2
ignore_startup_parameters = extra_float_digits
`;
}

/** Resolves when it takes logins. */
async function answers(connection: ClientConfig, ended: Promise<void>, log: string): Promise<void> {
  let hasEnded = false;
  void ended.then(() => (hasEnded = true));
  for (;;) {
    try {
      return await withClient(connection, async (client) => void (await client.query("SELECT")));
    } catch (error) {
      if (hasEnded)
        throw new Error(`pgbouncer did not start:\n${await readFile(log, "utf8").catch(() => "")}`);
      if ((error as NodeJS.ErrnoException).code !== "ECONNREFUSED") throw error;
      await pause(10);
    }
  }
}
