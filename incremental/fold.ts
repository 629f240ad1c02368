/**
 * The fold: the stored function that takes what was logged and brings the published table up to date, or recomputes
 * all of it. It is called in one REPEATABLE READ snapshot, after the locks.
 */
import { escapeLiteral } from "pg";
import { qualifiedName, quotedName } from "../handler/names";
import { inSchema, numberedName, type MaintainedNames } from "../handler/maintained";
import { affectedKeys, hasKeys, publish, publishAffected, type KeyedTable } from "./keyed";
import { groupsVariable } from "./leaf";
import { applyDeltas, goneRows, newRows, stateName, type DeltaSources, type KeyedLayer } from "./leafFold";
import { IMAGES, OPERATION, OPERATIONS, triggerNames, triggerTemplates, type Log } from "./log";
import { dollarQuoted, indent, isAffected, quoted } from "./print";

/** Above this share of a table's rows, or of the view's, recomputing all is cheaper than finding out what changed. */
const FULL_ABOVE_SHARE = 0.08;
/** Logs and views below these sizes are folded whatever the share. */
const ALWAYS_FOLDED = 10_000;
const ALWAYS_FOLDED_KEYS = 1_000;
/** What is taken at once is held in memory. */
const MOST_TAKEN = 2_000_000;

interface FoldInput extends DeltaSources {
  published: KeyedTable;
  /** Names of the fold's own tables, each after those that its query reads. */
  states: string[];
  timeZone: string;
}

export const layerName = (names: MaintainedNames, layer: number): string =>
  numberedName(names, "layer", layer);
/**
 * CREATE OR REPLACE FUNCTION of the fold and of what it calls where there is something to do, without grants. They are
 * two, since a tick has a session of its own, in which a function is compiled when it is called for the first time: most
 * of what an idle tick would cost.
 */
export function foldFunctions(input: FoldInput): string {
  return [changesFunction(input), entryFunction(input)].join(";\n");
}

/**
 * Stands for the content, and equals none, where a full run could not compute the states anew: the tables were others than
 * those of the states' queries. When they are what they were again, the states are older than the logs.
 */
const STALE_STATES = "''";

/** The reason of every full run until the view is applied again. */
export const TABLES_CHANGED = "a table or a view under the query was changed";

/** A full run is needed, and not allowed. */
const FULL_RUN_REFUSED = "MRREF";

const RESULT =
  "OUT kind text, OUT reason text, OUT changes bigint, OUT changed_rows bigint, OUT drift bigint";

/** Looks whether there is something to do. */
function entryFunction({ names, published, logs, timeZone }: FoldInput): string {
  const stale = `${TABLES_CHANGED}, which takes: npm run incremental -- apply --view ${qualifiedName(published.table)}`;
  const body = `DECLARE
  seen record;
BEGIN
  IF current_setting('transaction_isolation') NOT IN ('repeatable read', 'serializable') THEN
    RAISE EXCEPTION 'a fold needs BEGIN ISOLATION LEVEL REPEATABLE READ: it must see all tables at one moment';
  END IF;
  changes := 0;
  changed_rows := 0;
  SELECT s.paused, s.shape IS NOT DISTINCT FROM f.shape AS has_shape, coalesce(s.content = f.content, false) AS has_content, s.content IS NULL AS was_broken, coalesce(s.content = ${STALE_STATES}, false) AS was_stale,
         coalesce(s.last_full_at < clock_timestamp() - full_every, true) AS is_due, f.content, f.broken,
         ${logs.map((log) => `EXISTS (SELECT FROM ${inSchema(log.name)})`).join(" OR ")} AS has_changes
    INTO seen FROM ${inSchema(names.status)} s CROSS JOIN ${inSchema(names.fingerprint)}() f;
  IF seen.paused THEN
    kind := 'paused';
    RETURN;
  END IF;
  reason := CASE
    WHEN NOT seen.has_shape THEN ${escapeLiteral(stale)}
    WHEN seen.broken IS NOT NULL THEN seen.broken
    WHEN force_full THEN 'asked for'
    WHEN seen.was_broken THEN 'a trigger was missing or disabled before'
    WHEN seen.was_stale THEN 'a table or a view under the query had been changed'
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
    `SET search_path = pg_catalog, pg_temp SET "TimeZone" = ${escapeLiteral(timeZone)} SET "DateStyle" = 'ISO, MDY'\n` +
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
      [goneRows(layer), newRows(layer)].map((name) => `${name} ${quotedName(table)}[] := '{}'`),
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
      UPDATE ${inSchema(names.status)} AS s SET content = NULL WHERE s.content <> ${STALE_STATES};
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

/** Looks at a log without reading more of it than is folded at the most. */
function countLog(log: Log): string {
  const marks = `${OPERATION} IN (${OPERATIONS.truncated}, ${OPERATIONS.unlogged})`;
  const names = log.relations
    .map((relation) => `pg_catalog.to_regclass(${escapeLiteral(quotedName(relation))})`)
    .join(", ");
  const table = qualifiedName(log.table);
  const share = log.form === "deltas" ? 0.5 : FULL_ABOVE_SHARE;
  return `  SELECT pg_catalog.count(*) AS n, pg_catalog.bool_or(${OPERATION} = ${OPERATIONS.truncated}) AS truncated, pg_catalog.bool_or(${marks}) AS marked
    INTO entries FROM (SELECT ${OPERATION} FROM ${inSchema(log.name)} LIMIT ${MOST_TAKEN + 1}) AS logged;
  IF entries.marked OR entries.n > ${MOST_TAKEN} OR entries.n > ${ALWAYS_FOLDED} AND entries.n > (
       SELECT ${share} * pg_catalog.sum(GREATEST(c.reltuples, 0)) FROM pg_catalog.pg_class c WHERE c.oid = ANY (ARRAY[${names}])) THEN
    is_foldable := false;
    counts_drift := false;
    reason := coalesce(reason, CASE
      WHEN entries.truncated THEN ${escapeLiteral(`${table} was truncated`)}
      WHEN entries.marked THEN ${escapeLiteral(`changes of ${table} could not be logged`)}
      ELSE ${escapeLiteral(`so many rows of ${table} changed that it is cheaper`)} END);
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
  const [any = ""] = triggerNames(names);
  const loops = logs
    .filter(({ relation }) => relation.kind === "p")
    .map((log) => {
      const creations = triggerTemplates(names, log.function).map(
        (template) =>
          `EXECUTE pg_catalog.format(${escapeLiteral(template)}, partition.relid::pg_catalog.regclass);`,
      );
      return `FOR partition IN SELECT p.relid FROM pg_catalog.pg_partition_tree(pg_catalog.to_regclass(${escapeLiteral(quotedName(log.table))})) p
           WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = p.relid AND t.tgname = ${escapeLiteral(any)}) LOOP
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
    affectedKeys(published, logs),
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
  reason := coalesce(reason, ${escapeLiteral(`${qualifiedName(relation)} changed, on which every row depends`)});
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
    affectedKeys(keyed, input.logs),
    `IF ${hasKeys(shape)} THEN
  ${rows} ${goneRows(layer)} FROM ${quotedName(table)} p WHERE ${affected};
${indent(publishAffected(keyed, "taken"), 2)}
  ${rows} ${newRows(layer)} FROM ${quotedName(table)} p WHERE ${affected};
END IF;`,
  ];
}

function tooManyKeys({ table, shape }: KeyedTable): string {
  const count = `pg_catalog.cardinality(${shape.key[0]?.variable})`;
  return `IF ${count} > ${ALWAYS_FOLDED_KEYS} AND NOT is_full AND ${count} > ${FULL_ABOVE_SHARE} * (
     SELECT pg_catalog.count(*) FROM (SELECT FROM ${quotedName(table)} LIMIT ${Math.round(1 / FULL_ABOVE_SHARE)} * ${count}) AS sampled) THEN
  is_full := true;
  counts_drift := false;
  reason := ${escapeLiteral(`so many keys (${shape.key.map(({ column }) => column.name).join(", ")}) changed that it is cheaper`)};
END IF;`;
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
       content = CASE ${states.length === 0 ? "" : `WHEN NOT keeps_states THEN ${STALE_STATES} `}WHEN is_complete THEN content_now END,
       drift = coalesce(s.drift, 0) + coalesce(found_drift, 0),
       drift_at = CASE WHEN found_drift > 0 THEN pg_catalog.clock_timestamp() ELSE s.drift_at END;`;
}
