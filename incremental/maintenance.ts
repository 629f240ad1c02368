/** What the compiler makes of a view: findings for people, and the SQL that maintains it. */
import type { MaintainedNames } from "../handler/maintained";
import type { QualifiedName } from "../handler/settings";

/** One row of what `plan` says. */
export interface Finding {
  /** What is judged, in the field's words: `restriction key`, `additive leaf`, `ordered aggregate`. */
  capability: string;
  /** `yes`, `no` (the view is refused), or `note` (it works, at a price or with a limit). */
  possible: "yes" | "no" | "note";
  /** Where in the query, as a piece of its text, or a relation. */
  place: string;
  reason: string;
  /** What would help, as SQL or a command where there is one. */
  remedy?: string;
}

/** The log of one base table. */
export interface TableLog {
  table: QualifiedName;
  tableOid: number;
  /** The table and its partitions: everything that gets triggers. */
  relations: QualifiedName[];
  /** Name of the log table in schema matview_refresh. */
  name: string;
  /** Name of its trigger function. */
  function: string;
  createTable: string;
  /** CREATE OR REPLACE: may be run again. */
  createFunction: string;
  /** CREATE TRIGGER of one relation, each by event; without OR REPLACE, since names tell what is there. */
  triggers: { relation: QualifiedName; name: string; sql: string }[];
  /** Whether rows are summed up by group when they are written (`deltas`) or written one by one (`images`). */
  form: "deltas" | "images";
}

/** A table of the fold's own beside the published one: a leaf's state, or a hidden keyed relation. */
export interface StateTable {
  name: string;
  /** The plain view that computes it whole. */
  query: string;
  /** SELECT text of that view. */
  querySql: string;
  /** CREATE TABLE with its indexes. */
  create: string[];
  /** INSERT that fills the empty table from the view. */
  fill: string;
}

export interface Maintenance {
  view: QualifiedName;
  names: MaintainedNames;
  generatorVersion: number;
  /** A unique key of the published table, all of whose columns identify a row. */
  uniqueKey: string[];
  /** The restriction key: the published table needs an index that leads with its columns. */
  restrictionKey: string[];
  logs: TableLog[];
  /** In the order in which they are filled and folded. */
  states: StateTable[];
  /** CREATE OR REPLACE FUNCTION of the fingerprint and of the fold, without grants. */
  createFingerprint: string;
  createFold: string;
}

/** What the compiler says of one view. */
export interface Compilation {
  findings: Finding[];
  /** Absent where any finding is a `no`. */
  maintenance?: Maintenance;
}
