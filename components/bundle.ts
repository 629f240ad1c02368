/** The deployed code as one file, the same bytes wherever it is built. */
import { createHash } from "node:crypto";
import { writeFile, mkdir } from "node:fs/promises";
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
 * @throws esbuild's BuildFailure when the sources do not build.
 */
export async function bundleHandler(entry: string, outDir: string): Promise<Bundle> {
  const file = join(resolve(PROJECT_ROOT, outDir), "index.js");
  const result = await build({
    absWorkingDir: PROJECT_ROOT,
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
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, output.contents);
  return {
    file,
    bytes: output.contents.byteLength,
    sha256: createHash("sha256").update(output.contents).digest("hex"),
    metafile: result.metafile,
  };
}
