/** The compiler of views. It brings PostgreSQL's parser, which no other command needs: loaded when it is asked for. */
import { readFile } from "node:fs/promises";
import type { Session } from "../handler/connect";
import type { QualifiedName } from "../handler/settings";
import type * as Compile from "../incremental/compile";
import type { Compilation, Finding } from "../incremental/maintenance";
import type * as ReadSource from "../incremental/readSource";
import type { ViewSource } from "../incremental/source";

/* eslint-disable @typescript-eslint/no-require-imports -- import() would need the file to be an ES module */
const compiler = () => require("../incremental/compile") as typeof Compile;
const reader = () => require("../incremental/readSource") as typeof ReadSource;

/**
 * @param ownersMakeTriggers whether each table's owner will make its triggers, so that nobody needs the right to.
 * @throws SourceError where there is no such view.
 */
export function compileView(
  session: Session,
  view: QualifiedName,
  ownersMakeTriggers = false,
): Promise<Compilation> {
  return compileRead(session, async (query) => {
    const source = await reader().readSource(query, view);
    if (!ownersMakeTriggers) return source;
    return { ...source, relations: source.relations.map((each) => ({ ...each, mayTrigger: true })) };
  });
}

/**
 * The query of a file, before it is a view.
 * @throws SourceError where it is no query, and the file system's error.
 */
export async function compileQuery(
  session: Session,
  file: string,
  view: QualifiedName | undefined,
): Promise<Compilation> {
  const text = await readFile(file, "utf8");
  const compilation = await compileRead(session, (query) => reader().readQuery(query, text, view));
  const place = compilation.maintenance?.restrictionKey.join(", ") ?? "the view's key";
  return { ...compilation, findings: [...compilation.findings, uniqueIndexNote(place)] };
}

const uniqueIndexNote = (place: string): Finding => ({
  capability: "unique index",
  possible: "note",
  place,
  reason: "the view will need one on plain columns, by which a changed row is found again",
});

/** Reads in a transaction that leaves nothing behind. */
async function compileRead(
  session: Session,
  read: (query: ReadSource.Query) => Promise<ViewSource>,
): Promise<Compilation> {
  await session.query("BEGIN");
  const query: ReadSource.Query = (sql, values) => session.query(sql, values);
  const source = await read(query).finally(() => (session.lost ? undefined : session.query("ROLLBACK")));
  return compiler().compile(source);
}
