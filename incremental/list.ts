/** What is maintained in a database, and how it goes; and the pause of a view. */
import { inSchema } from "../handler/maintained";
import type { Session } from "../handler/connect";
import type { QualifiedName } from "../handler/settings";
import { revertCommand } from "./install/hindrances";
import { maintainedState } from "./install/maintainedState";
import { catalogRows } from "./install/relation";
import { runStep, type Patience } from "./install/runner";
import { isQueryGone, QUERY_GONE, readState, readStatus, type Status } from "./install/state";

/** One view, as its status table has it. */
export interface Listed {
  view: QualifiedName;
  status: Status;
  /** Changes logged and not folded yet. */
  pending: number;
  /** Why it cannot be folded any more, and what to do. */
  trouble: { reason: string; remedy: string } | undefined;
}

/** Every view of which there is anything, a half-done apply included, that this session may read. */
export async function listViews(session: Session): Promise<Listed[]> {
  const tables = await catalogRows<{ name: string; logs: string[] }>(
    session,
    `SELECT s.relname AS "name",
            ARRAY(SELECT l.relname::text FROM pg_class l
                   WHERE l.relnamespace = s.relnamespace AND l.relkind = 'r'
                     AND starts_with(l.relname, base || '__log_')
                     AND substr(l.relname, length(base || '__log_') + 1) ~ '^[0-9]+$') AS "logs"
       FROM pg_class s JOIN pg_namespace n ON n.oid = s.relnamespace
       CROSS JOIN LATERAL regexp_replace(s.relname, '__status$', '') AS base
      WHERE n.nspname = 'matview_refresh' AND s.relname ~ '__status$' AND s.relkind = 'r'
        AND pg_has_role(s.relowner, 'USAGE')
      ORDER BY 1`,
  );
  const listed: Listed[] = [];
  for (const { name, logs } of tables) {
    const status = await readStatus(session, name);
    if (status === undefined) continue;
    const { view } = status.original;
    const trouble = await troubleOf(session, view);
    listed.push({ view, status, pending: await countRows(session, logs), trouble });
  }
  return listed;
}

async function troubleOf(session: Session, view: QualifiedName): Promise<Listed["trouble"]> {
  const state = await readState(session, view);
  const trouble = (reason: string): Listed["trouble"] => ({ reason, remedy: revertCommand(view) });
  if (state.relation === undefined) return trouble("its table is gone");
  return isQueryGone(state) ? trouble(QUERY_GONE) : undefined;
}

async function countRows(session: Session, tables: string[]): Promise<number> {
  if (tables.length === 0) return 0;
  const counts = tables.map((table) => `(SELECT count(*) FROM ${inSchema(table)})`).join(" + ");
  const [row] = await catalogRows<{ pending: number }>(session, `SELECT (${counts})::float8 AS "pending"`);
  return row?.pending ?? 0;
}

/** Folds find it paused, or not any more. Changes are logged all the same. */
export async function setPaused(
  session: Session,
  view: QualifiedName,
  paused: boolean,
  patience: Patience,
): Promise<void> {
  const { names, maintainer } = await maintainedState(session, view);
  await runStep(
    session,
    {
      title: paused ? "pausing" : "resuming",
      role: maintainer,
      // A fold under way has read the row already.
      lockFirst: [`LOCK TABLE ${inSchema(names.lock)} IN EXCLUSIVE MODE`],
      statements: [`UPDATE ${inSchema(names.status)} SET paused = ${paused}`],
      locks: [],
    },
    patience,
  );
}
