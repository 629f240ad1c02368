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

/** Gives the surrounding `describe` a login role, dropped after its database. Call it after `useDatabase`. */
export function useRole(database: TestDatabase): TestRole {
  const name = `role_${randomBytes(6).toString("hex")}`;
  const password = randomBytes(18).toString("base64url");
  let directory = "";
  const passwordFile = (): string => path.join(directory, "password");

  before(async () => {
    directory = await mkdtemp(path.join(tmpdir(), "matview-refresh-role-"));
    await writeFile(passwordFile(), password, { mode: 0o600 });
    const client = await database.connect();
    await client.query(`CREATE ROLE ${escapeIdentifier(name)} LOGIN PASSWORD ${escapeLiteral(password)}`);
  });
  after(async () => {
    const client = new Client({ ...database.options(), database: "postgres" });
    await client.connect();
    await client.query(`DROP ROLE ${escapeIdentifier(name)}`);
    await client.end();
    await rm(directory, { recursive: true });
  });

  return { name, password, settings: () => ({ user: name, passwordFile: passwordFile() }) };
}
