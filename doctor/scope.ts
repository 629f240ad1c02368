/** What is examined: which views, on behalf of which role, and by which settings. */
import { escapeLiteral } from "pg";
import type { Plan } from "../components/plan/plan";
import {
  FOLDS,
  HISTORY_OID,
  isRefreshed,
  readFacts,
  type HistoryAccess,
  type ViewFacts,
} from "../handler/catalog";
import type { Session } from "../handler/connect";
import { qualifiedName, quotedName } from "../handler/names";
import type { QualifiedName, ViewSettings } from "../handler/settings";
import { readOnly, type Reader } from "./reader";

/** A view with what the catalog says of it, as the role that refreshes it would be told. */
export interface Patient {
  view: ViewSettings;
  /** `public.job_progress`. */
  name: string;
  /** As SQL. */
  sql: string;
  facts: ViewFacts;
}

export interface StackScope {
  name: string;
  plan: Plan;
}

/** How the server is reached from here. */
export interface ConnectionFacts {
  host: string;
  port: number;
  isTlsAsked: boolean;
  /** A file with CAs beside the public ones. */
  caFile?: string;
}

export interface Scope {
  patients: Patient[];
  /** Who is logged in. */
  user: string;
  /** Who refreshes: the one whose rights are judged. */
  role: string;
  roleExists: boolean;
  /** The server, as `host:port/database`. */
  address: string;
  connection: ConnectionFacts;
  database: string;
  /** server_version_num. */
  serverVersion: number;
  /** `18.4`. */
  version: string;
  stack?: StackScope;
  /** From here on a transaction counts as long. */
  longSeconds: number;
}

/** What is asked for. */
export interface Request {
  /** Undefined: every view that can be refreshed. */
  views?: ViewSettings[];
  /** Undefined: whoever is logged in. */
  role?: string;
  stack?: StackScope;
  longSeconds: number;
}

const LONGEST_READ_MS = 15_000;

/** Reads the views' facts in one transaction that changes nothing. */
export async function readScope(
  session: Session,
  { address, connection }: Pick<Scope, "address" | "connection">,
  request: Request,
): Promise<Scope> {
  const { stack, longSeconds } = request;
  return readOnly(session, LONGEST_READ_MS, async (reader) => {
    const [server] = await reader.rows<
      Pick<Scope, "user" | "database" | "serverVersion" | "version" | "roleExists">
    >(
      `SELECT current_user::text AS "user", pg_catalog.current_database()::text AS "database",
              pg_catalog.current_setting('server_version_num')::int AS "serverVersion",
              pg_catalog.split_part(pg_catalog.current_setting('server_version'), ' ', 1) AS "version",
              EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = coalesce($1, current_user)) AS "roleExists"`,
      [request.role ?? null],
    );
    const found = server as NonNullable<typeof server>;
    const role = request.role ?? found.user;
    const views =
      request.views ?? (await findViews(reader)).map((view) => ({ ...view, allowBlocking: true }));
    const patients: Patient[] = [];
    for (const view of views) {
      const own = await readFacts(session, view);
      const facts = role === found.user || !found.roleExists ? own : await asRole(reader, own, view, role);
      patients.push({ view, name: qualifiedName(view), sql: own.sqlName ?? quotedName(view), facts });
    }
    return { ...found, patients, role, address, connection, longSeconds, ...(stack && { stack }) };
  });
}

/** Every materialized and maintained view but those that belong to the machinery itself. */
export async function findViews({ rows }: Pick<Reader, "rows">): Promise<QualifiedName[]> {
  return rows<QualifiedName>(`
    WITH ${FOLDS}
    SELECT n.nspname::text AS "schema", c.relname::text AS "name"
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('m', 'r') AND ${isRefreshed("c")} AND n.nspname <> 'matview_refresh'
       AND n.nspname !~ '^pg_'
     ORDER BY 1, 2`);
}

/** The same facts with the rights of another role. */
async function asRole(
  reader: Reader,
  facts: ViewFacts,
  view: ViewSettings,
  role: string,
): Promise<ViewFacts> {
  const who = escapeLiteral(role);
  const mayUse = (oid: string, right: string): string =>
    `coalesce(pg_catalog.has_table_privilege(${who}, ${oid}, '${right}'), false)`;
  const statistics = view.statistics
    ? `pg_catalog.to_regclass(${escapeLiteral(quotedName(view.statistics))})`
    : "NULL::oid";
  const [rights] = await reader.rows<{
    mayRefresh: boolean;
    mayUseSchema: boolean;
    viewReadable: boolean;
    statisticsReadable: boolean;
    history: Omit<HistoryAccess, "knowsFolds">;
    missingRights: string[];
  }>(`
    WITH history AS (${HISTORY_OID})
    SELECT coalesce(pg_catalog.pg_has_role(${who}, c.relowner, 'USAGE'), false)
             OR ${facts.serverVersion >= 170_000 ? mayUse("c.oid", "MAINTAIN") : "false"} AS "mayRefresh",
           coalesce(pg_catalog.has_schema_privilege(${who}, n.oid, 'USAGE'), false) AS "mayUseSchema",
           ${mayUse("c.oid", "SELECT")} AND coalesce(pg_catalog.has_schema_privilege(${who}, n.oid, 'USAGE'), false)
             AS "viewReadable",
           ${mayUse(statistics, "SELECT")} AS "statisticsReadable",
           pg_catalog.json_build_object('mayInsert', ${mayUse("history.oid", "INSERT")},
             'maySelect', ${mayUse("history.oid", "SELECT")}, 'mayDelete', ${mayUse("history.oid", "DELETE")}) AS "history",
           ${facts.fold === null ? "ARRAY[]::text[]" : foldRights(facts.fold, who)} AS "missingRights"
      FROM (SELECT) AS one
      LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = ${escapeLiteral(view.schema)}
      LEFT JOIN pg_catalog.pg_class c ON c.oid = ${facts.oid ?? "NULL"}
      LEFT JOIN history ON true`);
  const { missingRights, history, ...others } = rights as NonNullable<typeof rights>;
  return {
    ...facts,
    ...others,
    currentUser: role,
    history: { ...history, knowsFolds: facts.history.knowsFolds },
    fold: facts.fold && { ...facts.fold, missingRights },
  };
}

/** What a fold needs and the role lacks, as in a GRANT. */
function foldRights({ name, lock, query }: NonNullable<ViewFacts["fold"]>, who: string): string {
  const signature = `${name}(boolean, interval, boolean)`;
  return `ARRAY(
    SELECT needed.what FROM (VALUES
      (pg_catalog.has_schema_privilege(${who}, 'matview_refresh', 'USAGE'), 'USAGE ON SCHEMA matview_refresh'),
      (pg_catalog.has_function_privilege(${who}, ${escapeLiteral(signature)}, 'EXECUTE'),
       ${escapeLiteral(`EXECUTE ON FUNCTION ${signature}`)}),
      (pg_catalog.has_table_privilege(${who}, ${escapeLiteral(lock)}, 'UPDATE'), ${escapeLiteral(`UPDATE ON ${lock}`)}),
      (pg_catalog.has_table_privilege(${who}, ${escapeLiteral(query)}, 'SELECT'), ${escapeLiteral(`SELECT ON ${query}`)})
    ) AS needed (is_given, what) WHERE NOT needed.is_given)`;
}
