-- A refresh may be recorded though the time of its data is unknown: of a view that reads a materialized view whose
-- refreshes nobody records. It then has to say why.
-- The columns of matview_freshness stay as they are: 003, run again to make something that is gone, could not put its
-- own definition in the place of one with more.

ALTER TABLE public.matview_refresh_history
  DROP CONSTRAINT IF EXISTS refreshed_rows_have_as_of,
  ADD CONSTRAINT refreshed_rows_have_as_of
    CHECK (outcome <> 'refreshed' OR as_of IS NOT NULL OR reason IS NOT NULL);

COMMENT ON COLUMN public.matview_refresh_history.as_of IS
  'The time the data is of: the start of the refreshing statement''s snapshot. Null on a refreshed row where the view '
  'reads one of unknown age; reason says which. On a skipped row, set only when the run found that the view needed no '
  'refresh.';
COMMENT ON COLUMN public.matview_refresh_history.reason IS
  'Why a run was skipped or failed, why a refresh was not concurrent, or why its as_of is unknown. Never holds data of '
  'the view.';

-- As in 003, but a refresh of unknown as_of counts as a check, and takes the view's age away.
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
  'Age of every materialized view, and of those that are in the history but no longer in the database. '
  'as_of: time of the data; null when no refresh of this view is recorded, or its last one read a view of unknown age: '
  'checked_at is set then, and the reason in matview_refresh_history says which.';
