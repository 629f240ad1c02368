/**
 * The fold: the stored function that takes what was logged and brings the published table up to date, or recomputes
 * all of it. It is called in one REPEATABLE READ snapshot, after the locks.
 */
import type { MaintainedNames } from "../handler/maintained";
import type { QualifiedName } from "../handler/settings";
import { toSql } from "./expression";
import { came, deltaQuery, leafQuery, ROW_COUNT, summedDeltas, went, type Cell, type Leaf } from "./leaf";
import { IMAGES, OPERATION, OPERATIONS, triggerTemplates, type Log } from "./log";
import type { Layer } from "./layer";
import {
  differs,
  dollarQuoted,
  fromScan,
  inSchema,
  isAffected,
  isReached,
  literal,
  qualified,
  quoted,
  withRestrictions,
} from "./print";
import type { Shape } from "./shape";
import type { Column } from "./source";
import { scansOf, type Scan } from "./tree";

/** Above this share of a table's rows, or of the view's, recomputing all is cheaper than finding out what changed. */
const FULL_ABOVE_SHARE = 0.08;
/** Logs and views below these sizes are folded whatever the share. */
const ALWAYS_FOLDED = 10_000;
const ALWAYS_FOLDED_KEYS = 1_000;
/** What is taken at once is held in memory. */
const MOST_TAKEN = 2_000_000;

/** A table that is kept equal to a query, by keys. */
export interface KeyedTable {
  table: QualifiedName;
  columns: Column[];
  uniqueKey: string[];
  hasSeveralUniqueIndexes: boolean;
  /** Whether the query can have no two rows of one key. Where it can, a refresh would fail, and so must a fold. */
  isKeyUnique: boolean;
  shape: Shape;
  /** The leaves that its query reads. */
  leaves: Leaf[];
}

/** The rows of a layer, and what reads them. */
export interface KeyedLayer extends KeyedTable {
  layer: Layer;
}

interface FoldInput {
  names: MaintainedNames;
  published: KeyedTable;
  layers: KeyedLayer[];
  /** Names of the fold's own tables, each after those that its query reads. */
  states: string[];
  logs: Log[];
  timeZone: string;
}

export const stateName = (names: MaintainedNames, leaf: number): string => `${names.base}__leaf_${leaf}`;
export const layerName = (names: MaintainedNames, layer: number): string => `${names.base}__layer_${layer}`;
const goneRows = (layer: Layer): string => `matview_gone_${layer.number}`;
const newRows = (layer: Layer): string => `matview_new_${layer.number}`;
const groupsVariable = (leaf: Leaf): string => `matview_groups_${leaf.number}`;

/**
 * CREATE OR REPLACE FUNCTION of the fold and of what it calls where there is something to do, without grants. They are
 * two, since a tick has a session of its own, in which a function is compiled when it is called for the first time: most
 * of what an idle tick would cost.
 */
export function foldFunctions(input: FoldInput): string {
  return [changesFunction(input), entryFunction(input)].join(";\n");
}

/** A full run is needed, and not allowed. */
const FULL_RUN_REFUSED = "MRREF";

const RESULT =
  "OUT kind text, OUT reason text, OUT changes bigint, OUT changed_rows bigint, OUT drift bigint";

/** Looks whether there is something to do. */
function entryFunction({ names, published, logs, timeZone }: FoldInput): string {
  const name = sqlText(published.table);
  const body = `DECLARE
  seen record;
BEGIN
  IF current_setting('transaction_isolation') NOT IN ('repeatable read', 'serializable') THEN
    RAISE EXCEPTION 'a fold needs BEGIN ISOLATION LEVEL REPEATABLE READ: it must see all tables at one moment';
  END IF;
  changes := 0;
  changed_rows := 0;
  SELECT s.paused, s.shape IS NOT DISTINCT FROM f.shape AS has_shape, coalesce(s.content = f.content, false) AS has_content, s.content IS NULL AS was_broken,
         coalesce(s.last_full_at < clock_timestamp() - full_every, true) AS is_due, f.content, f.broken,
         ${logs.map((log) => `EXISTS (SELECT FROM ${inSchema(log.name)})`).join(" OR ")} AS has_changes
    INTO seen FROM ${inSchema(names.status)} s CROSS JOIN ${inSchema(names.fingerprint)}() f;
  IF seen.paused THEN
    kind := 'paused';
    RETURN;
  END IF;
  reason := CASE
    WHEN NOT seen.has_shape THEN 'a table or a view under the query was changed, which takes: npm run incremental -- apply --view ${name}'
    WHEN seen.broken IS NOT NULL THEN seen.broken
    WHEN force_full THEN 'asked for'
    WHEN seen.was_broken THEN 'a trigger was missing or disabled before'
    WHEN NOT seen.has_content THEN 'a function or the partitions under the query were changed'
    WHEN seen.is_due THEN 'scheduled'
  END;
  IF reason IS NULL AND NOT seen.has_changes THEN
    kind := 'incremental';
    RETURN;
  END IF;
  BEGIN
    SELECT f.* INTO kind, reason, changes, changed_rows, drift
      FROM ${inSchema(names.changes)}(reason, allow_full OR force_full OR reason = 'scheduled', seen.has_shape,
                                           seen.has_shape AND (seen.has_content OR seen.was_broken), seen.broken IS NULL, seen.content) f;
  EXCEPTION WHEN SQLSTATE '${FULL_RUN_REFUSED}' THEN
    -- Found to be needed after changes were taken, which are in their logs again.
    kind := 'refused';
    reason := SQLERRM;
  WHEN data_exception THEN
    -- A row that came and went may have no result (a date that is no timestamp); the rows that are there have one.
    SELECT f.* INTO kind, reason, changes, changed_rows, drift
      FROM ${inSchema(names.changes)}(format('a changed row has no result (%s)', SQLSTATE), allow_full OR force_full,
                                      seen.has_shape, false, seen.broken IS NULL, seen.content) f;
  END;
END`;
  return (
    `CREATE OR REPLACE FUNCTION ${inSchema(names.fold)}(force_full boolean, full_every interval, allow_full boolean,\n  ${RESULT})\n` +
    `LANGUAGE plpgsql SECURITY DEFINER\n` +
    `SET search_path = pg_catalog, pg_temp SET "TimeZone" = ${literal(timeZone)} SET "DateStyle" = 'ISO, MDY'\n` +
    `SET "IntervalStyle" = 'postgres' SET extra_float_digits = 1 SET bytea_output = 'hex'\n` +
    `SET jit = off SET plan_cache_mode = force_custom_plan AS ${dollarQuoted(body)}`
  );
}

/** Folds what was logged, or recomputes all. It runs under the settings of the fold, which alone calls it. */
function changesFunction(input: FoldInput): string {
  const { names, published, layers, logs } = input;
  const tables = [...layers, published];
  const declarations = [
    ...logs.map((log) => `${log.variable} ${inSchema(log.name)}[]`),
    ...tables.flatMap(({ leaves }) =>
      leaves.map((leaf) => `${groupsVariable(leaf)} ${inSchema(stateName(names, leaf.number))}[]`),
    ),
    ...tables.flatMap(({ shape }) => [
      ...shape.key.map(({ column, variable }) => `${variable} ${column.type.name}[]`),
      `${shape.nullKeys} boolean`,
    ]),
    ...layers.flatMap(({ layer, table }) =>
      [goneRows(layer), newRows(layer)].map((name) => `${name} ${qualified(table)}[] := '{}'`),
    ),
    "entries record",
    "partition record",
    "taken bigint",
    "doubled bigint",
    "found_drift bigint",
    "is_full boolean",
    "keeps_states boolean := is_foldable",
  ];
  const body = `#variable_conflict use_column
DECLARE
${declarations.map((each) => `  ${each};`).join("\n")}
BEGIN
  changes := 0;
  changed_rows := 0;
  reason := full_reason;
${logs.map(countLog).join("\n")}
  is_full := reason IS NOT NULL;
  -- What folding would leave is not counted then, so that it need not be folded.
  is_foldable := is_foldable AND (counts_drift OR NOT is_full);
  IF is_full AND NOT coalesce(allow_full, false) THEN
    kind := 'refused';
    -- What was written meanwhile stays unknown when the triggers are there again.
    IF NOT is_complete THEN
      UPDATE ${inSchema(names.status)} AS s SET content = NULL;
    END IF;
    RETURN;
  END IF;
${logs.some(({ relation }) => relation.kind === "p") ? indent(completeTriggers(input), 2) : ""}
  IF is_foldable THEN
${indent([...logs.map(takeLog), ...foldSteps(input)].join("\n"), 4)}
  ELSE
${indent(logs.map(discardLog).join("\n"), 4)}
  END IF;
  IF is_full THEN
    IF NOT coalesce(allow_full, false) THEN
      RAISE EXCEPTION USING ERRCODE = '${FULL_RUN_REFUSED}', MESSAGE = reason;
    END IF;
    kind := 'full';
${indent(fullRun(input), 4)}
  ELSE
    kind := 'incremental';
  END IF;
END`;
  return (
    `CREATE OR REPLACE FUNCTION ${inSchema(names.changes)}(full_reason text, allow_full boolean, is_foldable boolean,\n` +
    `  counts_drift boolean, is_complete boolean, content_now text,\n  ${RESULT})\n` +
    `LANGUAGE plpgsql AS ${dollarQuoted(body)}`
  );
}

/** A view's name inside a string constant. */
const sqlText = ({ schema, name }: QualifiedName): string => `${schema}.${name}`.replaceAll("'", "''");

const indent = (text: string, spaces: number): string => text.replaceAll(/^(?=.)/gm, " ".repeat(spaces));

/** Looks at a log without reading more of it than is folded at the most. */
function countLog(log: Log): string {
  const marks = `${OPERATION} IN (${OPERATIONS.truncated}, ${OPERATIONS.unlogged})`;
  const names = log.relations
    .map((relation) => `pg_catalog.to_regclass(${literal(qualified(relation))})`)
    .join(", ");
  const table = sqlText(log.table);
  const share = log.form === "deltas" ? 0.5 : FULL_ABOVE_SHARE;
  return `  SELECT pg_catalog.count(*) AS n, pg_catalog.bool_or(${OPERATION} = ${OPERATIONS.truncated}) AS truncated, pg_catalog.bool_or(${marks}) AS marked
    INTO entries FROM (SELECT ${OPERATION} FROM ${inSchema(log.name)} LIMIT ${MOST_TAKEN + 1}) AS logged;
  IF entries.marked OR entries.n > ${MOST_TAKEN} OR entries.n > ${ALWAYS_FOLDED} AND entries.n > (
       SELECT ${share} * pg_catalog.sum(GREATEST(c.reltuples, 0)) FROM pg_catalog.pg_class c WHERE c.oid = ANY (ARRAY[${names}])) THEN
    is_foldable := false;
    counts_drift := false;
    reason := coalesce(reason, CASE
      WHEN entries.truncated THEN '${table} was truncated'
      WHEN entries.marked THEN 'changes of ${table} could not be logged'
      ELSE 'so many rows of ${table} changed that it is cheaper' END);
  END IF;`;
}

/** Of a log that holds more than is folded nothing is read but what must go. */
function discardLog(log: Log): string {
  const images =
    log.form === "deltas" ? `coalesce(pg_catalog.sum(coalesce(${IMAGES}, 1)), 0)` : "pg_catalog.count(*)";
  return `WITH gone AS (DELETE FROM ${inSchema(log.name)} RETURNING *) SELECT ${images} INTO taken FROM gone;
changes := changes + taken;`;
}

function takeLog(log: Log): string {
  const images = log.form === "deltas" ? `coalesce(pg_catalog.sum(${IMAGES}), 0)` : "pg_catalog.count(*)";
  return `WITH gone AS (DELETE FROM ${inSchema(log.name)} RETURNING *)
SELECT coalesce(pg_catalog.array_agg(gone::${inSchema(log.name)}), '{}'), ${images} INTO ${log.variable}, taken FROM gone;
changes := changes + taken;`;
}

/**
 * A partition that was attached has no triggers. They are made now; what was written into it before is in the full
 * run, and what is written until this transaction ends in the next: only a fold that found all triggers there takes
 * over the new list of partitions.
 */
function completeTriggers({ names, logs }: FoldInput): string {
  const loops = logs
    .filter(({ relation }) => relation.kind === "p")
    .map((log) => {
      const [any = ""] = triggerTemplates(names, log.function).map(
        (each) => /CREATE TRIGGER "([^"]+)"/.exec(each)?.[1],
      );
      const creations = triggerTemplates(names, log.function).map(
        (template) =>
          `EXECUTE pg_catalog.format(${literal(template)}, partition.relid::pg_catalog.regclass);`,
      );
      return `FOR partition IN SELECT p.relid FROM pg_catalog.pg_partition_tree(pg_catalog.to_regclass(${literal(qualified(log.table))})) p
           WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = p.relid AND t.tgname = ${literal(any)}) LOOP
  ${creations.join("\n  ")}
END LOOP;`;
    });
  return `IF is_full THEN
  BEGIN
${indent(loops.join("\n"), 4)}
  EXCEPTION WHEN lock_not_available OR insufficient_privilege THEN
    reason := reason || '; its triggers could not be made: ' || SQLERRM;
  END;
END IF;`;
}

/** From what was taken to the published rows, layer by layer. */
function foldSteps(input: FoldInput): string[] {
  const { published, layers, logs } = input;
  const hasState = published.leaves.length > 0;
  return [
    ...layers.flatMap((layer) => foldLayer(layer, input)),
    ...published.leaves.map((leaf) => applyDeltas(leaf, input)),
    affectedKeys(published, input),
    ...[...layers, published].flatMap((keyed) => unboundChanges(keyed, logs)),
    ...(hasState ? [] : [tooManyKeys(published)]),
    `IF (NOT is_full OR counts_drift) AND (${hasKeys(published.shape)}) THEN
${indent(publishAffected(published), 2)}
END IF;`,
  ];
}

/** Of a table, or the state of a leaf, that nothing ties to the key, each change concerns every row. */
function unboundChanges({ shape, leaves }: KeyedTable, logs: Log[]): string[] {
  return shape.unbound.map((scan) => {
    const leaf = leaves.find(({ state }) => state === scan);
    const { relation } = leaf?.source ?? scan;
    const changed =
      leaf === undefined ? logs.find((log) => log.relation === relation)?.variable : groupsVariable(leaf);
    return `IF pg_catalog.cardinality(${changed}) > 0 THEN
  is_full := true;
  counts_drift := false;
  reason := coalesce(reason, '${sqlText(relation)} changed, on which every row depends');
END IF;`;
  });
}

/** Brings a layer's table up to date, and remembers the old and the new rows of the keys that were affected. */
function foldLayer(keyed: KeyedLayer, input: FoldInput): string[] {
  const { layer, table, shape, leaves } = keyed;
  const rows = `SELECT coalesce(pg_catalog.array_agg(p), '{}') INTO`;
  const affected = isAffected(
    shape,
    shape.key.map(({ column }) => `p.${quoted(column.name)}`),
  );
  return [
    ...leaves.map((leaf) => applyDeltas(leaf, input)),
    affectedKeys(keyed, input),
    `IF ${hasKeys(shape)} THEN
  ${rows} ${goneRows(layer)} FROM ${qualified(table)} p WHERE ${affected};
${indent(publishAffected(keyed, "taken"), 2)}
  ${rows} ${newRows(layer)} FROM ${qualified(table)} p WHERE ${affected};
END IF;`,
  ];
}

const hasKeys = ({ key, nullKeys }: Shape): string =>
  `pg_catalog.cardinality(${key[0]?.variable}) > 0 OR ${nullKeys}`;

function publishAffected(keyed: KeyedTable, counter = "changed_rows"): string {
  const { shape } = keyed;
  const affected = isAffected(
    shape,
    shape.key.map(({ column }) => `p.${quoted(column.name)}`),
  );
  return publish(keyed, restrictedQuery(shape), affected, counter);
}

function tooManyKeys({ table, shape }: KeyedTable): string {
  const count = `pg_catalog.cardinality(${shape.key[0]?.variable})`;
  return `IF ${count} > ${ALWAYS_FOLDED_KEYS} AND NOT is_full AND ${count} > ${FULL_ABOVE_SHARE} * (
     SELECT pg_catalog.count(*) FROM (SELECT FROM ${qualified(table)} LIMIT ${Math.round(1 / FULL_ABOVE_SHARE)} * ${count}) AS sampled) THEN
  is_full := true;
  counts_drift := false;
  reason := 'so many keys (${shape.key.map(({ column }) => column.name.replaceAll("'", "''")).join(", ")}) changed that it is cheaper';
END IF;`;
}

/** The images of a scan's changed rows, as a FROM item with its alias. */
function imagesOf(scan: Scan, leaves: Leaf[], logs: Log[]): string | undefined {
  const leaf = leaves.find(({ state }) => state === scan);
  const variable =
    leaf === undefined
      ? logs.find((log) => log.relation.oid === scan.relation.oid && log.form === "images")?.variable
      : groupsVariable(leaf);
  return variable && `pg_catalog.unnest(${variable}) AS ${quoted(scan.alias)}`;
}

/** Fills the variables of the keys whose rows may have changed. */
function affectedKeys(keyed: KeyedTable, { logs }: FoldInput): string {
  const { shape } = keyed;
  const queries = scansOf(shape.query).flatMap((scan) => keyQueries(scan, keyed, logs));
  const names = shape.key.map((_, index) => `k_${index + 1}`);
  const isNull = names.map((name) => `k.${name} IS NULL`).join(" OR ");
  const arrays = names.map(
    (name) =>
      `coalesce(pg_catalog.array_agg(k.${name})${names.length === 1 ? ` FILTER (WHERE k.${name} IS NOT NULL)` : ""}, '{}')`,
  );
  return `SELECT ${arrays.join(", ")}, coalesce(pg_catalog.bool_or(${isNull}), false)
  INTO ${shape.key.map(({ variable }) => variable).join(", ")}, ${shape.nullKeys}
  FROM (
${indent(queries.join("\nUNION\n"), 4)}
  ) AS k (${names.join(", ")});`;
}

/**
 * The keys that changed rows of one scan belong to, a query for each way to them; none where nothing is logged of it or
 * every change concerns all.
 */
function keyQueries(scan: Scan, { shape, leaves }: KeyedTable, logs: Log[]): string[] {
  const images = imagesOf(scan, leaves, logs);
  if (images === undefined || shape.unbound.includes(scan)) return [];
  const go = (at: Scan, from: string[], conditions: string[]): string[] => {
    const expressions = shape.reached.get(at) ?? [];
    if (expressions.length === shape.key.length && expressions.every((each) => each !== undefined)) {
      const where = conditions.length > 0 ? `\n WHERE ${conditions.join(" AND ")}` : "";
      return [
        `SELECT ${expressions.map((each) => toSql(each)).join(", ")}\n  FROM ${from.join(", ")}${where}`,
      ];
    }
    return (shape.paths.get(at) ?? []).flatMap((step) =>
      go(
        step.to,
        [...from, fromScan(step.to)],
        [...conditions, ...step.conditions.map((condition) => `(${toSql(condition)})`)],
      ),
    );
  };
  return go(scan, [images], []);
}

/** The query, every scan that the key reaches restricted to the affected keys. */
function restrictedQuery(shape: Shape): string {
  const conditions = new Map<string, string>();
  for (const [scan, expressions] of shape.reached) {
    const texts = expressions.map((each) => (each === undefined ? undefined : toSql(each)));
    const isRoot = shape.roots.some((root) => root.scan === scan);
    conditions.set(
      scan.alias,
      isRoot
        ? isAffected(
            shape,
            texts.map((text) => text ?? "NULL"),
          )
        : isReached(shape, texts),
    );
  }
  return withRestrictions(shape.query.select, conditions);
}

/**
 * Makes published rows equal to those of a query.
 * @param where which published rows the query may speak of, as a condition over `p`.
 * @param counter the variable to which the number of changed rows is added.
 */
function publish(
  { table: name, columns, uniqueKey, hasSeveralUniqueIndexes, isKeyUnique }: KeyedTable,
  query: string,
  where: string | undefined,
  counter: string,
): string {
  const names = columns.map(({ name }) => quoted(name));
  const of = (row: string): string[] => names.map((name) => `${row}.${name}`);
  const isSameRow = uniqueKey.map((name) => `r.${quoted(name)} = p.${quoted(name)}`).join(" AND ");
  // Where a key may be NULL, such a row equals none, itself included: it is put there anew, and is no drift by that.
  const nullable = uniqueKey.filter(
    (name) => columns.find((column) => column.name === name)?.isNotNull !== true,
  );
  const isTold = uniqueKey.map((name) => `${quoted(name)} IS NOT NULL`).join(" AND ");
  const told = nullable.length === 0 ? "true" : isTold;
  const keys = `SELECT ${uniqueKey.map(quoted).join(", ")} FROM r WHERE ${isTold}`;
  const doubled = isKeyUnique
    ? "0"
    : `(SELECT pg_catalog.count(*) FROM (${keys}) AS k) - (SELECT pg_catalog.count(*) FROM (${keys.replace("SELECT", "SELECT DISTINCT")}) AS k)`;
  const refusal = isKeyUnique
    ? ""
    : `
IF doubled > 0 THEN
  RAISE unique_violation USING MESSAGE = 'the query has several rows of one key (${uniqueKey.map((each) => each.replaceAll("'", "''")).join(", ")})';
END IF;`;
  const rows = `WITH r (${names.join(", ")}) AS MATERIALIZED (\n${indent(query, 2)}\n)`;
  const among = where === undefined ? "" : `${where} AND `;
  const table = qualified(name);
  const deletion = (obsolete: string): string =>
    `DELETE FROM ${table} p WHERE ${among}NOT EXISTS (SELECT FROM r WHERE ${obsolete}) RETURNING ${told} AS told`;
  const insertion = `INSERT INTO ${table} (${names.join(", ")}) SELECT ${of("r").join(", ")} FROM r WHERE NOT EXISTS (SELECT FROM ${table} p WHERE ${isSameRow}) RETURNING ${told} AS told`;
  const count = (rowsOf: string, isKeyTold: boolean): string =>
    `(SELECT pg_catalog.count(*) FROM ${rowsOf} WHERE ${isKeyTold ? "" : "NOT "}told)`;
  const counted = (deleted: string, inserted: string): string => `${deleted} + ${inserted}`;
  if (!hasSeveralUniqueIndexes) {
    const untold =
      nullable.length === 0 ? "" : ` + pg_catalog.abs(${count("d", false)} - ${count("i", false)})`;
    return `${rows}, d AS (
  ${deletion(isSameRow)}
), u AS (
  UPDATE ${table} p SET ${names.map((name) => `${name} = r.${name}`).join(", ")} FROM r WHERE ${isSameRow} AND ${differs(of("p"), of("r"))} RETURNING 1
), i AS (
  ${insertion}
)
SELECT ${counted(count("d", true), count("i", true))} + (SELECT pg_catalog.count(*) FROM u)${untold}, ${doubled} INTO taken, doubled;${refusal}
${counter} := coalesce(${counter}, 0) + taken;`;
  }
  // With a second unique index a value may move from one row to another, which no single statement could do.
  const isIdentical = `${isSameRow} AND NOT (${differs(of("p"), of("r"))})`;
  return `${rows}, d AS (
  ${deletion(isIdentical)}
)
SELECT pg_catalog.count(*), ${doubled} INTO taken, doubled FROM d;${refusal}
${rows}, i AS (
  ${insertion}
)
SELECT GREATEST(taken, pg_catalog.count(*)) INTO taken FROM i;
${counter} := coalesce(${counter}, 0) + taken;`;
}

/** Recomputes all from the view's own query, and the states with it. What a fold before it left is drift. */
function fullRun(input: FoldInput): string {
  const { names, published } = input;
  const states = input.states.map(
    (name) =>
      `DELETE FROM ${inSchema(name)};\nINSERT INTO ${inSchema(name)} SELECT * FROM ${inSchema(`${name}_query`)};`,
  );
  return `taken := 0;
drift := NULL;
${publish(published, `SELECT * FROM ${inSchema(names.query)}`, undefined, "drift")}
changed_rows := changed_rows + drift;
IF NOT (counts_drift AND is_foldable) THEN
  drift := NULL;
END IF;
found_drift := drift;
${states.length === 0 ? "" : `IF keeps_states THEN\n${indent(states.join("\n"), 2)}\nEND IF;\n`}UPDATE ${inSchema(names.status)} AS s
   SET last_full_at = pg_catalog.clock_timestamp(), last_full_reason = reason,
       content = CASE WHEN is_complete THEN content_now END,
       drift = coalesce(s.drift, 0) + coalesce(found_drift, 0),
       drift_at = CASE WHEN found_drift > 0 THEN pg_catalog.clock_timestamp() ELSE s.drift_at END;`;
}

/**
 * Adds what changed to the state of a leaf, and remembers the old and the new rows of the state: to the layers above it
 * is a table like any other. The statement reads the state as it was before it.
 */
function applyDeltas(leaf: Leaf, input: FoldInput): string {
  const table = inSchema(stateName(input.names, leaf.number));
  const { deltas, hasSome } = deltasOf(leaf, input);
  const groups = leaf.groups.map(({ name }) => name);
  const columns = [...groups, ...leaf.cells.map(({ name }) => name)];
  const isGroup = (one: string, other: string): string =>
    leaf.groups
      .map(
        ({ name, mayBeNull }) =>
          `(${one}.${name} = ${other}.${name}${mayBeNull ? ` OR ${one}.${name} IS NULL AND ${other}.${name} IS NULL` : ""})`,
      )
      .join(" AND ");
  const lost = leaf.cells.flatMap((cell) => (cell.kind === "sum" ? [] : [isLost(cell)]));
  const isStale = lost.length === 0 ? "false" : `(${lost.join(" OR ")})`;
  const added = (cell: Cell): string =>
    cell.kind === "sum"
      ? `s.${cell.name} + d.${cell.name}`
      : `${cell.kind === "max" ? "GREATEST" : "LEAST"}(s.${cell.name}, d.${came(cell)})`;
  const first = (cell: Cell): string => (cell.kind === "sum" ? `d.${cell.name}` : `d.${came(cell)}`);
  const images = (from: string): string =>
    `SELECT ${columns.map((name) => `s.${name}`).join(", ")} FROM ${from}`;
  const written = ["kept", "new", ...(lost.length === 0 ? [] : ["again", "first"])];
  const recomputed =
    lost.length === 0
      ? ""
      : `, matview_stale AS MATERIALIZED (
  SELECT ${groups.map((name) => `d.${name}`).join(", ")} FROM d LEFT JOIN ${table} s ON ${isGroup("s", "d")} WHERE coalesce(s.${ROW_COUNT}, 0) + d.${ROW_COUNT} > 0 AND ${isStale}
), fresh (${columns.join(", ")}) AS MATERIALIZED (
${indent(leafQuery(leaf, isOneOf(leaf, "matview_stale")), 2)}
), again AS (
  UPDATE ${table} s SET ${leaf.cells.map(({ name }) => `${name} = fresh.${name}`).join(", ")} FROM fresh WHERE ${isGroup("s", "fresh")}
  RETURNING s.*
), first AS (
  INSERT INTO ${table} (${columns.join(", ")}) SELECT ${columns.map((name) => `fresh.${name}`).join(", ")} FROM fresh
   WHERE NOT EXISTS (SELECT FROM ${table} s WHERE ${isGroup("s", "fresh")})
  RETURNING *
)`;
  const notStale =
    lost.length === 0
      ? ""
      : ` AND NOT EXISTS (SELECT FROM matview_stale WHERE ${isGroup("matview_stale", "d")})`;
  return `IF ${hasSome} THEN
  WITH d AS MATERIALIZED (
${indent(deltas, 4)}
  )${indent(recomputed, 2).trimStart()}, emptied AS (
    DELETE FROM ${table} s USING d WHERE ${isGroup("s", "d")} AND s.${ROW_COUNT} + d.${ROW_COUNT} <= 0
  ), kept AS (
    UPDATE ${table} s SET ${leaf.cells.map((cell) => `${cell.name} = ${added(cell)}`).join(", ")}
      FROM d WHERE ${isGroup("s", "d")} AND s.${ROW_COUNT} + d.${ROW_COUNT} > 0${notStale}
    RETURNING s.*
  ), new AS (
    INSERT INTO ${table} (${columns.join(", ")})
    SELECT ${[...groups.map((name) => `d.${name}`), ...leaf.cells.map(first)].join(", ")} FROM d
     WHERE d.${ROW_COUNT} > 0 AND NOT EXISTS (SELECT FROM ${table} s WHERE ${isGroup("s", "d")})${notStale}
    RETURNING *
  )
  SELECT coalesce(pg_catalog.array_agg(ROW(${columns.map((name) => `s.${name}`).join(", ")})::${table}), '{}') INTO ${groupsVariable(leaf)} FROM (
    ${[images(`${table} s WHERE EXISTS (SELECT FROM d WHERE ${isGroup("s", "d")})`), ...written.map((each) => images(`${each} s`))].join("\n    UNION ALL ")}
  ) AS s;
ELSE
  ${groupsVariable(leaf)} := '{}';
END IF;`;
}

/** The changes of a leaf's groups, from what its table's log or its layer has, and whether there are any. */
function deltasOf(leaf: Leaf, { layers, logs }: FoldInput): { deltas: string; hasSome: string } {
  const alias = quoted(leaf.source.alias);
  const sign = `${alias}.${OPERATION}`;
  const layer = layers.find((keyed) => keyed.layer.scan === leaf.source)?.layer;
  if (layer !== undefined) {
    const side = (operation: number, variable: string): string =>
      `SELECT ${operation} AS ${OPERATION}, row_of.* FROM pg_catalog.unnest(${variable}) AS row_of`;
    const images = `(${side(OPERATIONS.went, goneRows(layer))} UNION ALL ${side(OPERATIONS.came, newRows(layer))}) AS ${alias}`;
    const hasSome = [goneRows(layer), newRows(layer)]
      .map((variable) => `pg_catalog.cardinality(${variable}) > 0`)
      .join(" OR ");
    return { deltas: deltaQuery(leaf, images, sign, true), hasSome };
  }
  const log = logs.find(({ relation }) => relation.oid === leaf.source.relation.oid);
  if (log === undefined) throw new Error(`no log of ${leaf.source.relation.name}`);
  const taken = `pg_catalog.unnest(${log.variable})`;
  return {
    deltas:
      log.form === "deltas"
        ? summedDeltas(leaf, taken)
        : deltaQuery(leaf, `${taken} AS ${alias}`, sign, false),
    hasSome: `pg_catalog.cardinality(${log.variable}) > 0`,
  };
}

/**
 * The best value may be gone: one as good went as the state has or as came. Comparing with the state alone would miss
 * a best value that came and went between two folds.
 */
function isLost(cell: Cell): string {
  const best = `${cell.kind === "max" ? "GREATEST" : "LEAST"}(s.${cell.name}, d.${came(cell)})`;
  return `d.${went(cell)} IS NOT NULL AND (d.${went(cell)} ${cell.kind === "max" ? "<" : ">"} ${best}) IS NOT TRUE`;
}

/** The condition over the leaf's table that a row's group is among those of `list`. */
function isOneOf(leaf: Leaf, list: string): string {
  const expressions = leaf.groups.map(({ expression }) => `(${toSql(expression)})`);
  const names = leaf.groups.map(({ name }) => `${list}.${name}`);
  const [only, ...others] = expressions;
  const mayBeNull = leaf.groups.some((group) => group.mayBeNull);
  const isNullGroup = names.map((name) => `${name} IS NULL`).join(" OR ");
  const hasNullGroup = `EXISTS (SELECT FROM ${list} WHERE ${isNullGroup})`;
  // Where the list is empty the table is not read at all: the condition does not depend on its rows.
  const hasSome = `EXISTS (SELECT FROM ${list})`;
  if (only !== undefined && others.length === 0) {
    const among = `${only} = ANY (ARRAY(SELECT ${names[0]} FROM ${list}))`;
    return `${hasSome} AND (${among}${mayBeNull ? ` OR ${only} IS NULL AND ${hasNullGroup}` : ""})`;
  }
  const among = `(${expressions.join(", ")}) IN (SELECT ${names.join(", ")} FROM ${list})`;
  if (!mayBeNull) return `${hasSome} AND ${among}`;
  const isSame = names
    .map((name, index) => `${name} IS NOT DISTINCT FROM ${expressions[index]}`)
    .join(" AND ");
  return `${hasSome} AND (${among} OR ${hasNullGroup} AND EXISTS (SELECT FROM ${list} WHERE (${isNullGroup}) AND ${isSame}))`;
}
