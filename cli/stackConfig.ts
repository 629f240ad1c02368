/** What the commands take from a stack's Pulumi.<stack>.yaml. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parse } from "yaml";
import { z } from "zod";
import { CONFIG_NAMESPACE } from "../components/settings/settingsFaults";

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

const stackFileShape = z.object({ config: z.record(z.string(), z.unknown()).nullish() }).nullish();

/**
 * The project's own config keys of a stack file, without their namespace; keys of other namespaces
 * (`aws:region`) are left out. `parseSettings` judges the values.
 * @throws Error when the file cannot be read, is not YAML, is not a stack file, or holds an encrypted value,
 * which only the Pulumi CLI can read.
 */
export function readStackFile(path: string): Record<string, unknown> {
  const parsed = stackFileShape.safeParse(parse(readFileSync(path, "utf8")));
  if (!parsed.success)
    throw new Error(`${path} is not a Pulumi stack file: "config" must hold keys and values`);
  const namespaces = [CONFIG_NAMESPACE, projectName(dirname(path))];
  const own = Object.entries(parsed.data?.config ?? {}).filter(([key]) =>
    namespaces.includes(key.slice(0, key.indexOf(":"))),
  );
  return Object.fromEntries(
    own.map(([key, value]) => {
      if (isEncrypted(value)) {
        throw new Error(
          `${path}: ${key} is encrypted; no setting of this project is a secret, so store it plainly`,
        );
      }
      return [key.slice(key.indexOf(":") + 1), value];
    }),
  );
}

/** The project's name in the Pulumi.yaml beside a stack file: a project made from this one has a name of its own. */
function projectName(folder: string): string | undefined {
  const file = join(folder, "Pulumi.yaml");
  if (!existsSync(file)) return undefined;
  return z.object({ name: z.string() }).safeParse(parse(readFileSync(file, "utf8"))).data?.name;
}

/** Pulumi writes a secret as an object whose one key is `secure`. */
function isEncrypted(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  const keys = Object.keys(value);
  return (keys.length === 1 && keys[0] === "secure") || Object.values(value).some(isEncrypted);
}
