/** What maintaining a view will meet in this database: loads that no trigger sees, limits of writers, the longest run. */
import { escapeIdentifier, escapeLiteral } from "pg";
import type { Session } from "../../handler/connect";
import { qualifiedName, quotedName, shellName } from "../../handler/names";
import type { Finding, TableLog } from "../maintenance";
import { catalogRows } from "./relation";
import type { ViewState } from "./state";

/** Notes alone: nothing here keeps a view from being maintained. */
export async function consequences(session: Session, state: ViewState, logs: TableLog[]): Promise<Finding[]> {
  return [
    ...(await ofSubscriptions(session, logs)),
    ...(await ofLoaders(session, logs)),
    ...(await ofWriterLimits(session)),
    ...(await ofFullRun(session, state)),
  ];
}

const note = (capability: string, place: string, reason: string, remedy?: string): Finding => ({
  capability,
  possible: "note",
  place,
  reason,
  ...(remedy === undefined ? {} : { remedy }),
});

/** Tables that logical replication writes: its apply fires no ordinary trigger, and statement triggers never. */
async function ofSubscriptions(session: Session, logs: TableLog[]): Promise<Finding[]> {
  if (logs.length === 0) return [];
  const tables = logs.map(({ table }) => `to_regclass(${escapeLiteral(quotedName(table))})`).join(", ");
  const rows = await catalogRows<{ name: string }>(
    session,
    `SELECT DISTINCT r.srrelid::regclass::text AS "name" FROM pg_subscription_rel r
      WHERE r.srrelid = ANY (ARRAY[${tables}]::regclass[]) ORDER BY 1`,
  );
  return rows.map(({ name }) =>
    note(
      "logged writes",
      name,
      "a subscription writes to it, and what that changes is not logged: full runs alone find it, as drift",
      "a short fullEvery, or a materialized view",
    ),
  );
}

/** Roles that always log in as loaders do: triggers are made to fire for none of what they write. */
async function ofLoaders(session: Session, logs: TableLog[]): Promise<Finding[]> {
  const [trigger] = logs.flatMap(({ triggers }) => triggers);
  if (trigger === undefined) return [];
  const rows = await catalogRows<{ role: string | null }>(
    session,
    `SELECT DISTINCT r.rolname AS "role"
       FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole, unnest(s.setconfig) AS setting
      WHERE setting = 'session_replication_role=replica'
        AND s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
      ORDER BY 1`,
  );
  const name = escapeIdentifier(trigger.name);
  return rows.map(({ role }) =>
    note(
      "logged writes",
      role === null ? "every role in this database" : `role ${role}`,
      "its setting session_replication_role = replica keeps triggers from firing: what it writes is not logged, and full runs alone find it, as drift",
      `a short fullEvery; or, after apply, ALTER TABLE ${quotedName(trigger.relation)} ENABLE ALWAYS TRIGGER ${name}; for each of our triggers of each table: they then fire for replicated writes too`,
    ),
  );
}

/** Transition tables are kept in memory, and beyond work_mem in temporary files, which count for the writer. */
async function ofWriterLimits(session: Session): Promise<Finding[]> {
  const [row] = await catalogRows<{ limit: string }>(
    session,
    `SELECT current_setting('temp_file_limit') AS "limit"
      WHERE current_setting('temp_file_limit') <> '-1'
     UNION ALL
     SELECT substr(setting, length('temp_file_limit=') + 1)
       FROM pg_db_role_setting, unnest(setconfig) AS setting
      WHERE setting LIKE 'temp_file_limit=%' AND setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
      LIMIT 1`,
  );
  if (row === undefined) return [];
  return [
    note(
      "writers' limit",
      `temp_file_limit = ${row.limit}`,
      "the rows that one statement changes are kept until its end, beyond work_mem in temporary files: a COPY larger than this fails",
      "load in smaller statements, or raise temp_file_limit for who loads",
    ),
  ];
}

/** No history table, or one that this role may not read. */
const UNREADABLE = new Set(["42P01", "42501"]);

/** A full run took so many times what a concurrent refresh took: docs/incremental-operate.md. */
const LONGEST_FULL_RUN = 4;
/** A function has more time than what is quicker takes, whatever its settings. */
const QUICK_SECONDS = 1;

/** A full run reads what a refresh reads, and a function that is cut off in it begins it again at every tick. */
async function ofFullRun(session: Session, { view, relation }: ViewState): Promise<Finding[]> {
  if (relation === undefined) return [];
  const [row] = await catalogRows<{ seconds: number | null; n: number }>(
    session,
    `SELECT max(seconds) AS "seconds", count(*)::int AS "n" FROM (
       SELECT duration_seconds AS seconds FROM public.matview_refresh_history
        WHERE view_schema = ${escapeLiteral(view.schema)} AND view_name = ${escapeLiteral(view.name)}
          AND outcome = 'refreshed' AND coalesce(refresh_type, 'full') <> 'incremental'
        ORDER BY id DESC LIMIT 20) AS last`,
  ).catch((error: unknown) => {
    if (UNREADABLE.has((error as { code?: string }).code ?? "")) return [];
    throw error;
  });
  const place = qualifiedName(view);
  if (row === undefined || row.n === 0 || row.seconds === null)
    return [
      note(
        "full run",
        place,
        "how long one takes is not known: no refresh of it is recorded",
        `npm run refresh -- --view ${shellName(view)}`,
      ),
    ];
  if (row.seconds <= QUICK_SECONDS) return [];
  const timeoutSeconds = Math.max(30, Math.ceil((row.seconds * LONGEST_FULL_RUN + 1) / 10) * 10);
  return [
    note(
      "full run",
      place,
      `the longest of its last ${row.n} refreshes took ${row.seconds.toFixed(1)} s, and a full run takes 1 to ${LONGEST_FULL_RUN} times as long: the function's timeout must be above it`,
      `timeoutSeconds of ${timeoutSeconds} or more; by hand: npm run refresh -- --view ${shellName(view)} --full --timeout 3600`,
    ),
  ];
}
