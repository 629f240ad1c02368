/**
 * The record of every run: how fresh each view is, and why it was not made fresher. History follows the refreshes and
 * never stands in their way: each of its statements is short, and none that fails undoes a refresh.
 */
import { blockerLines, blockersOfWriting, heldBy } from "./blockers";
import { HISTORY_TABLE, isoTime, readFacts, type HistoryAccess, type ViewFacts } from "./catalog";
import type { Session } from "./connect";
import { displayName, nameRows, qualifiedName } from "./names";
import type { FailedView, SkippedView, ViewOutcome } from "./outcome";
import type { Report } from "./report";
import type { QualifiedName } from "./settings";
import { HANDLER_VERSION } from "./version";

/** The most that one statement about history may take; half of it at the most may be a wait for a lock. */
export const LONGEST_HISTORY_MS = 1_000;

/** What a row says beside the outcome of its view. */
interface Circumstances {
  runId: string;
  /** ISO 8601 text; undefined where the server's clock was never read: the row then starts when it is written. */
  startedAt: string | undefined;
  durationSeconds: number;
  /** Why it was skipped, failed, not concurrent or not incremental, or why `asOf` is unknown; never with a row's value. */
  reason: string | undefined;
}

const LAST_AS_OF = `
(SELECT before.as_of FROM ${HISTORY_TABLE} before
  WHERE before.view_schema = $1 AND before.view_name = $2 AND before.outcome = 'refreshed' AND before.view_oid = $3
  ORDER BY before.id DESC LIMIT 1)`;

/**
 * Writes a row of matview_refresh_history, by the database's own clock. A table from before migration 008 gets what it
 * has columns for: of a fold, that the view was refreshed, and its age. One from before 009 gets no remedy.
 * @returns seconds since the time of the data that readers saw before this row; undefined where it is not known.
 */
export async function insertOutcome(
  session: Session,
  { oid, history }: ViewFacts,
  outcome: ViewOutcome,
  { runId, startedAt, durationSeconds, reason }: Circumstances,
): Promise<number | undefined> {
  const { schema, name } = outcome.view;
  const refreshed = outcome.outcome === "refreshed" ? outcome : undefined;
  const failure = outcome.outcome === "failed" ? outcome.failure : undefined;
  const { fold } = refreshed ?? {};
  const staleness = `extract(epoch FROM pg_catalog.clock_timestamp() - ${LAST_AS_OF})::double precision`;
  const blockers = blockerLines(failure?.blockers ?? []);
  const further = Object.entries({
    ...(history.knowsFolds && {
      handler_version: HANDLER_VERSION,
      changes: fold?.changes,
      changed_rows: fold?.changedRows,
      drift: fold?.drift,
    }),
    ...(history.knowsRemedies && {
      remedy: failure?.remedy,
      blockers: blockers.length === 0 ? undefined : blockers,
    }),
  });
  const [row] = await session.query<{ stalenessSeconds: number | null }>(
    `INSERT INTO ${HISTORY_TABLE}
       (view_schema, view_name, view_oid, outcome, refresh_type, as_of, started_at, finished_at, duration_seconds,
        sqlstate, reason, run_id${further.map(([column]) => `, ${column}`).join("")})
     VALUES ($1, $2, $3, $4, $5, $6::timestamptz, coalesce($7::timestamptz, pg_catalog.clock_timestamp()),
             pg_catalog.clock_timestamp(), $8, $9, $10, $11${further.map((_, index) => `, $${index + 12}`).join("")})
     ${history.maySelect ? `RETURNING ${staleness} AS "stalenessSeconds"` : ""}`,
    [
      ...[schema, name, oid, outcome.outcome],
      ...[history.knowsFolds || fold === undefined ? refreshed?.refreshType : undefined, refreshed?.asOf],
      ...[startedAt, durationSeconds, failure?.sqlstate, reason, runId],
      ...further.map(([, value]) => value),
    ],
  );
  return row?.stalenessSeconds ?? undefined;
}

/**
 * Writes a skip or a failure, in a transaction of its own. It never hides what it records: where it cannot, the log
 * has it.
 * @param facts what the run's transaction found, where it came so far.
 * @returns seconds since the time of the data that readers see now, where history tells.
 */
export async function recordUnrefreshed(
  session: Session,
  report: Report,
  outcome: SkippedView | FailedView,
  run: { runId: string; facts: ViewFacts | undefined; durationSeconds: number },
): Promise<number | undefined> {
  const { view } = outcome;
  const reason = outcome.outcome === "failed" ? outcome.failure.problem : outcome.reason;
  try {
    return await session.within(LONGEST_HISTORY_MS, async () => {
      const facts = run.facts ?? (await readFacts(session, view));
      if (!facts.history.mayInsert) {
        report.note(
          `history: ${displayName(view)} ${outcome.outcome} is not recorded: ${missingInsert(facts.currentUser)}; ` +
            "to fix it: npm run migrate",
        );
        return undefined;
      }
      return insertOutcome(session, facts, outcome, { ...run, startedAt: run.facts?.clock, reason });
    });
  } catch (error) {
    report.note(
      await whyUnwritten(session, `${displayName(view)} ${outcome.outcome} is not recorded`, error),
    );
    return undefined;
  }
}

/** Why nothing is written to the history. */
export const missingInsert = (user: string): string =>
  `role ${user} has no INSERT on ${HISTORY_TABLE}, or it is not there`;

/** What to say of a statement about history that failed, outside of its transaction. */
export async function whyUnwritten(session: Session, what: string, error: unknown): Promise<string> {
  const { code } = error as { code?: string };
  const blockers =
    code === "55P03" ? await blockersOfWriting(session, LONGEST_HISTORY_MS, HISTORY_TABLE) : [];
  const why: Record<string, string> = {
    "55P03": `waited for a lock on ${HISTORY_TABLE}${heldBy(blockers)}`,
    "57014": `writing to ${HISTORY_TABLE} took too long`,
    "53100": `the disk of ${HISTORY_TABLE} is full`,
    "23514": `${HISTORY_TABLE} is older than this function; to fix it: npm run migrate`,
  };
  return `history: ${what}: ${why[code ?? ""] ?? `${HISTORY_TABLE} refused it`} (${code})`;
}

/** The time of a view's data, or why it is not known. */
export type KnownAsOf = { asOf: string } | { unknown: string };

/**
 * The last recorded time of the data of each source, in the order given. Inside a transaction, which goes on whatever
 * comes of it.
 */
export async function readAsOf(
  session: Session,
  access: HistoryAccess,
  sources: QualifiedName[],
  setLimits: string,
): Promise<KnownAsOf[]> {
  const unknown = (source: QualifiedName, why: string): KnownAsOf => ({
    unknown: `${why} of ${displayName(source)}, which it reads, is recorded`,
  });
  if (sources.length === 0) return [];
  if (!access.maySelect) return sources.map((source) => unknown(source, "no refresh"));
  try {
    const results = await session.results(
      `SAVEPOINT sources; ${setLimits};
       SELECT source.schema || '.' || source.name AS "name", ${isoTime("last.as_of")} AS "asOf"
         FROM (VALUES ${nameRows(sources)}) AS source (schema, name)
         JOIN pg_catalog.pg_namespace n ON n.nspname = source.schema
         JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = source.name
        CROSS JOIN LATERAL (
          SELECT h.as_of FROM ${HISTORY_TABLE} h
           WHERE h.view_schema = source.schema AND h.view_name = source.name AND h.outcome = 'refreshed'
             AND h.view_oid = c.oid
           ORDER BY h.id DESC LIMIT 1) last;
       RELEASE SAVEPOINT sources`,
    );
    const rows = results.at(-2)?.rows as { name: string; asOf: string | null }[];
    return sources.map((source) => {
      const row = rows.find(({ name }) => name === qualifiedName(source));
      if (row === undefined) return unknown(source, "no refresh");
      return row.asOf === null ? unknown(source, "no age") : { asOf: row.asOf };
    });
  } catch (error) {
    if (session.lost) throw error;
    await session.query("ROLLBACK TO SAVEPOINT sources");
    const why = `${HISTORY_TABLE} could not be read (${(error as { code?: string }).code})`;
    return sources.map(() => ({ unknown: why }));
  }
}

const REFRESHES_LOOKED_AT = 5;

/** Longest REFRESH, in seconds, of the last few of each view that history knows, by qualified name. */
export async function readLongest(session: Session, views: QualifiedName[]): Promise<Map<string, number>> {
  const { rows } = await session.resultWithin(
    LONGEST_HISTORY_MS,
    `SELECT view.schema || '.' || view.name AS "name", pg_catalog.max(last.duration_seconds) AS "seconds"
       FROM (VALUES ${nameRows(views)}) AS view (schema, name)
      CROSS JOIN LATERAL (
        SELECT h.duration_seconds FROM ${HISTORY_TABLE} h
         WHERE h.view_schema = view.schema AND h.view_name = view.name AND h.outcome = 'refreshed'
         ORDER BY h.id DESC LIMIT ${REFRESHES_LOOKED_AT}) last
      GROUP BY view.schema, view.name`,
  );
  return new Map((rows as { name: string; seconds: number }[]).map(({ name, seconds }) => [name, seconds]));
}

const PRUNED_AT_ONCE = 1_000;

/**
 * Deletes rows past the retention, but keeps the last refresh of each view, without which its age is unknown. Looks
 * at the oldest rows alone, so that it costs the same however long the table is.
 */
export async function pruneHistory(session: Session, report: Report, retentionDays: number): Promise<void> {
  try {
    await session.resultWithin(
      LONGEST_HISTORY_MS,
      `DELETE FROM ${HISTORY_TABLE} h
        USING (SELECT id, finished_at FROM ${HISTORY_TABLE} ORDER BY id LIMIT ${PRUNED_AT_ONCE}) oldest
        WHERE h.id = oldest.id
          AND oldest.finished_at < pg_catalog.now() - pg_catalog.make_interval(days => ${Math.floor(retentionDays)})
          AND (h.outcome <> 'refreshed'
               OR EXISTS (SELECT FROM ${HISTORY_TABLE} newer
                           WHERE newer.view_schema = h.view_schema AND newer.view_name = h.view_name
                             AND newer.outcome = 'refreshed' AND newer.id > h.id))`,
      "READ WRITE",
    );
  } catch (error) {
    report.note(await whyUnwritten(session, "old rows are not deleted", error));
  }
}
