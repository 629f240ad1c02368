-- migrate: no-transaction
-- The index for questions about one job's objects by status. CONCURRENTLY, so that a large job_objects goes on
-- taking writes while it is built; that cannot be done inside a transaction.
-- A job_objects that 001 did not make stays as it is.

-- A build that failed leaves an index of this name that is not valid, which IF NOT EXISTS would take for the real
-- one. It is dropped first; if its table is busy for long, or another build of it is running, this gives up.
DO $drop$
DECLARE
  is_ours constant boolean :=
    coalesce(obj_description('public.job_objects'::regclass, 'pg_class') LIKE 'matview-refresh:%', false);
BEGIN
  IF is_ours AND EXISTS (
    SELECT FROM pg_catalog.pg_index
     WHERE indexrelid = to_regclass('public.idx_job_objects_job_id_status') AND NOT indisvalid
  ) THEN
    PERFORM set_config('lock_timeout', '5s', true);
    DROP INDEX public.idx_job_objects_job_id_status;
  ELSIF NOT is_ours AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_index
     WHERE indrelid = 'public.job_objects'::regclass AND indisvalid
       AND pg_get_indexdef(indexrelid, 1, true) = 'job_id' AND pg_get_indexdef(indexrelid, 2, true) = 'status'
  ) THEN
    RAISE NOTICE E'public.job_objects was there before and got no index. Questions about one job''s objects by status '
      'are faster with one:\n%', 'CREATE INDEX CONCURRENTLY ON public.job_objects (job_id, status);';
  END IF;
END
$drop$;

-- migrate: next statement
SELECT 'CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_job_objects_job_id_status ON public.job_objects (job_id, status)'
 WHERE obj_description('public.job_objects'::regclass, 'pg_class') LIKE 'matview-refresh:%'
\gexec
