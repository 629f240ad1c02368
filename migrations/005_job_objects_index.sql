-- migrate: no-transaction
-- The index for questions about one job's objects by status. CONCURRENTLY, so that an existing large job_objects
-- goes on taking writes while it is built; that cannot be done inside a transaction.

-- A build that failed leaves an index of this name that is not valid, which IF NOT EXISTS would take for the real
-- one. It is dropped first; if its table is busy for long, or another build of it is running, this gives up.
DO $drop$
BEGIN
  IF EXISTS (
    SELECT FROM pg_catalog.pg_index
     WHERE indexrelid = to_regclass('public.idx_job_objects_job_id_status') AND NOT indisvalid
  ) THEN
    PERFORM set_config('lock_timeout', '5s', true);
    DROP INDEX public.idx_job_objects_job_id_status;
  END IF;
END
$drop$;

-- migrate: next statement
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_job_objects_job_id_status ON public.job_objects (job_id, status);
