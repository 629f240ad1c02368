/** Names of relations as people write them in settings, and names of AWS resources made from them. */
import type { QualifiedName } from "../../handler/settings";

/** PostgreSQL cuts identifiers off beyond this many bytes. */
export const LONGEST_IDENTIFIER_BYTES = 63;

/** What a view's name may be, in one sentence. */
export const VIEW_NAME_LIMIT =
  "schema.name, each part at most 63 bytes; a part with capitals, spaces or signs in double quotes";

/** No name that is right is longer: two parts in quotes, all of whose signs are doubled. */
const LONGEST_NAME = 1_000;

/** The parts of a name, or what is wrong with it. */
export type NameReading = { name: QualifiedName; problem?: never } | { name?: never; problem: string };

/**
 * Reads `public.job_progress` or `"My Schema"."My View"` the way SQL does: a part without quotes is folded to
 * lower case, a quoted one is taken as it stands, with `""` for a quote. As in a database of UTF-8, only the letters
 * of ASCII are folded.
 */
export function readViewName(text: string): NameReading {
  if (text.length > LONGEST_NAME) return { problem: `is ${text.length} long` };
  const parts: string[] = [];
  let rest = text.trim();
  for (;;) {
    const part = /^(?:"((?:[^"]|"")*)"|([^".]*))/.exec(rest);
    const quoted = part?.[1];
    const bare = part?.[2] ?? "";
    const problem =
      quoted === undefined ? bareProblem(bare) : identifierProblem(quoted.replaceAll('""', '"'));
    if (problem !== undefined) return { problem };
    parts.push(quoted === undefined ? foldCase(bare) : quoted.replaceAll('""', '"'));
    rest = rest.slice(part?.[0].length ?? 0);
    if (rest === "") break;
    if (!rest.startsWith(".")) return { problem: "has something other than a dot between its parts" };
    rest = rest.slice(1);
  }
  const [schema, name, ...more] = parts;
  if (schema === undefined || name === undefined)
    return { problem: `has no schema; perhaps public.${text.trim()}` };
  if (more.length > 0)
    return { problem: `has ${parts.length} parts; a part with a dot in it must be quoted` };
  return { name: { schema, name } };
}

function foldCase(part: string): string {
  return part.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

function bareProblem(part: string): string | undefined {
  if (part === "") return "has an empty part";
  if (!/^[\p{L}_][\p{L}\p{N}_$]*$/u.test(part))
    return `"${part}" must be written in double quotes, as in SQL`;
  return identifierProblem(part);
}

/** What keeps a text from being an identifier of PostgreSQL; undefined where nothing does. */
export function identifierProblem(text: string): string | undefined {
  if (text === "") return "has an empty part";
  if (/\p{Cc}/u.test(text)) return "has a control character in it";
  if (/\p{Cs}/u.test(text)) return "has half a character in it, which UTF-8 does not know";
  const bytes = Buffer.byteLength(text);
  return bytes > LONGEST_IDENTIFIER_BYTES
    ? `has a part of ${bytes} bytes, where PostgreSQL keeps ${LONGEST_IDENTIFIER_BYTES}`
    : undefined;
}

/** The parts of a name that the schema has accepted. */
export function viewNameOf(text: string): QualifiedName {
  const { name, problem } = readViewName(text);
  if (name === undefined) throw new Error(`"${text}" ${problem}`);
  return name;
}

/** A name in the form that {@link readViewName} reads back: quotes only where SQL needs them. */
export function writeViewName({ schema, name }: QualifiedName): string {
  return [schema, name]
    .map((part) => (/^[a-z_][a-z0-9_$]*$/.test(part) ? part : `"${part.replaceAll('"', '""')}"`))
    .join(".");
}

/**
 * A name made fit for names of AWS resources: `job_progress` becomes `job-progress`. Empty when nothing of it
 * is fit; two names may become the same.
 */
export function resourceNamePart(text: string): string {
  return text
    .replace(/[^A-Za-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "")
    .toLowerCase();
}

/** An identifier in SQL, always quoted. */
export function quoteIdentifier(text: string): string {
  return `"${text.replaceAll('"', '""')}"`;
}

/** A relation's name in SQL, always quoted. */
export function qualifiedSql({ schema, name }: QualifiedName): string {
  return `${quoteIdentifier(schema)}.${quoteIdentifier(name)}`;
}

/** A text constant in SQL. */
export function quoteText(text: string): string {
  const quoted = `'${text.replaceAll("'", "''")}'`;
  return text.includes("\\") ? `E${quoted.replaceAll("\\", "\\\\")}` : quoted;
}

/** A word of a shell command, quoted where the shell would take it apart. */
export function shellWord(text: string): string {
  return /^[A-Za-z0-9_./:@%+=-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** A body of statements as a text constant, between signs that do not occur in it: `$tag$...$tag$`. */
export function quoteDollars(body: string, tag: string): string {
  const sign = `$${tag}$`;
  return body.includes(sign) ? quoteDollars(body, `${tag}_`) : `${sign}${body}${sign}`;
}
