/** How names of relations are written: for SQL, for people, and compared with what an event asks for. */
import { escapeIdentifier, escapeLiteral } from "pg";
import type { QualifiedName } from "./settings";

/** `"public"."job_progress"`: always quoted, so that no name can end the identifier it stands in. */
export function quotedName(name: QualifiedName): string {
  return `${escapeIdentifier(name.schema)}.${escapeIdentifier(name.name)}`;
}

/** `('public', 'job_progress'), …`: the rows of a VALUES list, as SQL. */
export function nameRows(names: QualifiedName[]): string {
  const rows = names.map(({ schema, name }) => `(${escapeLiteral(schema)}, ${escapeLiteral(name)})`);
  return rows.join(", ");
}

/** `job_progress` for a view in public, `reporting.job_progress` for any other. For logs, never for SQL. */
export function displayName(name: QualifiedName): string {
  return name.schema === "public" ? name.name : qualifiedName(name);
}

/** `public.job_progress`: both parts as they stand in the catalog. For logs, metrics and comparison. */
export function qualifiedName(name: QualifiedName): string {
  return `${name.schema}.${name.name}`;
}

/** `public.job_progress`, or `'"odd.schema"."odd name"'`: a view as a shell's word, for the option --view of a command. */
export function shellName({ schema, name }: QualifiedName): string {
  const parts = [schema, name].map((part) =>
    /^[a-z_][a-z0-9_]*$/.test(part) ? part : escapeIdentifier(part),
  );
  return shellWord(parts.join("."));
}

/** A text that a shell takes as one word. */
export function shellWord(text: string): string {
  return /^[\w.]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

/**
 * The configured view an event or a command line asks for: by qualified name, by quoted name, or by its bare
 * name where only one schema has it.
 * @throws Error naming the configured views when the name fits none of them or several.
 */
export function chooseView<View extends QualifiedName>(asked: string, views: View[]): View {
  const exact = views.filter((view) => qualifiedName(view) === asked || quotedName(view) === asked);
  const matching = exact.length > 0 ? exact : views.filter((view) => view.name === asked);
  const [chosen] = matching;
  if (chosen !== undefined && matching.length === 1) return chosen;
  const known = views.map(qualifiedName).join(", ");
  const shown = inOneLine(asked);
  throw new Error(
    matching.length > 1
      ? `view "${shown}" is in several configured schemas; name one of: ${known}`
      : `view "${shown}" is not configured; the configured views are: ${known}`,
  );
}

/** No name is longer: two of PostgreSQL's, quoted. */
const LONGEST_SHOWN = 260;

/** What somebody else wrote, so that it writes no line of its own into the log, and no page. */
function inOneLine(text: string): string {
  const line = text.slice(0, LONGEST_SHOWN).replace(/[\p{Cc}\p{Cs}]/gu, "\ufffd");
  return text.length > LONGEST_SHOWN ? `${line}...` : line;
}

/** A word or number that somebody gave, quoted; anything longer may hold a secret that was put into the wrong variable. */
export function shownWord(value: string): string {
  return /^[\w.+-]{0,20}$/.test(value) ? `"${value}"` : "(not shown)";
}
