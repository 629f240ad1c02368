/** psql as users have it, where it is installed. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { Bed } from "./bed";

const run = promisify(execFile);

export async function hasPsql(): Promise<boolean> {
  return run("psql", ["--version"]).then(
    () => true,
    () => false,
  );
}

/** Starts psql, runs the statement, and ends. */
export async function psql({ connection, passFile }: Bed, statement: string): Promise<void> {
  await run("psql", ["--no-psqlrc", "--quiet", "-c", statement], {
    env: {
      PATH: process.env.PATH,
      PGHOST: connection.host,
      PGPORT: String(connection.port),
      PGUSER: connection.user,
      PGPASSFILE: passFile,
      PGDATABASE: connection.database,
      PGSSLMODE: "disable",
    },
  });
}
