/** Whether runs leave anything behind: sessions, locks, temporary tables and files, prepared transactions. */
import { setTimeout as pause } from "node:timers/promises";
import type { Client, ClientConfig } from "pg";
import { qualifiedName } from "../../handler/names";
import type { QualifiedName } from "../../handler/settings";
import { withClient } from "../../local/postgres/database";
import { PREPARED_BY_FAULTS } from "../fault";

/** The server looks after a client every second while a statement of ours runs; then the session ends. */
const LONGEST_SESSION_SECONDS = 3;
/**
 * The longest that a lock may outlast its run while the server cannot know that the run is over: a session that hears
 * nothing for 5 s in its transaction is ended.
 */
const LONGEST_LOCK_SECONDS = 7;

/** What is known of the moment from elsewhere. */
export interface LeftoverCircumstances {
  /** When the last run ended; nothing is waited for where that is long ago. */
  lastEndedEpochMs: number;
  /** The network says nothing, on purpose: the server cannot know that the function is gone. */
  isWireSilent: boolean;
  /** COMMIT waits for a standby that is gone: such a session outlasts its client, and no setting of a client ends it. */
  isStandbyLost: boolean;
}

/** `matview-refresh`, as the function calls itself to the server. */
const APPLICATION = "matview-refresh";
/** Of the advisory locks of refreshes: the upper half of their keys. */
const LOCK_CLASS = 0x6d767266;

const LOOK_AGAIN_AFTER_MS = 100;

const SESSIONS = `
  SELECT a.pid, a.state, left(a.query, 200) AS query, a.wait_event,
         coalesce((SELECT array_agg(DISTINCT concat_ws(' ', l.locktype, l.mode, 'on', CASE
                            WHEN l.relation IS NOT NULL AND l.database = d.oid THEN l.relation::regclass::text
                            WHEN l.locktype = 'advisory' THEN l.objid::regclass::text END))
                     FROM pg_locks l, pg_database d
                    WHERE d.datname = current_database() AND l.pid = a.pid AND l.granted
                      AND (l.relation = ANY ($2::oid[]) OR l.locktype = 'advisory' AND l.classid = ${LOCK_CLASS})), '{}') AS locks
    FROM pg_stat_activity a
   WHERE a.datname = current_database() AND a.backend_type = 'client backend' AND a.application_name = $1
   ORDER BY a.pid`;

/** Advisory locks of ours that no session of ours holds: one that was prepared, or took another name. */
const STRAY_LOCKS = `
  SELECT coalesce(l.pid, 0) AS pid, l.mode, l.objid::regclass::text AS of
    FROM pg_locks l JOIN pg_database d ON d.oid = l.database
    LEFT JOIN pg_stat_activity a ON a.pid = l.pid
   WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.classid = ${LOCK_CLASS}
     AND a.application_name IS DISTINCT FROM $1`;

/** The views, and the tables whose locks let one fold run at a time. */
const WATCHED = `
  SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE n.nspname || '.' || c.relname = ANY ($1::text[])
      OR n.nspname = 'matview_refresh' AND c.relname LIKE '%\\_\\_lock' AND c.relkind = 'r'`;

const TEMPORARY_TABLES = `
  SELECT c.oid::regclass::text AS name FROM pg_class c
   WHERE c.relpersistence = 't' AND c.relkind IN ('r', 'm', 'S') ORDER BY 1`;

/** A file of a process that lives is its own affair. */
const TEMPORARY_FILES = `
  SELECT f.name, f.size FROM pg_ls_tmpdir() f
   WHERE (regexp_match(f.name, '^pgsql_tmp(\\d+)'))[1]::int NOT IN (SELECT pid FROM pg_stat_activity) ORDER BY 1`;

/** But for those that are planted. */
const PREPARED = `
  SELECT gid FROM pg_prepared_xacts
   WHERE database = current_database() AND NOT starts_with(gid, '${PREPARED_BY_FAULTS}') ORDER BY 1`;

interface Session {
  pid: number;
  state: string | null;
  query: string;
  wait_event: string | null;
  locks: string[];
}

export class LeftoversJudge {
  private readonly names: string[];

  /** @param connection of a superuser, to the server that takes writes now. */
  constructor(
    private readonly connection: () => ClientConfig,
    views: QualifiedName[],
    private readonly longestLockSeconds = LONGEST_LOCK_SECONDS,
  ) {
    this.names = views.map(qualifiedName);
  }

  /**
   * To be called when no run is under way. Waits for what may still end by itself, and no longer.
   * @returns what is left, a sentence each.
   */
  async check(circumstances: LeftoverCircumstances): Promise<string[]> {
    const { lastEndedEpochMs, isWireSilent } = circumstances;
    const patienceSeconds = isWireSilent ? this.longestLockSeconds : LONGEST_SESSION_SECONDS;
    const deadlineMs = lastEndedEpochMs + patienceSeconds * 1_000;
    return withClient({ ...this.connection(), application_name: "soak judge" }, async (client) => {
      for (;;) {
        const isOver = Date.now() >= deadlineMs;
        const left = await this.look(client, circumstances);
        if (left.length === 0 || isOver) return left;
        await pause(LOOK_AGAIN_AFTER_MS);
      }
    });
  }

  private async look(client: Client, circumstances: LeftoverCircumstances): Promise<string[]> {
    const { isWireSilent, isStandbyLost } = circumstances;
    const rows = async <Row>(text: string, values: unknown[] = []): Promise<Row[]> =>
      (await client.query(text, values)).rows as Row[];
    const oids = (await rows<{ oid: number }>(WATCHED, [this.names])).map(({ oid }) => oid);
    const sessions = (await rows<Session>(SESSIONS, [APPLICATION, oids])).filter(
      ({ wait_event, locks }) =>
        !(isStandbyLost && wait_event === "SyncRep") && (!isWireSilent || locks.length > 0),
    );
    const left = [
      ...sessions.map(describe),
      ...(await rows<{ pid: number; mode: string; of: string }>(STRAY_LOCKS, [APPLICATION])).map(
        ({ pid, mode, of }) =>
          `the advisory lock of ${of} is held (${mode}) by ${pid === 0 ? "a prepared transaction" : `pid ${pid}`}`,
      ),
      ...(await rows<{ gid: string }>(PREPARED)).map(({ gid }) => `transaction ${gid} is prepared`),
    ];
    // Of sessions that may stay, what they use may stay too.
    if (isWireSilent || isStandbyLost) return left;
    return [
      ...left,
      ...(await rows<{ name: string }>(TEMPORARY_TABLES)).map(({ name }) => `temporary table ${name}`),
      ...(await rows<{ name: string; size: string }>(TEMPORARY_FILES)).map(
        ({ name, size }) => `temporary file ${name} of ${size} bytes`,
      ),
    ];
  }
}

function describe({ pid, state, query, wait_event, locks }: Session): string {
  const holds = locks.length === 0 ? "holds no lock of a view" : `holds ${locks.join(", ")}`;
  const waits = wait_event === null ? "" : `, waits for ${wait_event}`;
  return `session ${pid} of a run that has ended is ${state ?? "starting"}${waits}, ${holds}: ${query.replace(/\s+/g, " ").trim()}`;
}
