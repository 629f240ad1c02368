/**
 * From what the catalog says of a view to the SQL that maintains it, or to the reasons why that cannot be. Stages:
 * names and tree (resolve), refusals (functions, determinism), additive leaves, restriction key (shape), SQL (log, fold).
 */
import type { Node } from "@pgsql/types";
import { qualifiedName, quotedName } from "../handler/names";
import { MAINTENANCE_SCHEMA, maintainedNames, type MaintainedNames, inSchema } from "../handler/maintained";
import { assertDeterministic, isUnique } from "./determinism";
import { columnOf, columnsIn, contains, excerpt } from "./expression";
import { fingerprintFunction, watchedTable } from "./fingerprint";
import { foldFunctions, layerName } from "./fold";
import type { KeyedTable } from "./keyed";
import { stateName, type KeyedLayer } from "./leafFold";
import { unsafeFunctions } from "./functions";
import { extractLayers } from "./layer";
import { createIndex, extractLeaves, indexKey, leafQuery, type Leaf } from "./leaf";
import { makeLog, triggerNames, type Log } from "./log";
import type { Compilation, Finding, Maintenance, StateTable } from "./maintenance";
import { quoted } from "./print";
import { Refusal, refuse } from "./refusal";
import { loadParser, resolveQuery, textOf } from "./resolve";
import { RESTRICTION_KEY, shapeFindings, shapeOf } from "./shape";
import type { Column, Relation, ViewSource } from "./source";
import { traceColumn } from "./trace";
import { blocksOf, scansOf, type Query, type Scan, isNotNull } from "./tree";

/** Counts up when the generated SQL changes: a view that an older one maintains is generated anew by `apply`. */
export const GENERATOR_VERSION = 2;

/** Never throws for what a query has: that is a finding. */
export async function compile(source: ViewSource): Promise<Compilation> {
  await loadParser();
  const findings: Finding[] = [...unsafeFunctions(source)];
  let compiled: Maintenance | undefined;
  try {
    compiled = generate(source, findings);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    findings.push({ ...error.finding, possible: "no" });
  }
  const isRefused = findings.some(({ possible }) => possible === "no");
  return { findings, ...(compiled === undefined || isRefused ? {} : { maintenance: compiled }) };
}

function generate(source: ViewSource, findings: Finding[]): Maintenance {
  try {
    return generateWith(source, findings, false);
  } catch (error) {
    if (!(error instanceof Refusal) || error.finding.capability !== RESTRICTION_KEY) throw error;
    return generateWith(source, findings, true, error);
  }
}

/** @param noKey why the query as a whole has no restriction key: it is taken apart into layers then. */
function generateWith(
  source: ViewSource,
  findings: Finding[],
  isLayered: boolean,
  noKey?: Refusal,
): Maintenance {
  const { view, timeZone } = source;
  const names = maintainedNames(view);
  const query = resolveQuery(source.definition, source.relations);
  const relied = assertDeterministic(query);
  const columns = withNotNull(query, source.columns);
  const uniqueKey = uniqueKeyOf(source, columns);
  const isKeyUnique = isUnique(query, uniqueKey, relied);
  if (!isKeyUnique)
    findings.push({
      capability: "unique key",
      possible: "note",
      place: uniqueKey.join(", "),
      reason:
        "that no two rows share it follows from no key of the tables: each fold checks it, and fails where a refresh would",
    });
  const used = usedColumns(query);
  assertPlaced(source, used);
  refuseRowSets(source, query);
  const tables = scansOf(query);
  const extracted = isLayered ? extractLayers(query, (number) => layerName(names, number)) : [];
  if (noKey !== undefined && extracted.length === 0) throw noKey;
  const found: Finding[] = [];
  const allLeaves: Leaf[] = [];
  const leavesOf = (tree: Query): Leaf[] => {
    const { leaves, findings: seen } = extractLeaves(tree, (number) => stateName(names, number), {
      timeZone,
      tables,
      before: allLeaves.length,
    });
    found.push(...seen);
    allLeaves.push(...leaves);
    return leaves;
  };
  const layers = extracted.map((layer): KeyedLayer => {
    const leaves = leavesOf(layer.query);
    const shape = shapeOf(layer.query, layer.columns, [layer.uniqueKey], `matview_layer_${layer.number}`);
    found.push(...shapeFindings(shape, missingIndex));
    const table = { schema: MAINTENANCE_SCHEMA, name: layerName(names, layer.number) };
    return {
      layer,
      table,
      columns: layer.columns,
      uniqueKey: layer.uniqueKey,
      hasSeveralUniqueIndexes: false,
      isKeyUnique: true,
      shape,
      leaves,
    };
  });
  const leaves = leavesOf(query);
  if (noKey !== undefined && !extracted.every(({ scan }) => leaves.some((leaf) => leaf.source === scan)))
    throw noKey;
  const shape = shapeOf(query, columns, source.uniqueKeys);
  findings.push(...shapeFindings(shape, missingIndex), ...found);
  const published: KeyedTable = {
    table: view,
    columns,
    uniqueKey,
    hasSeveralUniqueIndexes: source.uniqueKeys.length > 1,
    isKeyUnique,
    shape,
    leaves,
  };
  const logs = [...used].map(([relation, columnsUsed], index) => {
    const summed = allLeaves.find((leaf) => leaf.isSummedByTrigger && leaf.source.relation === relation);
    return makeLog(names, index + 1, relation, columnsUsed, summed, relied.get(relation) ?? []);
  });
  const states = [
    ...layers.flatMap((keyed) => [...keyed.leaves.map((leaf) => leafTable(leaf, names)), layerTable(keyed)]),
    ...leaves.map((leaf) => leafTable(leaf, names)),
  ];
  return {
    view,
    names,
    generatorVersion: GENERATOR_VERSION,
    uniqueKey,
    restrictionKey: shape.key.map(({ column }) => column.name),
    logs: logs.map(plain),
    states,
    createFingerprint: fingerprintFunction({
      names,
      tables: logs.map(({ relation, columns: logged, uniqueKeys }) => {
        const watched = new Set([...logged.map(({ name }) => name), ...uniqueKeys.flat()]);
        return watchedTable(relation, watched, uniqueKeys);
      }),
      triggers: triggerNames(names),
      views: source.relations.filter(({ kind }) => kind === "v"),
      functions: source.functions
        .filter(({ isBuiltIn }) => !isBuiltIn)
        .map(
          ({ schema, name, argumentTypes }) => `${quotedName({ schema, name })}(${argumentTypes.join(",")})`,
        ),
    }),
    createFold: foldFunctions({
      names,
      published,
      layers,
      states: states.map(({ name }) => name),
      logs,
      timeZone,
    }),
  };
}

/** What the server has read, the tree must have: a table that it has not would change without a trace. */
function assertPlaced({ relations }: ViewSource, used: Map<Relation, Column[]>): void {
  const lost = relations.find((relation) => relation.kind !== "v" && !used.has(relation));
  if (lost !== undefined)
    refuse(
      "table",
      qualifiedName(lost),
      "the query reads it in a place that is not understood",
      "write it into FROM",
    );
}

/** A function that returns rows in the select list makes several of one: no condition can hold it. */
function refuseRowSets({ functions }: ViewSource, query: Query): void {
  const names = new Set(functions.filter(({ returnsSet }) => returnsSet === true).map(({ name }) => name));
  for (const { targets } of blocksOf(query))
    for (const { expression } of targets)
      if (
        contains(
          expression,
          (node) => "FuncCall" in node && names.has(textOf(node.FuncCall.funcname?.at(-1))),
        )
      )
        refuse(
          "rows from a function",
          excerpt(expression),
          "it stands in the select list",
          "CROSS JOIN LATERAL",
        );
}

/** A materialized view's columns are never NOT NULL to the catalog; some come from columns that are. */
function withNotNull(query: Query, columns: Column[]): Column[] {
  return columns.map((column, index) => {
    const traced = traceColumn(query, index, false) ?? [];
    const isNeverNull =
      traced.length > 0 && traced.every(({ scan, expression }) => isNotNull(expression, scan.relation));
    return { ...column, isNotNull: column.isNotNull || isNeverNull };
  });
}

/** The key by which the fold finds a published row again: of several the one with the fewest columns that may be NULL. */
function uniqueKeyOf(source: ViewSource, columns: Column[]): string[] {
  const nullable = (key: string[]): number =>
    key.filter((name) => columns.find((column) => column.name === name)?.isNotNull !== true).length;
  const [best] = source.uniqueKeys.toSorted((one, other) => nullable(one) - nullable(other));
  if (best !== undefined) return best;
  // A query that is no view yet can have no index: any columns will do to judge the rest.
  if (source.isQuery === true) return columns.map(({ name }) => name);
  const example = columns
    .slice(0, 1)
    .map(({ name }) => name)
    .join(", ");
  return refuse(
    "unique index",
    `${source.view.schema}.${source.view.name}`,
    "without a unique index on plain columns a changed row cannot be found again",
    `CREATE UNIQUE INDEX ON ${source.view.schema}.${source.view.name} (${example}, …);`,
  );
}

/** The tables that the query reads, each with the columns that it uses of it anywhere. */
function usedColumns(query: Query): Map<Relation, Column[]> {
  const scans = scansOf(query);
  const references = columnsIn(query.select);
  const used = new Map<Relation, Set<string>>();
  for (const { relation, alias } of scans) {
    const names = used.get(relation) ?? new Set();
    for (const reference of references) if (reference.alias === alias) names.add(reference.column);
    used.set(relation, names);
  }
  return new Map(
    [...used].map(([relation, names]) => [relation, relation.columns.filter(({ name }) => names.has(name))]),
  );
}

function leafTable(leaf: Leaf, names: MaintainedNames): StateTable {
  return stateTable(
    stateName(names, leaf.number),
    leafQuery(leaf),
    leaf.groups.map((group) => group.name),
  );
}

function layerTable({ layer, table }: KeyedLayer): StateTable {
  return stateTable(table.name, layer.querySql, layer.uniqueKey.map(quoted));
}

/** The fill factor leaves room for the new version of a row on its own page, where no index has to be told of it. */
function stateTable(name: string, querySql: string, key: string[]): StateTable {
  const query = `${name}_query`;
  return {
    name,
    query,
    querySql,
    create: [
      `CREATE TABLE ${inSchema(name)} WITH (fillfactor = 70) AS TABLE ${inSchema(query)} WITH NO DATA`,
      `CREATE INDEX ON ${inSchema(name)} (${key.join(", ")})`,
    ],
    fill: `INSERT INTO ${inSchema(name)} SELECT * FROM ${inSchema(query)}`,
  };
}

/** SQL for the index that a restricted scan lacks. */
function missingIndex({ relation }: Scan, expressions: Node[]): string | undefined {
  if (relation.schema === MAINTENANCE_SCHEMA || relation.estimatedRows < 1_000) return undefined;
  const columns = expressions.map((each) => columnOf(each)?.column);
  if (relation.indexes.some(([leading]) => columns.includes(leading))) return undefined;
  return createIndex(relation, expressions.map(indexKey).join(", "));
}

function plain({
  table,
  tableOid,
  relations,
  name,
  function: writer,
  createTable,
  createFunction,
  triggers,
  form,
}: Log): Maintenance["logs"][number] {
  return { table, tableOid, relations, name, function: writer, createTable, createFunction, triggers, form };
}
