-- The progress of every job, kept in a materialized view so that reading it does not scan job_objects.
-- Its index on job_objects, which a large table must get without blocking writers, is in 005.
-- A materialized view of this name that is there already stays as it is (001 says what is known as ours).
-- migrate: leaves public.job_progress

DO $view$
DECLARE
  view_kind "char" := (SELECT relkind FROM pg_catalog.pg_class WHERE oid = to_regclass('public.job_progress'));
  missing text;
BEGIN
  IF view_kind <> 'm' THEN
    RAISE EXCEPTION 'public.job_progress is there already and is no materialized view'
      USING ERRCODE = 'wrong_object_type',
            HINT = 'Rename or drop it, or write another name in this file.';
  END IF;

  IF view_kind IS NULL THEN
    -- Tables that were there before 001 may have other columns; said here instead of in the middle of the view.
    SELECT string_agg(format('public.%s.%s', needed.table_name, needed.column_name), ', ' ORDER BY needed.position)
      INTO missing
      FROM (VALUES
        (1, 'jobs', 'job_id'), (2, 'jobs', 'status'),
        (3, 'job_objects', 'job_id'), (4, 'job_objects', 'status'), (5, 'job_objects', 'updated_at')
      ) AS needed (position, table_name, column_name)
     WHERE NOT EXISTS (
       SELECT FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = to_regclass(format('public.%I', needed.table_name))
          AND a.attname = needed.column_name AND NOT a.attisdropped
     );
    IF missing IS NOT NULL THEN
      RAISE EXCEPTION 'job_progress needs columns that are not there: %', missing
        USING ERRCODE = 'undefined_column',
              HINT = 'Your tables differ from the ones in 001_jobs.sql. Write the view in this file for your columns.';
    END IF;

    -- Aggregated first, joined after: the join then handles one row a job instead of one an object, and the
    -- aggregation can run in parallel.
    CREATE MATERIALIZED VIEW public.job_progress AS
    SELECT
      j.job_id,
      j.status,
      coalesce(o.total_objects, 0) AS total_objects,
      coalesce(o.processed_objects, 0) AS processed_objects,
      coalesce(o.failed_objects, 0) AS failed_objects,
      coalesce(o.total_objects - o.processed_objects - o.failed_objects, 0) AS pending_objects,
      coalesce(round(100.0 * (o.processed_objects + o.failed_objects) / o.total_objects, 2), 0) AS percent_complete,
      o.last_activity_at
    FROM public.jobs j
    LEFT JOIN (
      SELECT
        job_id,
        count(*) AS total_objects,
        count(*) FILTER (WHERE status = 'processed') AS processed_objects,
        count(*) FILTER (WHERE status = 'failed') AS failed_objects,
        max(updated_at) AS last_activity_at
      FROM public.job_objects
      GROUP BY job_id
    ) o ON o.job_id = j.job_id;
    COMMENT ON MATERIALIZED VIEW public.job_progress IS
      'matview-refresh: progress of each job as of its last refresh; public.matview_freshness says when that was.';
  END IF;

  IF obj_description('public.job_progress'::regclass, 'pg_class') LIKE 'matview-refresh:%' THEN
    -- What lets the refresh run CONCURRENTLY: unique, on plain columns, of all rows.
    CREATE UNIQUE INDEX IF NOT EXISTS job_progress_job_id_idx ON public.job_progress (job_id);

    -- What a refresh reports. It reads the view and not the tables: cheap, and of the same moment as the view.
    CREATE OR REPLACE VIEW public.job_progress_statistics AS
    SELECT
      count(*) AS total_jobs,
      coalesce(sum(total_objects), 0)::bigint AS total_objects,
      coalesce(sum(processed_objects), 0)::bigint AS processed_objects,
      count(*) FILTER (WHERE status = 'running') AS active_jobs
    FROM public.job_progress;
  ELSIF NOT EXISTS (
    SELECT FROM pg_catalog.pg_index
     WHERE indrelid = 'public.job_progress'::regclass AND indisunique AND indisvalid AND indimmediate
       AND indpred IS NULL AND indexprs IS NULL
  ) THEN
    RAISE NOTICE E'public.job_progress was there before and is left as it is. It has no unique index of all its '
      'rows, so every refresh will block its readers. Its owner can give it one, on a column that is unique:\n%',
      'CREATE UNIQUE INDEX CONCURRENTLY ON public.job_progress (job_id);';
  ELSE
    RAISE NOTICE 'public.job_progress was there before and is left as it is.';
  END IF;
END
$view$;
