/** libpq's password file: PGPASSFILE, or .pgpass in the home folder. */
import { readFile, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";

/** What a line of the file is matched with. */
interface Asked {
  host: string;
  port: string;
  database: string;
  user: string;
}

/**
 * The password of the first line that fits, or an empty text: then the server must ask for none. A file that others
 * may read is left alone, as libpq leaves it.
 */
export async function lookUpPassword(
  environment: Record<string, string | undefined>,
  asked: Asked,
): Promise<string> {
  const file =
    environment.PGPASSFILE ||
    (process.platform === "win32"
      ? join(environment.APPDATA ?? "", "postgresql", "pgpass.conf")
      : join(homedir(), ".pgpass"));
  let text: string;
  try {
    const { mode } = await stat(file);
    if (process.platform !== "win32" && (mode & 0o077) !== 0) {
      process.emitWarning(`${file} is left alone, since others may read it: chmod 600 ${file}`);
      return "";
    }
    text = await readFile(file, "utf8");
  } catch {
    return "";
  }
  return passwordIn(text, asked) ?? "";
}

/** The password of the first line of `text` that fits. */
export function passwordIn(text: string, asked: Asked): string | undefined {
  const wanted = [asked.host, asked.port, asked.database, asked.user];
  for (const line of text.split(/\r?\n/)) {
    if (line.startsWith("#")) continue;
    // Fields end at a colon that no backslash precedes.
    const fields = [...line.matchAll(/((?:\\.|[^:\\])*)(?::|$)/g)].map((match) => match[1] ?? "");
    const unescaped = fields.map((field) => field.replace(/\\(.)/g, "$1"));
    const password = unescaped[4];
    if (password === undefined || fields.length < 5) continue;
    if (wanted.every((value, index) => fields[index] === "*" || unescaped[index] === value)) return password;
  }
  return undefined;
}
