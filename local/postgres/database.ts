/** The scanner's database on the local server, and the function's way into it. */
import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Client, type ClientConfig, escapeIdentifier, escapeLiteral } from "pg";
import type { DatabaseSettings } from "../../handler/settings";
import { startPostgres, type LocalPostgres } from "./postgres";
import { isRunning } from "./serverFolder";

/** The database of a run, whoever started its server. */
export interface RunDatabase {
  /** Such as `PostgreSQL 18.4 at 127.0.0.1:5432, database scanner`. */
  description: string;
  /** For migrations, workload and freshness. */
  connection: ClientConfig;
  /** The server that this run started; absent when it was there already. */
  server?: LocalPostgres;
}

/** A server that was there before the run, as DATABASE_URL names it. */
export interface ExistingServer {
  connection: ClientConfig & { host: string; port: number; database: string; user: string };
  password: string;
  /** The function's own choice: it verifies, or speaks plain TCP to this machine. */
  tls: Pick<DatabaseSettings, "tls" | "caFile">;
}

const databaseName = "scanner";

/** The function logs in as this role: a member of matview_refresher and nothing else. */
const functionRole = "matview_refresh_local";

/**
 * Starts the embedded server and makes sure of the scanner's database.
 * @param fresh drop the database of earlier runs first
 */
export async function startEmbeddedDatabase(
  dataDirectory: string,
  fresh: boolean,
  onProgress: (message: string) => void,
): Promise<RunDatabase & { server: LocalPostgres }> {
  const server = await startPostgres({ dataDirectory, onProgress });
  try {
    const { host, port, user, password } = server;
    const connection = { host, port, user, password, ssl: false };
    await withClient({ ...connection, database: "postgres" }, async (client) => {
      const name = escapeIdentifier(databaseName);
      // FORCE: a server taken over from a run that was killed may still have its sessions.
      if (fresh) await client.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
      const { rowCount } = await client.query("SELECT FROM pg_database WHERE datname = $1", [databaseName]);
      if (rowCount === 0) await client.query(`CREATE DATABASE ${name}`);
    });
    const scanner = { ...connection, database: databaseName };
    const version = await withClient(scanner, serverVersion);
    const description = `PostgreSQL ${version} at ${host}:${port}, database ${databaseName}`;
    return { description, connection: scanner, server };
  } catch (error) {
    await server.stop();
    throw error;
  }
}

/**
 * Gives the function a login of its own on the embedded server, with a password of this run alone. It may do
 * what matview_refresher may: a grant that is missing from the migrations shows here and not in production.
 */
export async function createFunctionLogin(
  connection: ClientConfig,
): Promise<{ user: string; password: string }> {
  const password = randomBytes(24).toString("base64url");
  await withClient(connection, async (client) => {
    const role = escapeIdentifier(functionRole);
    const { rowCount } = await client.query("SELECT FROM pg_roles WHERE rolname = $1", [functionRole]);
    if (rowCount === 0) await client.query(`CREATE ROLE ${role}`);
    await client.query(`ALTER ROLE ${role} LOGIN PASSWORD ${escapeLiteral(password)}`);
    await client.query(`GRANT matview_refresher TO ${role}`);
  });
  return { user: functionRole, password };
}

/**
 * Writes the function's password into a file that only this user can read, for as long as the run lasts, and
 * removes the files of runs that were killed.
 * @param folder `.local` unless given: ignored by git, and holds nothing that others read
 */
export async function writePasswordFile(
  password: string,
  folder = join(__dirname, "..", "..", ".local"),
): Promise<{ file: string; remove: () => void }> {
  await mkdir(folder, { recursive: true });
  for (const name of await readdir(folder)) {
    const pid = /^function-password-(\d+)-[0-9a-f]{8}$/.exec(name)?.[1];
    if (pid === undefined || (await isRunning(Number(pid)))) continue;
    // Another user's cannot be removed; that user's next run does it.
    await rm(join(folder, name), { force: true }).catch(() => undefined);
  }
  const file = join(folder, `function-password-${process.pid}-${randomBytes(4).toString("hex")}`);
  await writeFile(file, password, { mode: 0o600, flag: "wx" });
  return { file, remove: () => rmSync(file, { force: true }) };
}

/** Names a server for the function; TLS as the caller knows it. */
export function databaseSettings(
  connection: ClientConfig,
  user: string,
  passwordFile: string,
  tls: Pick<DatabaseSettings, "tls" | "caFile">,
): DatabaseSettings {
  return {
    host: connection.host ?? "localhost",
    port: String(connection.port ?? 5432),
    name: connection.database ?? user,
    user,
    auth: "password",
    passwordFile,
    ...tls,
  };
}

/** Such as `18.4`. */
export async function serverVersion(client: Client): Promise<string> {
  const { rows } = await client.query<{ server_version: string }>("SHOW server_version");
  return rows[0]?.server_version.split(" ")[0] ?? "";
}

/** Opens a connection for one piece of work. */
export async function withClient<Result>(
  connection: ClientConfig,
  work: (client: Client) => Promise<Result>,
): Promise<Result> {
  const client = new Client({ connectionTimeoutMillis: 10_000, ...connection });
  // A lost connection also rejects the statement under way; without a listener it would end the process.
  client.on("error", () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}
