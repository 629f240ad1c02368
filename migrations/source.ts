import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import path from "node:path";

/** One migration as it is passed in: its file name and its text. */
export interface MigrationFile {
  /** Such as `002_optimize_for_scale.sql`. Files are applied in the order of their names. */
  name: string;
  sql: string;
}

/** Where migrations come from: a folder, or files already read (in a bundle there is no folder). */
export type MigrationSource = { directory: string } | { files: MigrationFile[] };

/** A migration ready to be applied. */
export interface Migration extends MigrationFile {
  /** SHA-256 of the text with line ends as LF, in hex: a checkout that changes line ends changes nothing. */
  checksum: string;
  /** The statements to send one by one; undefined when the whole file is one transaction. */
  statements: string[] | undefined;
  /** The relations that are there once the file is applied, as its line `-- migrate: leaves` names them. */
  leaves: string[];
}

const namePattern = /^\d{3,}_\w+\.sql$/;
const optOutLine = /^--\s*migrate:\s*no-transaction\s*$/;
const separatorLine = /^--\s*migrate:\s*next statement\s*$/m;
const leavesLine = /^--\s*migrate:\s*leaves\s+(.+)$/;
const firstLines = 8;

/**
 * Reads the migrations in the order they are applied.
 *
 * @throws Error when a file's name does not start with its number, or two have the same name.
 */
export async function readMigrations(source: MigrationSource): Promise<Migration[]> {
  const files = "files" in source ? source.files : await readFolder(source.directory);
  const sorted = [...files].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  sorted.forEach(({ name }, index) => {
    if (!namePattern.test(name))
      throw new Error(`Migration ${name}: a name like 006_what_it_does.sql is needed.`);
    if (sorted[index + 1]?.name === name) throw new Error(`Migration ${name} is given twice.`);
  });
  return sorted.map(toMigration);
}

async function readFolder(directory: string): Promise<MigrationFile[]> {
  const names = (await readdir(directory)).filter((name) => name.endsWith(".sql"));
  return Promise.all(
    names.map(async (name) => ({ name, sql: await readFile(path.join(directory, name), "utf8") })),
  );
}

function toMigration(file: MigrationFile): Migration {
  const sql = file.sql.replaceAll("\r\n", "\n");
  const checksum = createHash("sha256").update(sql).digest("hex");
  const head = sql.split("\n", firstLines);
  const optsOut = head.some((line) => optOutLine.test(line));
  const leaves = head.flatMap(
    (line) =>
      leavesLine
        .exec(line)?.[1]
        ?.trim()
        .split(/\s*,\s*/) ?? [],
  );
  return { name: file.name, sql, checksum, statements: optsOut ? splitAtMarkers(sql) : undefined, leaves };
}

/**
 * Statements of a file without a transaction stand apart by a line of their own, so no guess at SQL's quoting is
 * needed here. Sent together they would be one transaction to the server, and it refuses there what needs none.
 */
function splitAtMarkers(sql: string): string[] {
  return sql.split(separatorLine);
}
