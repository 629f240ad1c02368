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
  const relations = views.flatMap((view) => [view, ...(view.statistics ? [view.statistics] : [])]);
  const statements = [
    ...(login === undefined ? [] : loginStatements(login)),
    `GRANT CONNECT, TEMPORARY ON DATABASE ${quoteIdentifier(database.name)} TO ${role};`,
    ...relations.map(({ schema }) => `GRANT USAGE ON SCHEMA ${quoteIdentifier(schema)} TO ${role};`),
    ...relations.map((relation) => `GRANT SELECT ON ${qualifiedSql(relation)} TO ${role};`),
    refreshStatement(views.map(qualifiedSql), login),
    ...(login === undefined ? [secretStatement] : []),
  ];
  return [...new Set(statements)];
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
 * shows, it is left to the administrator.
 */
function refreshStatement(views: string[], login: string | undefined): string {
  const body = `
-- From PostgreSQL 17 on, MAINTAIN lets matview_refresher refresh a view, and its owner stays.
-- Before 17 only a view's owner may refresh it, so each view below is GIVEN TO matview_refresher, which also gets
-- SELECT on what it reads. The former owner keeps its rights: it becomes a member of matview_refresher, and so may
-- read what the other views of the role read. Every change is told as a warning, with the statement that undoes it.
-- To leave a view with its owner, run this first; the function may then do all that this owner may, to any table:
--   GRANT <owner> TO matview_refresher;
DECLARE
  target record;
  sources oid[];
  held_back text;
  statement text;
BEGIN
  FOR target IN
    SELECT c.oid, c.oid::regclass AS name, c.relowner::regrole AS owner, c.relnamespace::regnamespace AS schema
      FROM pg_catalog.pg_class c
     WHERE c.oid = ANY (ARRAY[
       ${views.map(quoteText).join(",\n       ")}
     ]::regclass[]::oid[])
  LOOP
    IF current_setting('server_version_num')::int >= 170000 THEN
      EXECUTE format('GRANT MAINTAIN ON %s TO matview_refresher', target.name);
      CONTINUE;
    END IF;
    CONTINUE WHEN target.owner = 'matview_refresher'::regrole
               OR pg_has_role(${quoteText(login ?? REFRESHER_ROLE)}, target.owner, 'USAGE');

    sources := ARRAY(
      SELECT d.refobjid FROM pg_catalog.pg_rewrite r
        JOIN pg_catalog.pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
       WHERE r.ev_class = target.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> target.oid);
    SELECT string_agg(oid::regclass::text, ', ') INTO held_back
      FROM pg_catalog.pg_class
     WHERE oid = ANY (sources) AND (relrowsecurity OR reloptions::text LIKE '%security_invoker%');
    IF held_back IS NOT NULL THEN
      RAISE WARNING '% was left with %: % shows each role other rows, so with another owner the view could lose some. '
        'The role that refreshes it needs: GRANT % TO matview_refresher;',
        target.name, target.owner, held_back, target.owner;
      CONTINUE;
    END IF;

    -- A refresh runs the view's query as the view's owner.
    FOR statement IN
      SELECT format('GRANT SELECT ON %s TO matview_refresher', oid::regclass)
        FROM pg_catalog.pg_class
       WHERE oid = ANY (sources) AND NOT has_table_privilege('matview_refresher', oid, 'SELECT')
      UNION
      SELECT format('GRANT EXECUTE ON ROUTINE %s TO matview_refresher', d.refobjid::regprocedure)
        FROM pg_catalog.pg_rewrite r
        JOIN pg_catalog.pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
       WHERE r.ev_class = target.oid AND d.refclassid = 'pg_proc'::regclass
         AND NOT has_function_privilege('matview_refresher', d.refobjid, 'EXECUTE')
      UNION
      -- Who gives a view away must be a member of its new owner; who gave it stays one.
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
  END LOOP;
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
