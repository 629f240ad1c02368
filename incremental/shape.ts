/** The shape of a query: by which of its columns it can be recomputed in parts, and how a change finds those parts. */
import type { Node } from "@pgsql/types";
import { MAINTENANCE_SCHEMA } from "../handler/maintained";
import { qualifiedName } from "../handler/names";
import { columnOf, excerpt, isSame } from "./expression";
import type { Finding } from "./maintenance";
import { refuse } from "./refusal";
import type { Column } from "./source";
import { edgesOf, forksOf, pathsTo, traceColumn, type Edge, type Paths } from "./trace";
import { blocksOf, scansOf, type Query, type Scan, isNotNull } from "./tree";

/** What a query is refused for that has none. */
export const RESTRICTION_KEY = "restriction key";

/** A column of the restriction key. */
interface KeyColumn {
  column: Column;
  mayBeNull: boolean;
  /** The fold's variable that holds the affected values, an array. */
  variable: string;
}

export interface Shape {
  query: Query;
  /** The restriction key P: the rows with P = p depend on base rows alone that belong to p. */
  key: KeyColumn[];
  /** The fold's variable that tells whether a key with a NULL in it is affected. */
  nullKeys: string;
  /** The scans that P comes from, each with P's expressions: one, or one for each branch and side. */
  roots: { scan: Scan; expressions: Node[] }[];
  paths: Paths;
  /** Of each scan that P reaches, the expressions that equal P's columns there; a column that does not reach it has none. */
  reached: Map<Scan, (Node | undefined)[]>;
  /** Scans of which every change matters to every row. */
  unbound: Scan[];
}

/**
 * @param columns of the view, in the order of the query's.
 * @param uniqueKeys of the view; rows are told apart by the first.
 * @param prefix of the fold's variables. No column of a user has such a name, and where one has, the column is meant.
 * @throws Refusal where there is no restriction key.
 */
export function shapeOf(query: Query, columns: Column[], uniqueKeys: string[][], prefix = "matview"): Shape {
  const candidates = candidatesOf(query, columns, uniqueKeys, prefix);
  const [best] = candidates;
  if (best === undefined)
    return refuse(
      RESTRICTION_KEY,
      excerpt({ SelectStmt: query.select }),
      "no column of the view comes from one table alone, unchanged, and stands in every GROUP BY, DISTINCT and PARTITION BY: every change could matter to every row",
      "show the columns that are grouped by, or leave the view to full refreshes",
    );
  const { key, roots } = best;
  const edges = edgesOf(query);
  const paths = pathsTo(
    roots.map(({ scan }) => scan),
    edges,
  );
  const isRoot = (scan: Scan): boolean => roots.some((root) => root.scan === scan);
  const unbound = scansOf(query).filter((scan) => !isRoot(scan) && !paths.has(scan));
  const whole = unbound.find(({ relation }) =>
    roots.some(({ scan }) => Math.abs(scan.relation.oid) === Math.abs(relation.oid)),
  );
  if (whole !== undefined)
    refuse(
      "path to the key",
      `${qualifiedName(whole.relation)} as ${whole.alias}`,
      "the query reads the table of its key once more, with nothing that ties those rows to the key: each change would mean a full run",
      "leave that part out of the view, and compute it in a plain view on top of it",
    );
  return {
    query,
    key,
    nullKeys: `${prefix}_null_keys`,
    roots,
    paths,
    reached: reachedFrom(roots, edges),
    unbound,
  };
}

/** The possible keys, the most selective first. */
function candidatesOf(
  query: Query,
  columns: Column[],
  uniqueKeys: string[][],
  prefix: string,
): Pick<Shape, "key" | "roots">[] {
  const traced = columns.flatMap((column, index) => {
    const expressions = column.type.isIdentity ? traceColumn(query, index, false) : undefined;
    return expressions === undefined
      ? []
      : [{ column, expressions, place: expressions.map(({ scan }) => scan.alias).join(",") }];
  });
  const places = [...new Set(traced.map(({ place }) => place))];
  const candidates = places.map((place) => {
    const here = traced.filter((each) => each.place === place);
    const viewKey =
      uniqueKeys.find((names) => names.some((name) => here.some(({ column }) => column.name === name))) ?? [];
    const inViewKey = here.filter(({ column }) => viewKey.includes(column.name));
    const rowKey = rowKeyOf(here);
    const chosen =
      inViewKey.length > 0 && (inViewKey.length === viewKey.length || rowKey.length === 0)
        ? inViewKey
        : rowKey.length > 0
          ? rowKey
          : here;
    const roots = (chosen[0]?.expressions ?? []).map(({ scan }, index) => ({
      scan,
      expressions: chosen.flatMap(({ expressions }) => expressions[index]?.expression ?? []),
    }));
    const key = chosen.map(({ column }, index) => ({
      column,
      mayBeNull: !roots.every(
        ({ scan, expressions }) => expressions[index] && isNotNull(expressions[index], scan.relation),
      ),
      variable: `${prefix}_keys_${index + 1}`,
    }));
    const isViewKey =
      viewKey.length > 0 && viewKey.every((name) => chosen.some(({ column }) => column.name === name));
    // The more of what tells rows apart, the fewer rows belong to one key.
    const selectivity =
      (isViewKey ? 4 : 0) + (rowKey.length > 0 ? 2 : 0) + inViewKey.length / (viewKey.length + 1);
    return { key, roots, selectivity };
  });
  return candidates.sort((one, other) => other.selectivity - one.selectivity);
}

/** The columns that tell the rows of the one table apart that they come from, if some do. */
function rowKeyOf<Traced extends { expressions: { scan: Scan; expression: Node }[] }>(
  columns: Traced[],
): Traced[] {
  const [first] = columns;
  const [root, ...others] = first?.expressions ?? [];
  if (root === undefined || others.length > 0) return [];
  for (const names of root.scan.relation.uniqueKeys) {
    const found = names.map((name) =>
      columns.find(
        ({ expressions }) => expressions[0] && columnOf(expressions[0].expression)?.column === name,
      ),
    );
    if (found.every((each) => each !== undefined)) return found;
  }
  return [];
}

/**
 * The restriction is handed on along equalities: of a table that is joined by P's column, only rows with it matter.
 * Where a scan is joined to a set operation, the column must be P's in all branches. The types must be one: a key that
 * is found in a bigint may be none of an integer's.
 */
function reachedFrom(roots: Shape["roots"], edges: Edge[]): Shape["reached"] {
  const reached: Shape["reached"] = new Map(roots.map(({ scan, expressions }) => [scan, [...expressions]]));
  const width = roots[0]?.expressions.length ?? 0;
  const forks = forksOf(edges).filter((fork) => !roots.some(({ scan }) => scan === fork[0]?.from));
  for (let isNew = true; isNew;) {
    isNew = false;
    for (const fork of forks) {
      const [{ from, equality } = {}] = fork;
      if (from === undefined || equality === undefined) continue;
      const known = reached.get(from) ?? Array.from({ length: width }, () => undefined);
      for (let index = 0; index < width; index += 1) {
        const isKeys = ({ to, equality: each }: Edge): boolean => {
          const expression = reached.get(to)?.[index];
          return each !== undefined && expression !== undefined && isSame(expression, each.to);
        };
        if (known[index] !== undefined || !fork.every((edge) => isKeys(edge) && isOfOneType(edge))) continue;
        known[index] = equality.from;
        reached.set(from, known);
        isNew = true;
      }
    }
  }
  return reached;
}

function isOfOneType({ from, to, equality }: Edge): boolean {
  const [one, other] = [typeIn(from, equality?.from), typeIn(to, equality?.to)];
  if (one === undefined || other === undefined) return false;
  return (one.oid === other.oid && one.oid !== 0) || (one.family === "text" && other.family === "text");
}

function typeIn({ relation }: Scan, expression: Node | undefined): Column["type"] | undefined {
  const name = expression && columnOf(expression)?.column;
  return relation.columns.find((column) => column.name === name)?.type;
}

/**
 * What `plan` says of the shape.
 * @param missingIndex SQL of the index that a restricted scan lacks, if it lacks one.
 */
export function shapeFindings(
  shape: Shape,
  missingIndex: (scan: Scan, expressions: Node[]) => string | undefined,
): Finding[] {
  const isTable = ({ relation }: Scan): boolean => relation.schema !== MAINTENANCE_SCHEMA;
  const roots = shape.roots.map(({ scan, expressions }) => {
    const from = isTable(scan) ? qualifiedName(scan.relation) : "the groups of a leaf or layer";
    return isTable(scan) ? `${from} (${expressions.map((each) => excerpt(each)).join(", ")})` : from;
  });
  const blocks = blocksOf(shape.query);
  return [
    {
      capability: RESTRICTION_KEY,
      possible: "yes",
      place: shape.key.map(({ column }) => column.name).join(", "),
      reason: `from ${roots.join(" and ")}`,
    },
    ...scansOf(shape.query)
      .filter((scan) => isTable(scan) || shape.unbound.includes(scan))
      .map((scan) => {
        const block = blocks.find(({ items }) => items.includes(scan));
        return scanFinding(shape, scan, block?.place === "from" && block.partitions.length > 0, missingIndex);
      }),
  ];
}

/** @param isWhole whether its rows are grouped before the key could choose among them. */
function scanFinding(
  shape: Shape,
  scan: Scan,
  isWhole: boolean,
  missingIndex: (scan: Scan, expressions: Node[]) => string | undefined,
): Finding {
  const { relation, alias } = scan;
  const place = relation.name === alias ? qualifiedName(relation) : `${qualifiedName(relation)} as ${alias}`;
  const expressions = shape.reached.get(scan)?.filter((each) => each !== undefined);
  const finding = (possible: Finding["possible"], reason: string, remedy?: string): Finding => ({
    capability: "restricted scan",
    possible,
    place,
    reason,
    ...(remedy === undefined ? {} : { remedy }),
  });
  if (shape.unbound.includes(scan))
    return finding(
      "note",
      "nothing ties its rows to those of the key: each change of it means a full run",
      "join it by an equality; NOT EXISTS instead of NOT IN",
    );
  if (expressions === undefined)
    return isWhole
      ? finding(
          "note",
          "the key does not reach into its subquery, which every fold with changes computes as a whole",
          "group it by what the key is joined to, or make the subquery a maintained view of its own",
        )
      : finding("yes", "read by way of the tables that it is joined to");
  const columns = expressions.map((each) => excerpt(each)).join(", ");
  const remedy = missingIndex(scan, expressions);
  return remedy === undefined
    ? finding("yes", `read where ${columns} is among the changed keys`)
    : finding(
        "note",
        `read where ${columns} is among the changed keys: as a whole, without an index`,
        remedy,
      );
}
