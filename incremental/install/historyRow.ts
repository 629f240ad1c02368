/** The history of refreshes: what it tells of the functions that ran, and the row that lets a view's age go on. */
import { escapeLiteral } from "pg";
import { HISTORY_OID, HISTORY_TABLE } from "../../handler/catalog";
import type { Session } from "../../handler/connect";
import { HANDLER_VERSION } from "../../handler/version";
import { nameRows } from "../../handler/names";
import type { QualifiedName } from "../../handler/settings";
import { catalogRows } from "./relation";
import type { Statement } from "./step";

/** The first version whose function folds. */
const FOLDS_SINCE = [0, 2, 0];
const DAYS_LOOKED_BACK = 7;

export interface HistoryFacts {
  exists: boolean;
  /** Whether it has the columns of incremental maintenance. */
  isCurrent: boolean;
  /** The role that may write a row: the maintaining one, or else the session's own. */
  writer: string | undefined;
  /** Whether that role may read it too. */
  mayRead: boolean;
  /** Version of the function that refreshed the view last, of those that run by themselves. */
  lastVersion: { version: string | null; at: string } | undefined;
}

export async function readHistory(
  session: Session,
  view: QualifiedName,
  maintainer: string,
): Promise<HistoryFacts> {
  const [row] = await catalogRows<Omit<HistoryFacts, "lastVersion">>(
    session,
    `SELECT h.oid IS NOT NULL AS "exists",
            coalesce((SELECT bool_or(a.attname = 'handler_version') FROM pg_attribute a
                       WHERE a.attrelid = h.oid AND NOT a.attisdropped), false) AS "isCurrent",
            CASE WHEN has_table_privilege(${escapeLiteral(maintainer)}, h.oid, 'INSERT') THEN ${escapeLiteral(maintainer)}
                 WHEN has_table_privilege(h.oid, 'INSERT') THEN current_user
            END AS "writer",
            coalesce(CASE WHEN has_table_privilege(${escapeLiteral(maintainer)}, h.oid, 'INSERT')
                          THEN has_table_privilege(${escapeLiteral(maintainer)}, h.oid, 'SELECT')
                          ELSE has_table_privilege(h.oid, 'SELECT') END, false) AS "mayRead"
       FROM (SELECT) AS one LEFT JOIN (${HISTORY_OID}) h ON true`,
  );
  const facts = row as Omit<HistoryFacts, "lastVersion">;
  const writer = facts.writer ?? undefined;
  if (!facts.isCurrent) return { ...facts, writer, lastVersion: undefined };
  const [last] = await catalogRows<{ version: string | null; at: string }>(
    session,
    `SELECT handler_version AS "version", to_json(finished_at) #>> '{}' AS "at" FROM ${HISTORY_TABLE}
      WHERE view_schema = ${escapeLiteral(view.schema)} AND view_name = ${escapeLiteral(view.name)}
        AND run_id <> 'manual' AND finished_at > now() - interval '${DAYS_LOOKED_BACK} days'
      ORDER BY id DESC LIMIT 1`,
  ).catch((error: unknown) => {
    // Who may not read it cannot tell.
    if ((error as { code?: string }).code !== "42501") throw error;
    return [];
  });
  return { ...facts, writer, lastVersion: last };
}

/** Whether a function of that version finds out that a view is maintained, and folds. */
export function canFold(version: string | null): boolean {
  if (version === null) return false;
  const parts = version.split(".").map((part) => Number.parseInt(part, 10));
  for (const [index, least] of FOLDS_SINCE.entries()) {
    const part = parts[index] ?? 0;
    if (part !== least) return part > least;
  }
  return true;
}

/**
 * The time of what is read now, as SQL: that of the oldest of the maintained views among its sources, or now. The start
 * of the transaction, which is before its snapshot.
 */
export function asOfNow({ exists, mayRead }: HistoryFacts, sources: QualifiedName[]): string {
  if (!exists || !mayRead || sources.length === 0) return "now()";
  return `least(now(), (
    SELECT min(last.as_of) FROM (VALUES ${nameRows(sources)}) source (schema, name)
      JOIN pg_namespace sn ON sn.nspname = source.schema
      JOIN pg_class sc ON sc.relnamespace = sn.oid AND sc.relname = source.name
     CROSS JOIN LATERAL (SELECT h.as_of FROM ${HISTORY_TABLE} h
       WHERE h.view_schema = source.schema AND h.view_name = source.name AND h.view_oid = sc.oid AND h.outcome = 'refreshed'
       ORDER BY h.id DESC LIMIT 1) last))`;
}

/**
 * A row for what is under the name now, as a refresh would write it: the age goes by the relation's oid. Nothing where
 * nobody may write one.
 * @param asOf the time of the data, as SQL.
 */
export function historyRow(
  { exists, isCurrent, writer }: HistoryFacts,
  view: QualifiedName,
  row: { refreshType: "full" | "regular"; reason: string; asOf: string },
): Statement[] {
  if (!exists || writer === undefined) return [];
  const type = isCurrent || row.refreshType !== "full" ? row.refreshType : "regular";
  const [schema, name] = [escapeLiteral(view.schema), escapeLiteral(view.name)];
  return [
    {
      role: writer,
      sql: `INSERT INTO ${HISTORY_TABLE}
  (view_schema, view_name, view_oid, outcome, refresh_type, as_of, started_at, finished_at, duration_seconds, reason, run_id${isCurrent ? ", handler_version" : ""})
SELECT ${schema}, ${name}, c.oid, 'refreshed', '${type}', ${row.asOf}, now(), clock_timestamp(),
       extract(epoch FROM clock_timestamp() - now()), ${escapeLiteral(row.reason)}, 'manual'${isCurrent ? `, ${escapeLiteral(HANDLER_VERSION)}` : ""}
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = ${schema} AND c.relname = ${name}`,
    },
  ];
}
