/** What the function's database user may do: SQL that an administrator runs, on PostgreSQL 13 to 18. */
import { qualifiedSql, quoteDollars, quoteIdentifier, quoteText } from "../settings/names";
import type { Plan } from "./planTypes";

/** The group role that migration 007_refresher_role.sql makes. */
const REFRESHER_ROLE = "matview_refresher";

/**
 * The statements, in order: a login that may refresh the views, and nothing more. They may be run again at any time,
 * for instance when a view was added. With auth `secret` the login is the one that the secret names, which is not
 * known here: the statement for it is told and not run.
 */
export function grantsOf(
  { views, settings }: Pick<Plan, "views" | "settings">,
  database: { name: string; user: string | undefined },
): string[] {
  const login = settings.database.auth === "secret" ? undefined : database.user;
  const role = quoteIdentifier(REFRESHER_ROLE);
  return [
    ...(login === undefined ? [] : loginStatements(login)),
    `GRANT CONNECT, TEMPORARY ON DATABASE ${quoteIdentifier(database.name)} TO ${role};`,
    viewsStatement(views, login),
    ...(login === undefined ? [secretStatement] : []),
    failureStatement,
  ];
}

function loginStatements(login: string): string[] {
  const user = quoteIdentifier(login);
  const create = quoteDollars(
    `
BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = ${quoteText(login)}) THEN
    CREATE ROLE ${user} LOGIN;
  END IF;
END
`,
    "login",
  );
  return [
    `DO ${create};`,
    `GRANT rds_iam TO ${user};`,
    `GRANT ${quoteIdentifier(REFRESHER_ROLE)} TO ${user};`,
  ];
}

/**
 * Lets the role refresh the views. Before PostgreSQL 17 somebody has to lose something, and we take the least: as a
 * member of the owner, the function could do all that the owner may to all its tables; as owner of the view, it can
 * do as it likes with this view and reads what the view reads. So the view changes hands, the one before stays able
 * to do what it could, and each change is told together with the way back. Where that would change what the view
 * shows, or might end its refreshes, it is left to the administrator. Each view succeeds or fails alone: an error here
 * would take back the others too, so it is raised by {@link failureStatement}.
 */
function viewsStatement(views: Plan["views"], login: string | undefined): string {
  const rows = views.map((view) => {
    const statistics = view.statistics ? quoteText(qualifiedSql(view.statistics)) : "NULL";
    return `(${quoteText(qualifiedSql(view))}, ${statistics})`;
  });
  const body = `
-- From PostgreSQL 17 on, MAINTAIN lets matview_refresher refresh a view, and its owner stays.
-- Before 17 only a view's owner may refresh it, so each view below is GIVEN TO matview_refresher, which also gets
-- SELECT on what it reads. The former owner keeps its rights: it becomes a member of matview_refresher, and so may
-- read what the other views of the role read. Every change is told as a warning, with the statement that undoes it.
-- To leave a view with its owner, run this first; the function may then do all that this owner may, to any table:
--   GRANT <owner> TO matview_refresher;
DECLARE
  has_maintain CONSTANT boolean := current_setting('server_version_num')::int >= 170000;
  refresh_right CONSTANT text := CASE WHEN has_maintain THEN 'MAINTAIN' END;
  wanted record;
  target record;
  changes_hands boolean;
  sources oid[];
  routines oid[];
  held_back text;
  missing text[];
  statement text;
  failed text[] := '{}';
BEGIN
  FOR wanted IN
    SELECT * FROM (VALUES
      ${rows.join(",\n      ")}
    ) AS wanted(view, statistics)
  LOOP
    -- A view that cannot be granted takes back its own changes and leaves the others theirs.
    BEGIN
      SELECT c.oid, c.oid::regclass AS name, c.relowner::regrole AS owner, c.relnamespace::regnamespace AS schema,
             c.relkind = 'm' AS is_refreshed
        INTO target
        FROM pg_catalog.pg_class c
       WHERE c.oid = wanted.view::regclass;
      -- A view that is maintained incrementally is a table, which its fold alone writes: apply has granted the fold.
      changes_hands := NOT has_maintain AND target.is_refreshed
        AND target.owner <> 'matview_refresher'::regrole
        AND NOT pg_has_role(${quoteText(login ?? REFRESHER_ROLE)}, target.owner, 'USAGE');
      sources := '{}';
      routines := '{}';

      IF changes_hands THEN
        -- A refresh runs the view's query as the view's owner. That a view in the query reads its tables as its own
        -- owner spares the tables; its functions, and all of a view with security_invoker, run as the caller.
        WITH RECURSIVE read (relation, is_direct) AS (
          SELECT target.oid, false
          UNION
          SELECT d.refobjid, r.ev_class = target.oid
            FROM read
            JOIN pg_catalog.pg_class c ON c.oid = read.relation AND (c.relkind = 'v' OR c.oid = target.oid)
            JOIN pg_catalog.pg_rewrite r ON r.ev_class = c.oid
            JOIN pg_catalog.pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
           WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid <> c.oid
        ), scanned (relation) AS (
          SELECT relation FROM read WHERE is_direct
          UNION
          SELECT i.inhrelid FROM scanned JOIN pg_catalog.pg_inherits i ON i.inhparent = scanned.relation
        ), called (routine) AS (
          SELECT COALESCE(o.oprcode::oid, d.refobjid)
            FROM (SELECT DISTINCT relation FROM read) AS read
            JOIN pg_catalog.pg_class c ON c.oid = read.relation AND (c.relkind = 'v' OR c.oid = target.oid)
            JOIN pg_catalog.pg_rewrite r ON r.ev_class = c.oid
            JOIN pg_catalog.pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
            LEFT JOIN pg_catalog.pg_operator o ON d.refclassid = 'pg_operator'::regclass AND o.oid = d.refobjid
           WHERE d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass)
        ), held (reason) AS (
          SELECT format('%s shows each role other rows, so with another owner the view could lose some', c.oid::regclass)
            FROM pg_catalog.pg_class c JOIN read ON read.relation = c.oid
           WHERE (read.is_direct AND c.relrowsecurity) OR c.reloptions::text LIKE '%security_invoker%'
          UNION
          SELECT format('foreign table %s is read with the user mapping of the view''s owner, and another owner may have '
                        'none', c.oid::regclass)
            FROM pg_catalog.pg_class c JOIN scanned ON scanned.relation = c.oid
           WHERE c.relkind = 'f'
          UNION
          -- Functions of the system are not in pg_depend.
          SELECT format('function %s runs with the rights of the view''s owner, and may need more than another owner has',
                        p.oid::regprocedure)
            FROM pg_catalog.pg_proc p JOIN called ON called.routine = p.oid
           WHERE NOT p.prosecdef AND p.provolatile <> 'i' AND p.pronamespace <> 'pg_catalog'::regnamespace
        )
        SELECT ARRAY(SELECT relation FROM read WHERE is_direct), ARRAY(SELECT routine FROM called),
               (SELECT string_agg(reason, '; ' ORDER BY reason) FROM held)
          INTO sources, routines, held_back;
        IF held_back IS NOT NULL THEN
          RAISE WARNING '% was left with %: %. '
            'The role that refreshes it needs: GRANT % TO matview_refresher;',
            target.name, target.owner, held_back, target.owner;
          changes_hands := false;
          sources := '{}';
          routines := '{}';
        END IF;
      END IF;

      -- Who has a right but may not pass it on gets a warning of PostgreSQL and no error: so we look again.
      FOR attempt IN 1..2 LOOP
        missing := ARRAY(
          SELECT format('GRANT USAGE ON SCHEMA %s TO matview_refresher', c.relnamespace::regnamespace)
            FROM pg_catalog.pg_class c
           WHERE c.oid IN (target.oid, wanted.statistics::regclass)
             AND NOT has_schema_privilege('matview_refresher', c.relnamespace, 'USAGE')
          UNION
          SELECT format('GRANT SELECT ON %s TO matview_refresher', c.oid::regclass)
            FROM pg_catalog.pg_class c
           WHERE (c.oid IN (target.oid, wanted.statistics::regclass) OR c.oid = ANY (sources))
             AND NOT has_table_privilege('matview_refresher', c.oid, 'SELECT')
          UNION
          SELECT format('GRANT %s ON %s TO matview_refresher', refresh_right, target.name)
           WHERE target.is_refreshed AND NOT has_table_privilege('matview_refresher', target.oid, refresh_right)
          UNION
          SELECT format('GRANT EXECUTE ON ROUTINE %s TO matview_refresher', routine::regprocedure)
            FROM unnest(routines) AS routine
           WHERE NOT has_function_privilege('matview_refresher', routine, 'EXECUTE'));
        IF attempt = 2 AND missing <> '{}' THEN
          RAISE insufficient_privilege
            USING MESSAGE = format('%I has no right to: %s', current_user, array_to_string(missing, '; '));
        END IF;
        FOREACH statement IN ARRAY missing LOOP
          EXECUTE statement;
        END LOOP;
      END LOOP;

      IF changes_hands THEN
        -- Who gives a view away must be a member of its new owner; who gave it stays one.
        FOR statement IN
          SELECT format('GRANT matview_refresher TO %I', rolname)
            FROM pg_catalog.pg_roles
           WHERE (rolname = current_user OR oid = target.owner) AND NOT rolsuper
        LOOP
          EXECUTE statement;
        END LOOP;
        -- The new owner must be allowed to create in the schema, though only at this moment.
        IF has_schema_privilege('matview_refresher', target.schema, 'CREATE') THEN
          EXECUTE format('ALTER MATERIALIZED VIEW %s OWNER TO matview_refresher', target.name);
        ELSE
          EXECUTE format('GRANT CREATE ON SCHEMA %s TO matview_refresher', target.schema);
          EXECUTE format('ALTER MATERIALIZED VIEW %s OWNER TO matview_refresher', target.name);
          EXECUTE format('REVOKE CREATE ON SCHEMA %s FROM matview_refresher', target.schema);
        END IF;
        EXECUTE format('GRANT ALL ON %s TO %s', target.name, target.owner);
        RAISE WARNING '% now belongs to matview_refresher: before PostgreSQL 17 only its owner may refresh a view. '
          'To undo it: ALTER MATERIALIZED VIEW % OWNER TO %;', target.name, target.name, target.owner;
      END IF;
    EXCEPTION WHEN OTHERS THEN
      RAISE WARNING '% was not granted and is as it was: % (SQLSTATE %). '
        'Put that right and run this again; for want of a right, as a superuser or a member of the owners of the view '
        'and of what it reads.',
        wanted.view, SQLERRM, SQLSTATE;
      failed := failed || wanted.view;
    END;
  END LOOP;
  PERFORM set_config('matview_refresh.not_granted', array_to_string(failed, ', '), false);
END
`;
  return `DO ${quoteDollars(body, "refresh")};`;
}

const secretStatement = `DO $secret$
BEGIN
  RAISE WARNING 'The function logs in as the user that its secret names. Unless you did it before, run, with that name: '
    'GRANT matview_refresher TO <user>;';
END
$secret$;`;

/** Fails after what was granted is committed, so that `psql -v ON_ERROR_STOP=1` tells it by its exit code. */
const failureStatement = `DO $failures$
BEGIN
  -- What was granted stays, unless all of this runs in one transaction.
  IF current_setting('matview_refresh.not_granted', true) <> '' THEN
    RAISE EXCEPTION 'Not granted: %. The warnings say why. The other views keep what they were granted.',
      current_setting('matview_refresh.not_granted');
  END IF;
END
$failures$;`;
