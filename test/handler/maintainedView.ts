import { escapeIdentifier, type Client } from "pg";
import { FOLD_COMMENT, maintainedNames } from "../../handler/maintained";

/** A maintained view by hand: one key, one base table, whole images of the key in its log. */
interface HandMade {
  /** In public. */
  name: string;
  /** Qualified base table; its column `key` says to which row of the view one of its rows belongs. */
  table: string;
  key: string;
  /** Reads the table; its result has the column `key`, of type text, and these others. */
  query: string;
  columns: string[];
}

/** Sums of `public.items` by group. */
export const TOTALS: HandMade = {
  name: "totals",
  table: "public.items",
  key: "grp",
  query: "SELECT grp, sum(n) AS total, count(*) AS members FROM public.items GROUP BY grp",
  columns: ["total", "members"],
};
export const ITEMS = `
  CREATE TABLE public.items (id integer PRIMARY KEY, grp text NOT NULL, n integer NOT NULL);
  INSERT INTO public.items SELECT g, 'group ' || g % 3, g FROM generate_series(1, 9) g`;

/** Names of its objects, as SQL. */
export function objectsOf(name: string) {
  const names = maintainedNames({ schema: "public", name });
  const of = (object: string): string => `matview_refresh.${escapeIdentifier(object)}`;
  return {
    published: `public.${escapeIdentifier(name)}`,
    fold: of(names.fold),
    query: of(names.query),
    lock: of(names.lock),
    status: of(names.status),
    log: of(`${names.base}__log_1`),
    write: of(`${names.base}__log_1_write`),
  };
}

/** Makes one as the client's role, and gives matview_refresher what a fold needs. Ends a transaction where there is one. */
export async function maintain(
  client: Client,
  { name, table, key, query, columns }: HandMade,
): Promise<void> {
  const { published, fold, query: view, lock, status, log, write } = objectsOf(name);
  const all = [key, ...columns].join(", ");
  const differs = `ROW(${columns.map((c) => `p.${c}`).join(", ")}) IS DISTINCT FROM ROW(${columns.map((c) => `r.${c}`).join(", ")})`;
  await client.query(`
    CREATE VIEW ${view} AS ${query};
    CREATE TABLE ${published} AS SELECT ${all} FROM ${view};
    CREATE UNIQUE INDEX ON ${published} (${key});
    CREATE TABLE ${lock} ();
    CREATE TABLE ${status} AS
      SELECT 1 AS generator_version, 'maintained' AS phase, false AS paused, now() AS applied_at, now() AS last_full_at,
             ''::text AS last_full_reason, 0::bigint AS drift, NULL::timestamptz AS drift_at;
    CREATE TABLE ${log} (sign smallint NOT NULL, key text);

    CREATE FUNCTION ${write}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
      IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO ${log} VALUES (0, NULL);
        RETURN NULL;
      END IF;
      IF TG_OP <> 'INSERT' THEN INSERT INTO ${log} SELECT -1, ${key} FROM old_rows; END IF;
      IF TG_OP <> 'DELETE' THEN INSERT INTO ${log} SELECT 1, ${key} FROM new_rows; END IF;
      RETURN NULL;
    END $$;
    REVOKE EXECUTE ON FUNCTION ${write}() FROM PUBLIC;
    CREATE TRIGGER ${name}_insert AFTER INSERT ON ${table} REFERENCING NEW TABLE AS new_rows
      FOR EACH STATEMENT EXECUTE FUNCTION ${write}();
    CREATE TRIGGER ${name}_update AFTER UPDATE ON ${table} REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
      FOR EACH STATEMENT EXECUTE FUNCTION ${write}();
    CREATE TRIGGER ${name}_delete AFTER DELETE ON ${table} REFERENCING OLD TABLE AS old_rows
      FOR EACH STATEMENT EXECUTE FUNCTION ${write}();
    CREATE TRIGGER ${name}_truncate AFTER TRUNCATE ON ${table} FOR EACH STATEMENT EXECUTE FUNCTION ${write}();

    CREATE FUNCTION ${fold}(force_full boolean, full_every interval, allow_full boolean, OUT kind text, OUT reason text,
                            OUT changes bigint, OUT changed_rows bigint, OUT drift bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
    DECLARE
      affected text[];
      is_truncated boolean;
      written bigint;
    BEGIN
      IF current_setting('transaction_isolation') <> 'repeatable read' THEN
        RAISE 'the fold needs one snapshot';
      END IF;
      IF (SELECT paused FROM ${status}) THEN kind := 'paused'; RETURN; END IF;
      SELECT EXISTS (SELECT FROM ${log} l WHERE l.sign = 0) INTO is_truncated;
      reason := CASE WHEN force_full THEN 'it was asked for'
                     WHEN is_truncated THEN '${table} was truncated'
                     WHEN (SELECT last_full_at + full_every <= now() FROM ${status}) THEN 'one was due' END;
      kind := CASE WHEN reason IS NULL THEN 'incremental' ELSE 'full' END;
      IF kind = 'full' AND NOT allow_full THEN kind := 'refused'; RETURN; END IF;
      WITH taken AS (DELETE FROM ${log} RETURNING *)
      SELECT count(*), coalesce(array_agg(DISTINCT key), '{}') INTO changes, affected FROM taken;
      changed_rows := 0;
      FOR pass IN 1 .. CASE kind WHEN 'full' THEN 2 ELSE 1 END LOOP
        IF pass = 2 THEN
          affected := ARRAY(SELECT ${key} FROM ${view} UNION SELECT ${key} FROM ${published});
        END IF;
        WITH r AS MATERIALIZED (SELECT * FROM ${view} WHERE ${key} = ANY(affected)),
             d AS (DELETE FROM ${published} p WHERE p.${key} = ANY(affected)
                      AND NOT EXISTS (SELECT FROM r WHERE r.${key} = p.${key}) RETURNING 1),
             u AS (UPDATE ${published} p SET (${columns.join(", ")}) = ROW(${columns.map((c) => `r.${c}`).join(", ")})
                     FROM r WHERE r.${key} = p.${key} AND ${differs} RETURNING 1),
             i AS (INSERT INTO ${published} (${all}) SELECT ${all} FROM r
                    WHERE NOT EXISTS (SELECT FROM ${published} p WHERE p.${key} = r.${key}) RETURNING 1)
        SELECT (SELECT count(*) FROM d) + (SELECT count(*) FROM u) + (SELECT count(*) FROM i) INTO written;
        changed_rows := changed_rows + written;
        IF pass = 2 AND NOT is_truncated THEN drift := written; END IF;
      END LOOP;
      IF kind = 'full' THEN UPDATE ${status} SET last_full_at = now(), last_full_reason = reason; END IF;
    END $$;
    COMMENT ON FUNCTION ${fold} IS '${FOLD_COMMENT}public.${name}';
    REVOKE EXECUTE ON FUNCTION ${fold} FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION ${fold} TO matview_refresher;
    GRANT SELECT ON ${view}, ${status}, ${published} TO matview_refresher;
    GRANT UPDATE ON ${lock} TO matview_refresher;
    COMMIT`);
}
