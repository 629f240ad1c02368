-- matview_refresher: a group role with what a refresh needs and nothing more. Give it to the user the function
-- logs in as, for instance on RDS with IAM authentication:
--   CREATE ROLE matview_refresh LOGIN;
--   GRANT matview_refresher TO matview_refresh;
--   GRANT rds_iam TO matview_refresh;
--
-- Who may refresh a view?
--   17 and later: whoever has MAINTAIN on it.
--   Before 17:    its owner alone. Membership in the owner would do, but the owner is usually an administrator, and
--                 a member may become it with SET ROLE. So the one view is given to matview_refresher instead, which
--                 gets SELECT on the two tables the view reads (a refresh runs the query as the view's owner).
--                 The price: a member may also drop or alter job_progress.
-- Neither is done to relations that the migrations did not make (001 says how they are known): the owner of such a
-- view could no longer refresh it. A notice says the SQL instead.
-- Each further view needs the same: GRANT MAINTAIN ON <view> TO matview_refresher (17 and later), and SELECT on its
-- statistics relation.
--
-- No superuser is needed: CREATEROLE (rds_superuser on RDS) is. A user without it gets a notice, and the rest of
-- the migrations still work. The file may be run again at any time, with psql too.

DO $role$
DECLARE
  progress constant regclass := 'public.job_progress';
  is_ours constant boolean := coalesce(obj_description(progress, 'pg_class') LIKE 'matview-refresh:%', false);
  grants_maintain constant boolean := current_setting('server_version_num')::int >= 170000;
  view_owner constant name := (SELECT pg_get_userbyid(relowner) FROM pg_catalog.pg_class WHERE oid = progress);
  may_refresh boolean;
  unreadable text;
BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'matview_refresher') THEN
    BEGIN
      CREATE ROLE matview_refresher NOLOGIN;
    EXCEPTION
      WHEN insufficient_privilege THEN
        RAISE NOTICE 'matview_refresher was not created: % may not create roles. Refreshes go on as the owner of '
          'the view. To have the role, let a user with CREATEROLE run this file with psql.', current_user;
        RETURN;
      WHEN duplicate_object OR unique_violation THEN
        -- Roles belong to the whole server: another database's migration was faster.
        NULL;
    END;
  END IF;

  GRANT USAGE ON SCHEMA public TO matview_refresher;
  GRANT SELECT, INSERT, DELETE ON public.matview_refresh_history TO matview_refresher;
  GRANT SELECT ON public.matview_freshness TO matview_refresher;

  IF NOT is_ours THEN
    may_refresh := pg_has_role('matview_refresher', view_owner, 'USAGE');
    IF grants_maintain THEN
      may_refresh := may_refresh OR has_table_privilege('matview_refresher', progress, 'MAINTAIN');
    END IF;
    IF NOT may_refresh AND grants_maintain THEN
      RAISE NOTICE E'public.job_progress was there before, so no right on it was given away. The role that refreshes '
        'it needs:\n%', 'GRANT SELECT, MAINTAIN ON public.job_progress TO matview_refresher;';
    ELSIF NOT may_refresh THEN
      RAISE NOTICE E'public.job_progress was there before, so no right on it was given away. Before PostgreSQL 17 only '
        'its owner may refresh it, and who is a member of the owner, with all that the owner may:\n%',
        format('GRANT %I TO matview_refresher;', view_owner);
    END IF;
    RETURN;
  END IF;

  GRANT SELECT ON public.job_progress, public.job_progress_statistics TO matview_refresher;

  IF grants_maintain THEN
    -- Dynamic, since older servers cannot parse it.
    EXECUTE 'GRANT MAINTAIN ON public.job_progress TO matview_refresher';
    RETURN;
  END IF;

  IF view_owner = 'matview_refresher' THEN
    RETURN;
  END IF;
  SELECT string_agg(format('public.%I', relname), ', ' ORDER BY relname DESC) INTO unreadable
    FROM pg_catalog.pg_class
   WHERE oid IN ('public.jobs'::regclass, 'public.job_objects'::regclass)
     AND coalesce(obj_description(oid, 'pg_class') NOT LIKE 'matview-refresh:%', true)
     AND NOT has_table_privilege('matview_refresher', oid, 'SELECT');
  IF unreadable IS NOT NULL THEN
    RAISE NOTICE E'% stayed as they were, so matview_refresher may not read them and cannot refresh '
      'public.job_progress, which before PostgreSQL 17 only its owner may. It needs:\n%\n%\n%', unreadable,
      format('GRANT SELECT ON %s TO matview_refresher;', unreadable),
      'ALTER MATERIALIZED VIEW public.job_progress OWNER TO matview_refresher;',
      format('GRANT SELECT ON public.job_progress TO %I;', view_owner);
    RETURN;
  END IF;
  BEGIN
    IF NOT pg_catalog.pg_has_role(current_user, 'matview_refresher', 'MEMBER') THEN
      -- To give something away one has to be a member of the receiver; it also keeps our own hold on the view.
      EXECUTE format('GRANT matview_refresher TO %I', current_user);
    END IF;
    -- Of the scanner's tables only our own: on others it has been given already.
    EXECUTE (
      SELECT coalesce(
        'GRANT SELECT ON ' || string_agg(oid::regclass::text, ', ') || ' TO matview_refresher', 'SELECT')
        FROM pg_catalog.pg_class
       WHERE oid IN ('public.jobs'::regclass, 'public.job_objects'::regclass)
         AND obj_description(oid, 'pg_class') LIKE 'matview-refresh:%'
    );
    -- A new owner must be allowed to create in the schema, though only at this moment.
    GRANT CREATE ON SCHEMA public TO matview_refresher;
    ALTER MATERIALIZED VIEW public.job_progress OWNER TO matview_refresher;
    REVOKE CREATE ON SCHEMA public FROM matview_refresher;
    -- job_progress_statistics goes on reading the view as its own owner.
    EXECUTE format('GRANT SELECT ON public.job_progress TO %I', view_owner);
  EXCEPTION
    WHEN insufficient_privilege THEN
      RAISE NOTICE 'matview_refresher cannot refresh public.job_progress yet: before PostgreSQL 17 only the owner of '
        'a view may, and % could not give it away (%). Let an administrator run: '
        'ALTER MATERIALIZED VIEW public.job_progress OWNER TO matview_refresher;', current_user, sqlerrm;
  END;
END
$role$;
