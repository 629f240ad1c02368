/** What the catalog says of a view and of everything its query reads: the compiler's one input, plain data. */
import type { QualifiedName } from "../handler/settings";

/** A type as the catalog has it. */
export interface ColumnType {
  /** pg_type.oid of the type itself, of a domain's base type for a domain. */
  oid: number;
  /** format_type with its modifier, qualified where it must be: what SQL can say again. */
  name: string;
  /** Whether the type, or the domain's base type, is one of PostgreSQL's own. */
  isBuiltIn: boolean;
  /** Of a domain the type under it, as `name` is written: a log takes NULL where the domain may not. */
  baseName?: string;
  /**
   * Whether equal values are identical, so that rows can be told by them. Not so for float, for numeric without a
   * declared scale, interval, jsonb, citext, and text under a nondeterministic collation.
   */
  isIdentity: boolean;
  /** `numeric` with a declared scale never changes it; `integer` covers int2, int4, int8. */
  family: "integer" | "numeric" | "scaled numeric" | "float" | "boolean" | "text" | "time" | "other";
  /** As SQL, where it is not the type's own: a table that is made of the type's name alone would sort otherwise. */
  collation?: string;
}

export interface Column {
  name: string;
  type: ColumnType;
  isNotNull: boolean;
  /** pg_attribute.attnum; renames and drops do not change it. */
  number: number;
  /** `v` computed when read (18 and later; transition tables have NULL for it), `s` stored, empty otherwise. */
  generated: "" | "s" | "v";
  /** Whether the query, or a plain view below it, reads it. */
  isUsed?: boolean;
}

/** A relation that the query reads, itself or through plain views. */
export interface Relation extends QualifiedName {
  oid: number;
  /** pg_class.relkind: r table, p partitioned table, v plain view, m materialized view, f foreign table. */
  kind: "r" | "p" | "v" | "m" | "f";
  owner: string;
  columns: Column[];
  /** Columns of each unique, valid, immediate index without expressions or predicate, the primary key first. */
  uniqueKeys: string[][];
  /** Leading columns of every usable index, so that it can be said which restriction would scan. */
  indexes: string[][];
  estimatedRows: number;
  /** Bytes of the table, partitions included. */
  sizeBytes: number;
  /** Every partition below it, of any level. */
  partitions: (QualifiedName & { kind: "r" | "p" | "f" })[];
  hasRowSecurity: boolean;
  /** Whether other tables inherit from it without being partitions. */
  hasChildren: boolean;
  isTemporary: boolean;
  isUnlogged: boolean;
  /** Whether the maintaining role may create triggers on it. */
  mayTrigger: boolean;
  /** Whether it is a table that a fold writes: triggers fire for those writes as for all others. */
  isMaintained: boolean;
  /** The table it is a partition of, or inherits from: statement triggers do not see writes through that one. */
  parent?: QualifiedName;
  /** Whether its rows are read as a whole (`orders`, `orders.*` as one value), so that a new column shows. */
  isReadWhole?: boolean;
  /** Of a plain view: its query, as pg_get_viewdef writes it under search_path pg_catalog. */
  definition?: string;
}

/** A function, operator's function or aggregate that the query calls, wherever in it. */
export interface CalledFunction {
  oid: number;
  schema: string;
  name: string;
  kind: "function" | "aggregate" | "window";
  volatility: "immutable" | "stable" | "volatile";
  isBuiltIn: boolean;
  /** Whether it returns rows. */
  returnsSet?: boolean;
  /** Types of its arguments, as format_type writes them. */
  argumentTypes: string[];
}

/** One view, or one query that is to be judged before it is a view. */
export interface ViewSource {
  view: QualifiedName;
  /** The query, as pg_get_viewdef writes it under search_path pg_catalog. */
  definition: string;
  /** Columns of the result, in order. */
  columns: Column[];
  /** Unique indexes of the materialized view that a concurrent refresh could use, by their columns. */
  uniqueKeys: string[][];
  /** All that the query reads, itself or through plain views. */
  relations: Relation[];
  functions: CalledFunction[];
  /** Whether the query has now(), current_user and their like as SQL's own words (SQLValueFunction). */
  usesSqlValueFunctions: string[];
  /** Names of nondeterministic collations under which the query compares. */
  nondeterministicCollations: string[];
  timeZone: string;
  /** Whether it is a query alone, and no view yet. */
  isQuery?: boolean;
  /** server_version_num, such as 180004. */
  serverVersion: number;
  estimatedRows: number;
  /** The role that maintains it, whose privileges count. */
  maintainer?: string;
}
