/** The deployed code as one file, the same bytes wherever it is built. */
import { createHash, randomUUID } from "node:crypto";
import { mkdir, mkdtemp, rename, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { build, type Metafile } from "esbuild";

/** A bundle on disk. */
export interface Bundle {
  /** Absolute path of `index.js`, a CommonJS module. */
  file: string;
  bytes: number;
  /** Of the file's content, in lower-case hex. */
  sha256: string;
  /** esbuild's account of what is in it, by path from the project's root. */
  metafile: Metafile;
}

const PROJECT_ROOT = resolve(__dirname, "..");

/*
 * Loaded by pg only if somebody asks for them, which nobody here does: the native driver, and the sockets of another
 * platform.
 */
const NEVER_LOADED = ["pg-native", "pg-cloudflare", "cloudflare:sockets"];

/**
 * Bundles everything the entry imports, the AWS SDK included, so that a local run executes the very bytes that are
 * deployed. The result depends on the sources and the lock file alone: not on the folder, the clock or the cwd.
 * @param entry module that exports the handler, absolute or relative to the project's root.
 * @param outDir folder for `index.js`, made if missing; absolute or relative to the project's root.
 * Where the project's folder cannot be written to, the file goes to a temporary folder.
 * @throws esbuild's BuildFailure when the sources do not build.
 */
export async function bundleHandler(entry: string, outDir: string): Promise<Bundle> {
  const file = join(resolve(PROJECT_ROOT, outDir), "index.js");
  const result = await build({
    absWorkingDir: PROJECT_ROOT,
    // A program in another language installs this folder's packages alone, and the handler lies beside it.
    nodePaths: [join(__dirname, "node_modules")],
    entryPoints: [resolve(PROJECT_ROOT, entry)],
    outfile: file,
    write: false,
    bundle: true,
    platform: "node",
    // The oldest that runs it: the local run takes whatever Node is installed, Lambda has a newer one.
    target: "node20",
    format: "cjs",
    // The SDK's ES modules, which can be cut down to what is used; its CommonJS is a third larger.
    mainFields: ["module", "main"],
    minify: true,
    legalComments: "none",
    charset: "utf8",
    sourcemap: false,
    external: NEVER_LOADED,
    tsconfigRaw: {},
    metafile: true,
    logLevel: "silent",
  });
  const [output] = result.outputFiles;
  if (output === undefined) throw new Error(`esbuild made nothing of ${entry}`);
  return {
    file: await writeBundle(file, output.contents),
    bytes: output.contents.byteLength,
    sha256: createHash("sha256").update(output.contents).digest("hex"),
    metafile: result.metafile,
  };
}

/** Writes the file, or one of the same name in a temporary folder; returns the path of the one written. */
async function writeBundle(file: string, contents: Uint8Array): Promise<string> {
  try {
    await replaceFile(file, contents);
    return file;
  } catch (error) {
    if (!READ_ONLY.has((error as NodeJS.ErrnoException).code ?? "")) throw error;
    const elsewhere = join(await mkdtemp(join(tmpdir(), "matview-refresh-bundle-")), "index.js");
    await replaceFile(elsewhere, contents);
    return elsewhere;
  }
}

/** What a file system says of a place that may not be written to. */
const READ_ONLY = new Set(["EACCES", "EPERM", "EROFS"]);

/** Puts a whole file in place at once: two components of a program bundle at the same time, and the engine reads. */
async function replaceFile(file: string, contents: Uint8Array): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  const draft = `${file}.${randomUUID()}`;
  await writeFile(draft, contents);
  await rename(draft, file);
}
