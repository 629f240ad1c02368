-- matview_refresher: a group role for the user the function logs in as. Here it gets what every refresh needs, the
-- history and the ages; no view is named. The rights on the views are in the stack's output `grants`, and those on
-- the scanner's own view in 004, which makes the same role and changes nothing of this.
--
-- No superuser is needed: CREATEROLE (rds_superuser on RDS) is. A user without it gets a notice, and the rest of
-- the migrations still work. The file may be run again at any time, with psql too.

DO $role$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'matview_refresher') THEN
    BEGIN
      CREATE ROLE matview_refresher NOLOGIN;
    EXCEPTION
      WHEN insufficient_privilege THEN
        RAISE NOTICE 'matview_refresher was not created: % may not create roles. To have the role, let a user with '
          'CREATEROLE run 007_refresher_role.sql with psql.', current_user;
        RETURN;
      WHEN duplicate_object OR unique_violation THEN
        -- Roles belong to the whole server: another database's migration was faster.
        NULL;
    END;
  END IF;

  GRANT USAGE ON SCHEMA public TO matview_refresher;
  GRANT SELECT, INSERT, DELETE ON public.matview_refresh_history TO matview_refresher;
  GRANT SELECT ON public.matview_freshness TO matview_refresher;
END
$role$;
