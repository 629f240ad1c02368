/** Reads the settings out of a stack's Pulumi.<stack>.yaml, as Pulumi would hand them over. */
import { readFileSync } from "node:fs";
import { parse } from "yaml";
import { z } from "zod";
import { CONFIG_NAMESPACE } from "../components/settingsFaults";

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
  const prefix = `${CONFIG_NAMESPACE}:`;
  const own = Object.entries(parsed.data?.config ?? {}).filter(([key]) => key.startsWith(prefix));
  return Object.fromEntries(
    own.map(([key, value]) => {
      if (isEncrypted(value)) {
        throw new Error(
          `${path}: ${key} is encrypted; no setting of this project is a secret, so store it plainly`,
        );
      }
      return [key.slice(prefix.length), value];
    }),
  );
}

/** Pulumi writes a secret as an object whose one key is `secure`. */
function isEncrypted(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  const keys = Object.keys(value);
  return (keys.length === 1 && keys[0] === "secure") || Object.values(value).some(isEncrypted);
}
