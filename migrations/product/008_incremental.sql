-- Maintained views: materialized views whose relation has become a table, into which a stored function folds what
-- changed. History tells what a fold did and which handler ran it, matview_freshness knows such tables, and the schema
-- in which everything stands that maintains views is made here. It stays empty until `npm run incremental -- apply`.
-- The columns of matview_freshness stay as they are, as 006 says.

ALTER TABLE public.matview_refresh_history
  ADD COLUMN IF NOT EXISTS handler_version text,
  ADD COLUMN IF NOT EXISTS changes bigint,
  ADD COLUMN IF NOT EXISTS changed_rows bigint,
  ADD COLUMN IF NOT EXISTS drift bigint,
  DROP CONSTRAINT IF EXISTS matview_refresh_history_refresh_type_check,
  ADD CONSTRAINT matview_refresh_history_refresh_type_check
    CHECK (refresh_type IN ('concurrent', 'regular', 'incremental', 'full'));

COMMENT ON COLUMN public.matview_refresh_history.refresh_type IS
  'How it was refreshed. A materialized view: concurrent, or regular, which locks readers out. A maintained one: '
  'incremental, or full where it was computed anew; reason says why.';
COMMENT ON COLUMN public.matview_refresh_history.reason IS
  'Why a run was skipped or failed, why a refresh was not concurrent or not incremental, or why its as_of is unknown. '
  'Never holds data of the view.';
COMMENT ON COLUMN public.matview_refresh_history.handler_version IS
  'Version of the program that wrote the row; null before 0.2.0.';
COMMENT ON COLUMN public.matview_refresh_history.changes IS
  'Maintained views: logged changes of the tables that were taken.';
COMMENT ON COLUMN public.matview_refresh_history.changed_rows IS
  'Maintained views: rows of the view that were inserted, updated or deleted.';
COMMENT ON COLUMN public.matview_refresh_history.drift IS
  'Maintained views: rows that a full run found different once the changes were folded, so that some change had not '
  'been logged; null where they were not counted.';

-- As in 006, but a table with a history counts as existing: its oid has to match too.
CREATE OR REPLACE VIEW public.matview_freshness AS
WITH RECURSIVE recorded (view_schema, view_name) AS (
  -- The distinct names of the history, one index descent a name; DISTINCT would read every row.
  (SELECT h.view_schema, h.view_name
     FROM public.matview_refresh_history h
    ORDER BY h.view_schema, h.view_name
    LIMIT 1)
  UNION ALL
  SELECT following.view_schema, following.view_name
    FROM recorded r
   CROSS JOIN LATERAL (
     SELECT h.view_schema, h.view_name
       FROM public.matview_refresh_history h
      WHERE (h.view_schema, h.view_name) > (r.view_schema, r.view_name)
      ORDER BY h.view_schema, h.view_name
      LIMIT 1
   ) following
),
existing AS (
  SELECT n.nspname::text AS view_schema, c.relname::text AS view_name, c.oid AS view_oid
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relkind = 'm'
      OR c.relkind = 'r' AND (n.nspname::text, c.relname::text) IN (SELECT r.view_schema, r.view_name FROM recorded r)
),
known AS (
  SELECT coalesce(e.view_schema, r.view_schema) AS view_schema, coalesce(e.view_name, r.view_name) AS view_name,
         e.view_oid
    FROM existing e
    FULL JOIN recorded r ON r.view_schema = e.view_schema AND r.view_name = e.view_name
)
SELECT
  k.view_schema,
  k.view_name,
  refreshed.as_of,
  checked.finished_at AS checked_at,
  now() - refreshed.as_of AS age,
  extract(epoch FROM now() - refreshed.as_of)::double precision AS age_seconds,
  last_run.outcome AS last_outcome,
  failed.finished_at AS last_failure_at,
  failed.sqlstate AS last_failure_sqlstate
FROM known k
-- A view that was dropped and made anew does not inherit the age of its predecessor: its oid has to match too.
LEFT JOIN LATERAL (
  SELECT h.as_of
    FROM public.matview_refresh_history h
   WHERE h.view_schema = k.view_schema AND h.view_name = k.view_name AND h.outcome = 'refreshed'
     AND (k.view_oid IS NULL OR h.view_oid = k.view_oid)
   ORDER BY h.id DESC
   LIMIT 1
) refreshed ON true
LEFT JOIN LATERAL (
  SELECT h.finished_at
    FROM public.matview_refresh_history h
   WHERE h.view_schema = k.view_schema AND h.view_name = k.view_name AND (h.as_of IS NOT NULL OR h.outcome = 'refreshed')
     AND (k.view_oid IS NULL OR h.view_oid = k.view_oid)
   ORDER BY h.id DESC
   LIMIT 1
) checked ON true
LEFT JOIN LATERAL (
  SELECT h.outcome
    FROM public.matview_refresh_history h
   WHERE h.view_schema = k.view_schema AND h.view_name = k.view_name
   ORDER BY h.id DESC
   LIMIT 1
) last_run ON true
LEFT JOIN LATERAL (
  SELECT h.finished_at, h.sqlstate
    FROM public.matview_refresh_history h
   WHERE h.view_schema = k.view_schema AND h.view_name = k.view_name AND h.outcome = 'failed'
   ORDER BY h.id DESC
   LIMIT 1
) failed ON true;

COMMENT ON VIEW public.matview_freshness IS
  'Age of every materialized view, and of what else is in the history: tables that are maintained as views, and views '
  'that are no longer in the database. '
  'as_of: time of the data; null when no refresh of this view is recorded, or its last one read a view of unknown age: '
  'checked_at is set then, and the reason in matview_refresh_history says which.';

DO $schema$
BEGIN
  -- Asked first: IF NOT EXISTS wants the right to create even where there is nothing to create.
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'matview_refresh') THEN
    BEGIN
      CREATE SCHEMA matview_refresh;
      COMMENT ON SCHEMA matview_refresh IS
        'matview-refresh: what maintains views incrementally. Made and taken away by npm run incremental.';
    EXCEPTION
      WHEN insufficient_privilege THEN
        RAISE NOTICE 'Schema matview_refresh was not created: % has no CREATE on database %. Refreshes do not need it; '
          'npm run incremental -- apply makes it where a view is to be maintained.', current_user, current_database();
        RETURN;
    END;
  END IF;

  IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'matview_refresher')
     AND NOT has_schema_privilege('matview_refresher', 'matview_refresh', 'USAGE') THEN
    BEGIN
      GRANT USAGE ON SCHEMA matview_refresh TO matview_refresher;
    EXCEPTION
      WHEN insufficient_privilege THEN
        RAISE NOTICE 'Schema matview_refresh belongs to another role. Let its owner run: '
          'GRANT USAGE ON SCHEMA matview_refresh TO matview_refresher;';
    END;
  END IF;
END
$schema$;
