/** Names of views on a command line. */
import { InvalidArgumentError } from "commander";
import { identifierProblem } from "../components/settings/names";
import type { QualifiedName } from "../handler/settings";

const NAME_PART = String.raw`(?:"((?:[^"]|"")+)"|([^".]+))`;
const VIEW_NAME = new RegExp(`^(?:${NAME_PART}\\.)?${NAME_PART}$`, "s");

/**
 * `job_progress`, `reporting.totals` or `"odd.schema"."odd name"`; letters are taken as they are.
 * @throws InvalidArgumentError for what is none of these, and for what PostgreSQL has no name like.
 */
export function parseViewName(text: string): QualifiedName {
  const match = VIEW_NAME.exec(text);
  if (match === null) throw new InvalidArgumentError('write it as name, schema.name or "schema"."name".');
  const part = (quoted: string | undefined, bare: string | undefined): string | undefined =>
    quoted?.replaceAll('""', '"') ?? bare;
  const [schema, name] = [part(match[1], match[2]) ?? "public", part(match[3], match[4]) ?? ""];
  const problem = identifierProblem(schema) ?? identifierProblem(name);
  if (problem !== undefined) throw new InvalidArgumentError(`the name ${problem}.`);
  return { schema, name };
}
