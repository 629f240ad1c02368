-- What a failure said to do about it, and who stood in its way: whoever looks later finds neither in the lock table.
-- Both hold names of objects, roles and processes, never what is in a row.

ALTER TABLE public.matview_refresh_history
  ADD COLUMN IF NOT EXISTS remedy text,
  ADD COLUMN IF NOT EXISTS blockers text[];

COMMENT ON COLUMN public.matview_refresh_history.remedy IS
  'Failures: a command or SQL that puts it right, as the run''s own message had it; null before 0.2.0.';
COMMENT ON COLUMN public.matview_refresh_history.blockers IS
  'Failures that waited for a lock: who held it, or waited for it in front, when the wait was given up; one line each.';
