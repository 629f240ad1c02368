/** What a compiler would make of one view, written by hand: totals of orders by customer. */
import { escapeIdentifier, escapeLiteral } from "pg";
import { Budget } from "../../handler/budget";
import { Session } from "../../handler/connect";
import { maintainedNames } from "../../handler/maintained";
import { quotedName } from "../../handler/names";
import type { QualifiedName } from "../../handler/settings";
import type { Patience } from "../../incremental/install/runner";
import type { Maintenance, TableLog } from "../../incremental/maintenance";
import type { TestDatabase } from "../database";
import type { ClientConfig } from "pg";

const inSchema = (name: string): string => `"matview_refresh".${escapeIdentifier(name)}`;
const FUNCTION_SETTINGS = "SECURITY DEFINER SET search_path = pg_catalog, pg_temp";

/** SQL of the base table and of the view, its index and all that a view can have. */
export function scenery(view: QualifiedName, orders: QualifiedName): string {
  return `
    CREATE TABLE ${quotedName(orders)} (id int PRIMARY KEY, customer text NOT NULL, amount numeric(12, 2) NOT NULL);
    INSERT INTO ${quotedName(orders)} SELECT n, 'c' || n % 10, n FROM generate_series(1, 100) n;
    CREATE MATERIALIZED VIEW ${quotedName(view)} AS
      SELECT customer, count(*) AS orders, sum(amount) AS amount FROM ${quotedName(orders)} GROUP BY customer;
    CREATE UNIQUE INDEX ${escapeIdentifier(`${view.name}_customer`.slice(-40))} ON ${quotedName(view)} (customer);`;
}

/** @param version another one has another fold, another log, and so another shape. */
export function handmade(
  view: QualifiedName,
  orders: QualifiedName & { oid?: number; partitions?: QualifiedName[] },
  version = 1,
): Maintenance {
  const names = maintainedNames(view);
  const log = logOf(names.base, orders, version);
  return {
    view,
    names,
    restrictionKey: ["customer"],
    generatorVersion: version,
    uniqueKey: ["customer"],
    logs: [log],
    states: [],
    createFingerprint: fingerprint(names.fingerprint, log, version),
    createFold: fold(names, view, orders, log),
  };
}

function logOf(
  base: string,
  orders: QualifiedName & { oid?: number; partitions?: QualifiedName[] },
  version: number,
): TableLog {
  const name = `${base}__log_1`;
  const write = `${name}_write`;
  const relations = [{ schema: orders.schema, name: orders.name }, ...(orders.partitions ?? [])];
  const insert = (rows: string): string => `INSERT INTO ${inSchema(name)} SELECT customer FROM ${rows};`;
  const events = {
    insert: "REFERENCING NEW TABLE AS new_rows",
    update: "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
    delete: "REFERENCING OLD TABLE AS old_rows",
    truncate: "",
  };
  return {
    table: { schema: orders.schema, name: orders.name },
    tableOid: orders.oid ?? 0,
    relations,
    name,
    function: write,
    form: "images",
    createTable: `CREATE TABLE ${inSchema(name)} (customer text${version > 1 ? ", more int" : ""});`,
    createFunction: `CREATE OR REPLACE FUNCTION ${inSchema(write)}() RETURNS trigger LANGUAGE plpgsql ${FUNCTION_SETTINGS} AS $write$
BEGIN
  IF TG_OP IN ('UPDATE', 'DELETE') THEN ${insert("old_rows")} END IF;
  IF TG_OP IN ('UPDATE', 'INSERT') THEN ${insert("new_rows")} END IF;
  IF TG_OP = 'TRUNCATE' THEN INSERT INTO ${inSchema(name)} VALUES (NULL); END IF;
  RETURN NULL;
END $write$;`,
    triggers: relations.flatMap((relation) =>
      Object.entries(events).map(([event, referencing]) => {
        const trigger = `matview_refresh_${base.length.toString(16).padStart(8, "0")}_${event}`;
        const sql = `CREATE TRIGGER ${trigger} AFTER ${event.toUpperCase()} ON ${quotedName(relation)} ${referencing} FOR EACH STATEMENT EXECUTE FUNCTION ${inSchema(write)}()`;
        return { relation, name: trigger, sql };
      }),
    ),
  };
}

function fingerprint(name: string, log: TableLog, version: number): string {
  const functionName = escapeLiteral(log.function);
  return `CREATE OR REPLACE FUNCTION ${inSchema(name)}(OUT shape text, OUT content text, OUT broken text)
LANGUAGE sql ${FUNCTION_SETTINGS} AS $print$
  SELECT 'shape ${version}', 'content', CASE WHEN count(*) < ${log.triggers.length} THEN 'a trigger is missing' END
    FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid WHERE p.proname = ${functionName} $print$`;
}

function fold(
  { fold: name, status, fingerprint: print }: Maintenance["names"],
  view: QualifiedName,
  orders: QualifiedName,
  log: TableLog,
): string {
  const query = (where: string): string =>
    `SELECT customer, count(*), sum(amount) FROM ${quotedName(orders)} ${where} GROUP BY customer`;
  return `CREATE OR REPLACE FUNCTION ${inSchema(name)}(force_full boolean, full_every interval, allow_full boolean,
  OUT kind text, OUT reason text, OUT changes bigint, OUT changed_rows bigint, OUT drift bigint)
LANGUAGE plpgsql ${FUNCTION_SETTINGS} SET "TimeZone" = 'Europe/Vienna' SET jit = off AS $fold$
DECLARE
  stored record;
  found_print record;
  affected text[];
  found_drift bigint;
BEGIN
  IF current_setting('transaction_isolation') <> 'repeatable read' THEN RAISE EXCEPTION 'another isolation level'; END IF;
  SELECT * INTO stored FROM ${inSchema(status)};
  IF stored.paused THEN kind := 'paused'; RETURN; END IF;
  SELECT * INTO found_print FROM ${inSchema(print)}();
  reason := CASE WHEN force_full THEN 'asked for' WHEN found_print.broken IS NOT NULL THEN found_print.broken
                 WHEN stored.shape IS DISTINCT FROM found_print.shape THEN 'another shape'
                 WHEN EXISTS (SELECT FROM ${inSchema(log.name)} WHERE customer IS NULL) THEN 'truncated'
                 WHEN stored.last_full_at < now() - full_every THEN 'due' END;
  IF reason IS NOT NULL AND NOT allow_full THEN kind := 'refused'; RETURN; END IF;
  WITH gone AS (DELETE FROM ${inSchema(log.name)} RETURNING customer)
  SELECT array_agg(DISTINCT customer), count(*) INTO affected, changes FROM gone;
  kind := 'incremental';
  DELETE FROM ${quotedName(view)} WHERE customer = ANY (affected);
  GET DIAGNOSTICS changed_rows = ROW_COUNT;
  INSERT INTO ${quotedName(view)} ${query("WHERE customer = ANY (affected)")};
  IF reason IS NULL THEN RETURN; END IF;
  kind := 'full';
  SELECT count(*) INTO drift FROM (SELECT * FROM ${quotedName(view)} EXCEPT ${query("")}) d;
  SELECT count(*) + drift INTO found_drift FROM (${query("")} EXCEPT SELECT * FROM ${quotedName(view)}) d;
  drift := found_drift;
  DELETE FROM ${quotedName(view)};
  INSERT INTO ${quotedName(view)} ${query("")};
  UPDATE ${inSchema(status)} SET last_full_at = now(), last_full_reason = reason, drift = coalesce(stored.drift, 0) + found_drift;
END $fold$`;
}

/** A session as the commands have it. */
export function sessionOf(database: TestDatabase, options: ClientConfig = {}): Promise<Session> {
  return Session.open({ ...database.options(), ...options }, new Budget(10 * 60_000));
}

/** Patience that ends soon, and what was said. */
export function shortPatience(totalMs = 10_000): Patience & { lines: string[] } {
  const lines: string[] = [];
  return { lockTimeoutMs: 200, totalMs, report: (line) => lines.push(line), lines };
}
