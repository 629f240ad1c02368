-- matview_freshness of a long history: each view's rows by the indexes of 003, whatever the planner makes of its
-- statistics. Names from the catalog are of collation "C", in which those indexes do not find anything, so that the
-- whole history was walked for a view which was not lately refreshed. And by equal signs and ORDER BY id the primary key
-- would serve as well, which for a view without rows is the whole table too: so the bounds are rows, and the order names
-- every column.
-- What it shows, and its columns with their collations, stay as they are, as 006 says.

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
         e.view_oid,
         coalesce(e.view_schema, r.view_schema) COLLATE pg_catalog."default" AS schema_key,
         coalesce(e.view_name, r.view_name) COLLATE pg_catalog."default" AS name_key
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
   WHERE (h.view_schema, h.view_name, h.outcome) >= (k.schema_key, k.name_key, 'refreshed')
     AND (h.view_schema, h.view_name, h.outcome) <= (k.schema_key, k.name_key, 'refreshed')
     AND (k.view_oid IS NULL OR h.view_oid = k.view_oid)
   ORDER BY h.view_schema DESC, h.view_name DESC, h.outcome DESC, h.id DESC
   LIMIT 1
) refreshed ON true
LEFT JOIN LATERAL (
  SELECT h.finished_at
    FROM public.matview_refresh_history h
   WHERE (h.view_schema, h.view_name) >= (k.schema_key, k.name_key)
     AND (h.view_schema, h.view_name) <= (k.schema_key, k.name_key)
     AND (h.as_of IS NOT NULL OR h.outcome = 'refreshed')
     AND (k.view_oid IS NULL OR h.view_oid = k.view_oid)
   ORDER BY h.view_schema DESC, h.view_name DESC, h.id DESC
   LIMIT 1
) checked ON true
LEFT JOIN LATERAL (
  SELECT h.outcome
    FROM public.matview_refresh_history h
   WHERE (h.view_schema, h.view_name) >= (k.schema_key, k.name_key)
     AND (h.view_schema, h.view_name) <= (k.schema_key, k.name_key)
   ORDER BY h.view_schema DESC, h.view_name DESC, h.id DESC
   LIMIT 1
) last_run ON true
LEFT JOIN LATERAL (
  SELECT h.finished_at, h.sqlstate
    FROM public.matview_refresh_history h
   WHERE (h.view_schema, h.view_name, h.outcome) >= (k.schema_key, k.name_key, 'failed')
     AND (h.view_schema, h.view_name, h.outcome) <= (k.schema_key, k.name_key, 'failed')
   ORDER BY h.view_schema DESC, h.view_name DESC, h.outcome DESC, h.id DESC
   LIMIT 1
) failed ON true;
