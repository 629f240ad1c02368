/** A relation as the catalog has it, oids left out, so that it can be compared with what it was. */
import type { Client } from "pg";

/** Everything about a relation that somebody could have set, its rows and what depends on it. */
export async function catalogOf(client: Client, name: string): Promise<unknown> {
  await client.query("SET search_path = pg_catalog");
  const { rows } = await client.query(
    `SELECT c.relkind, pg_get_userbyid(c.relowner) AS owner, c.reloptions, c.relreplident, c.relispopulated,
            (SELECT spcname FROM pg_tablespace t WHERE t.oid = c.reltablespace) AS tablespace,
            obj_description(c.oid) AS comment, CASE c.relkind WHEN 'm' THEN pg_get_viewdef(c.oid) END AS definition,
            ARRAY(SELECT concat_ws(' ', x.grantee::regrole, x.privilege_type, x.is_grantable)
                    FROM aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) x ORDER BY 1) AS acl,
            (SELECT json_agg(json_build_array(a.attname, format_type(a.atttypid, a.atttypmod), a.attcollation, a.attstorage,
                      a.attcompression, a.attoptions, CASE WHEN a.attstattarget >= 0 THEN a.attstattarget END, col_description(c.oid, a.attnum),
                      (SELECT array_agg(x::text ORDER BY x::text) FROM aclexplode(a.attacl) x)) ORDER BY a.attnum)
               FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0) AS columns,
            (SELECT json_agg(json_build_array(pg_get_indexdef(i.indexrelid), i.indisclustered, i.indisvalid, obj_description(i.indexrelid),
                      (SELECT array_agg(attstattarget ORDER BY attnum) FROM pg_attribute WHERE attrelid = i.indexrelid AND attstattarget >= 0))
                      ORDER BY i.indexrelid::regclass::text)
               FROM pg_index i WHERE i.indrelid = c.oid) AS indexes,
            (SELECT json_agg(json_build_array(pg_get_statisticsobjdef(s.oid), CASE WHEN s.stxstattarget >= 0 THEN s.stxstattarget END,
                      obj_description(s.oid)) ORDER BY s.stxname)
               FROM pg_statistic_ext s WHERE s.stxrelid = c.oid) AS statistics,
            (SELECT json_agg(json_build_array(v.oid, v.oid::regclass::text, v.reloptions, pg_get_viewdef(v.oid)) ORDER BY v.oid)
               FROM pg_class v WHERE v.oid IN (SELECT r.ev_class FROM pg_rewrite r JOIN pg_depend d ON d.objid = r.oid
                 WHERE d.refobjid = c.oid AND r.ev_class <> c.oid)) AS views,
            (SELECT json_agg(pg_get_functiondef(p.oid) ORDER BY p.oid)
               FROM pg_proc p WHERE p.oid IN (SELECT d.objid FROM pg_depend d WHERE d.refobjid = c.oid AND d.classid = 'pg_proc'::regclass))
              AS functions
       FROM pg_class c WHERE c.oid = $1::regclass`,
    [name],
  );
  await client.query("RESET search_path");
  return rows[0];
}

/** What is left of incremental maintenance in the database. */
export async function leftovers(client: Client): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'matview_refresh'
     UNION ALL SELECT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'matview_refresh'
     UNION ALL SELECT relname FROM pg_class WHERE relname ~ '__(new|old|restored|i1|s1)$'
     UNION ALL SELECT tgname FROM pg_trigger WHERE tgname LIKE 'matview_refresh%'`,
  );
  return rows.map(({ name }) => name);
}
