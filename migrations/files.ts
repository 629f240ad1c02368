/**
 * The migration files. A file is sent as a whole and in one transaction, unless it has the line
 * `-- migrate: no-transaction`. Then the parts between its lines `-- migrate: next statement` are sent one by one, and
 * where a part ends with the line `\gexec` the rows of its query are run as statements, as psql does. Any file may be
 * run again: it leaves alone what it finds. (The lines `-- migrate: leaves` of the first files mean nothing any more;
 * an applied file cannot be changed.)
 */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import path from "node:path";

/** One migration file. */
export interface Migration {
  /** Such as `002_optimize_for_scale.sql`. The files of a folder are applied in the order of their names. */
  name: string;
  /** SHA-256 of the text with line ends as LF, in hex: a checkout that changes line ends changes nothing. */
  checksum: string;
  isTransaction: boolean;
  /** Place of its folder among those given. A file stands on those of its own folder and of the folders before it. */
  set: number;
  /** What is sent at a time. */
  parts: MigrationPart[];
}

export interface MigrationPart {
  sql: string;
  /** Line of the file it starts at. */
  firstLine: number;
}

/**
 * Reads the migrations of some folders in the order they are applied: folder by folder, by name in each.
 *
 * @throws Error when a file's name does not start with its number.
 */
export async function readMigrations(directories: string[]): Promise<Migration[]> {
  return (await Promise.all(directories.map(readFolder))).flat();
}

async function readFolder(directory: string, set: number): Promise<Migration[]> {
  const names = (await readdir(directory)).filter((name) => name.endsWith(".sql")).sort();
  const misnamed = names.find((name) => !/^\d{3,}_\w+\.sql$/.test(name));
  if (misnamed) throw new Error(`Migration ${misnamed}: a name like 006_what_it_does.sql is needed.`);
  return Promise.all(
    names.map(async (name) => toMigration(name, set, await readFile(path.join(directory, name), "utf8"))),
  );
}

function toMigration(name: string, set: number, text: string): Migration {
  const sql = text.replaceAll("\r\n", "\n");
  const isTransaction = !/^-- migrate: no-transaction$/m.test(sql);
  const parts: MigrationPart[] = [];
  let firstLine = 1;
  for (const part of isTransaction ? [sql] : sql.split(/^-- migrate: next statement$/m)) {
    parts.push({ sql: part, firstLine });
    firstLine += part.split("\n").length - 1;
  }
  return { name, checksum: createHash("sha256").update(sql).digest("hex"), isTransaction, set, parts };
}
