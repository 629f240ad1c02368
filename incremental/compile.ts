/**
 * From what the catalog says of a view to the SQL that maintains it, or to the reasons why that cannot be. Stages:
 * names and tree (resolve), refusals (functions, determinism), additive leaves, restriction key (shape), SQL (log, fold).
 */
import { MAINTENANCE_SCHEMA, maintainedNames } from "../handler/maintained";
import { assertDeterministic } from "./determinism";
import { columnOf, columnsIn } from "./expression";
import { fingerprintFunction } from "./fingerprint";
import { foldFunctions, stateName } from "./fold";
import { unsafeFunctions } from "./functions";
import { extractLeaves, leafQuery, type Leaf } from "./leaf";
import { makeLog, triggerNames, type Log } from "./log";
import type { Compilation, Finding, Maintenance, StateTable } from "./maintenance";
import { inSchema } from "./print";
import { Refusal, refuse } from "./refusal";
import { loadParser, resolveQuery } from "./resolve";
import { shapeFindings, shapeOf } from "./shape";
import type { Column, Relation, ViewSource } from "./source";
import { traceColumn } from "./trace";
import { scansOf, type Query, type Scan } from "./tree";

/** Counts up when the generated SQL changes: a view that an older one maintains is generated anew by `apply`. */
export const GENERATOR_VERSION = 1;

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
  const { view } = source;
  const names = maintainedNames(view);
  const query = resolveQuery(source.definition, source.relations);
  assertDeterministic(query);
  const columns = withNotNull(query, source.columns);
  const uniqueKey = uniqueKeyOf(source, columns);
  const used = usedColumns(query);
  const { leaves, findings: leafFindings } = extractLeaves(query, (number) => stateName(names, number), source.timeZone);
  const shape = shapeOf(query, columns, source.uniqueKeys);
  findings.push(...shapeFindings(shape, missingIndex), ...leafFindings);
  const logs = [...used].map(([relation, columnsUsed], index) => {
    const summed = leaves.find((leaf) => leaf.isSummedByTrigger && leaf.source.relation === relation);
    return makeLog(names, index + 1, relation, columnsUsed, summed);
  });
  const views = source.relations.filter(({ kind }) => kind === "v");
  return {
    view,
    names,
    generatorVersion: GENERATOR_VERSION,
    uniqueKey,
    restrictionKey: shape.key.map(({ column }) => column.name),
    logs: logs.map(plain),
    states: leaves.map((leaf) => stateTable(leaf, stateName(names, leaf.number))),
    createFingerprint: fingerprintFunction({
      names,
      tables: logs.map((log) => ({ relation: log.relation, columns: log.columns, triggers: triggerNames(names) })),
      views,
      functions: source.functions.filter(({ isBuiltIn }) => !isBuiltIn),
    }),
    createFold: foldFunctions({
      ...{ view, names, columns, uniqueKey, shape, leaves, logs, timeZone: source.timeZone },
      hasSeveralUniqueIndexes: source.uniqueKeys.length > 1,
    }),
  };
}

/** A materialized view's columns are never NOT NULL to the catalog; some come from columns that are. */
function withNotNull(query: Query, columns: Column[]): Column[] {
  return columns.map((column, index) => {
    const traced = traceColumn(query, index, false) ?? [];
    const isNotNull = traced.length > 0 && traced.every(({ scan, expression }) => isColumnNotNull(scan, expression));
    return { ...column, isNotNull: column.isNotNull || isNotNull };
  });
}

function isColumnNotNull(scan: Scan, expression: Parameters<typeof columnOf>[0]): boolean {
  const name = columnOf(expression)?.column;
  return scan.relation.columns.some((column) => column.name === name && column.isNotNull);
}

/** The key by which the fold finds a published row again: of several the one with the fewest columns that may be NULL. */
function uniqueKeyOf(source: ViewSource, columns: Column[]): string[] {
  const nullable = (key: string[]): number => key.filter((name) => columns.find((column) => column.name === name)?.isNotNull !== true).length;
  const [best] = source.uniqueKeys.toSorted((one, other) => nullable(one) - nullable(other));
  if (best !== undefined) return best;
  const example = columns.slice(0, 1).map(({ name }) => name).join(", ");
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
  return new Map([...used].map(([relation, names]) => [relation, relation.columns.filter(({ name }) => names.has(name))]));
}

function stateTable(leaf: Leaf, name: string): StateTable {
  const query = `${name}_query`;
  const groups = leaf.groups.map((group) => group.name).join(", ");
  return {
    name,
    query,
    querySql: leafQuery(leaf),
    create: [
      `CREATE TABLE ${inSchema(name)} WITH (fillfactor = 70) AS TABLE ${inSchema(query)} WITH NO DATA`,
      `CREATE INDEX ON ${inSchema(name)} (${groups})`,
    ],
    fill: `INSERT INTO ${inSchema(name)} SELECT * FROM ${inSchema(query)}`,
  };
}

/** SQL for the index that a restricted scan lacks. */
function missingIndex(scan: Scan, expressions: Parameters<typeof columnOf>[0][]): string | undefined {
  const { relation } = scan;
  if (relation.schema === MAINTENANCE_SCHEMA || relation.estimatedRows < 1_000) return undefined;
  const columns = expressions.map((each) => columnOf(each)?.column);
  const isLed = relation.indexes.some((index) => columns.includes(index[0]));
  if (isLed) return undefined;
  const list = columns.map((column) => column ?? "…").join(", ");
  return `CREATE INDEX CONCURRENTLY ON ${relation.schema}.${relation.name} (${list});`;
}

function plain({ table, tableOid, relations, name, function: writer, createTable, createFunction, triggers, form }: Log): Maintenance["logs"][number] {
  return { table, tableOid, relations, name, function: writer, createTable, createFunction, triggers, form };
}

