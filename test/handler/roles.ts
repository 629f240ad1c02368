import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { Client, escapeIdentifier, escapeLiteral } from "pg";
import type { DatabaseSettings } from "../../handler/settings";
import type { TestDatabase } from "../database";

/** A login role that one `describe` has for itself. */
export interface TestRole {
  readonly name: string;
  readonly password: string;
  /** What makes the function log in as this role. */
  settings(): Partial<DatabaseSettings>;
}

/** Removed by a hook of the whole run, which is registered outside of any describe. */
const directories: string[] = [];
after(() => Promise.all(directories.splice(0).map((directory) => rm(directory, { recursive: true }))));

/** A password file for one test; its folder goes with the last test of the run. */
export async function passwordFileWith(password: string): Promise<{ passwordFile: string }> {
  const directory = await mkdtemp(path.join(tmpdir(), "matview-refresh-password-"));
  directories.push(directory);
  const passwordFile = path.join(directory, "password");
  await writeFile(passwordFile, password, { mode: 0o600 });
  return { passwordFile };
}

/** Gives the surrounding `describe` a login role, dropped after its database. Call it after `useDatabase`. */
export function useRole(database: TestDatabase): TestRole {
  const name = `role_${randomBytes(6).toString("hex")}`;
  const password = randomBytes(18).toString("base64url");
  let passwordFile = "";

  before(async () => {
    ({ passwordFile } = await passwordFileWith(password));
    const client = await database.connect();
    await client.query(`CREATE ROLE ${escapeIdentifier(name)} LOGIN PASSWORD ${escapeLiteral(password)}`);
  });
  after(async () => {
    const client = new Client({ ...database.options(), database: "postgres" });
    await client.connect();
    try {
      await client.query(`DROP ROLE ${escapeIdentifier(name)}`);
    } finally {
      await client.end();
    }
  });

  return { name, password, settings: () => ({ user: name, passwordFile }) };
}
