/** What the commands take from a stack's Pulumi.<stack>.yaml. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { z } from "zod";
import { readStackFile } from "../local/stackFile";

/** A stack's settings as they stand in its file, and its region. */
export interface StackConfig {
  /** Values of the project's own keys. */
  settings: Record<string, unknown>;
  /** `aws:region`; absent where the file leaves it to the environment. */
  region?: string;
}

const regionSchema = z
  .object({ config: z.object({ "aws:region": z.string().optional() }).nullish() })
  .nullish();

/**
 * Reads Pulumi.<stack>.yaml in the current folder.
 * @throws Error naming the stacks there are when this one has no file.
 */
export function readStack(stack: string, folder = process.cwd()): StackConfig {
  const path = join(folder, `Pulumi.${stack}.yaml`);
  if (!/^[\w.-]+$/.test(stack) || !existsSync(path)) {
    const stacks = readdirSync(folder).flatMap((name) => /^Pulumi\.([\w.-]+)\.yaml$/.exec(name)?.[1] ?? []);
    throw new Error(`No stack "${stack}" in ${folder}. Stacks with a file: ${stacks.join(", ") || "none"}.`);
  }
  const region = regionSchema.parse(parse(readFileSync(path, "utf8")))?.config?.["aws:region"];
  return { settings: readStackFile(path), ...(region === undefined ? {} : { region }) };
}
