/**
 * What a query calls and reads that makes its result depend on more than rows that triggers see: refused, since the
 * fold would go wrong without anybody noticing.
 *
 * A stable function of PostgreSQL's own may be called where it depends on its arguments and on settings that the fold
 * pins (TimeZone, DateStyle, IntervalStyle, lc_*): chosen one by one from pg_proc of 15.18 and 18.4, and left out where
 * it reads the clock (age(timestamp), a time with time zone, text that may say `now`), the catalog (enum_range, reg*
 * types) or a setting that is not pinned (to_tsvector(text), money, xml).
 */
import { EXACT_AGGREGATES, FLOAT_AGGREGATES, ORDERED_AGGREGATES } from "./aggregates";
import { escapeIdentifier } from "pg";
import { qualifiedName, quotedName } from "../handler/names";
import type { QualifiedName } from "../handler/settings";
import type { Finding } from "./maintenance";
import type { CalledFunction, Relation, ViewSource } from "./source";

const TIMESTAMPTZ = "timestamp with time zone";
const TIMESTAMP = "timestamp without time zone";

/** Stable functions that are safe whatever they are given. */
const SAFE_STABLE = new Set([
  // Time, of which TimeZone is pinned.
  ...["date_trunc", "date_part", "extract", "date_add", "date_subtract", "make_timestamptz", "timestamptz"],
  ...["timestamp", "date", "time", "generate_series", "in_range", "overlaps"],
  ...["timestamptz_pl_interval", "timestamptz_mi_interval", "interval_pl_timestamptz"],
  ...["eq", "ne", "lt", "le", "gt", "ge", "cmp"].flatMap((operator) => [
    `date_${operator}_timestamptz`,
    `timestamp_${operator}_timestamptz`,
    `timestamptz_${operator}_date`,
    `timestamptz_${operator}_timestamp`,
  ]),
  // Text from values, and values from text that says how it is to be read.
  ...["to_char", "to_date", "to_timestamp", "to_number", "concat", "concat_ws", "format", "array_to_string"],
  ...["anytextcat", "textanycat", "quote_literal", "quote_nullable", "convert_from", "convert_to"],
  ...["date_out", "timestamp_out", "timestamptz_out", "interval_out", "interval_in", "enum_in", "enum_out"],
  // JSON.
  ...["to_json", "to_jsonb", "row_to_json", "array_to_json", "json_build_array", "json_build_object"],
  ...["jsonb_build_array", "jsonb_build_object", "jsonb_path_exists_tz", "jsonb_path_match_tz"],
  ...["jsonb_path_query_tz", "jsonb_path_query_array_tz", "jsonb_path_query_first_tz"],
]);

/** Stable functions that are safe with these arguments alone. */
const SAFE_SIGNATURES = new Set([
  `timezone(${TIMESTAMPTZ})`,
  `timezone(${TIMESTAMP})`,
  `timetz(${TIMESTAMPTZ})`,
]);

const CLOCKS = new Set([
  ...["now", "transaction_timestamp", "statement_timestamp", "clock_timestamp", "timeofday"],
  ...["pg_postmaster_start_time", "pg_conf_load_time"],
]);
/** Age up to today, and times of day whose offset is today's. */
const CLOCK_SIGNATURES = new Set([
  `age(${TIMESTAMPTZ})`,
  `age(${TIMESTAMP})`,
  "timetz(time without time zone)",
  "timezone(text, time with time zone)",
  "timezone(time with time zone)",
]);
/** What reads text that may say `now`. */
const TIMES_FROM_TEXT = new Set(["date_in", "time_in", "timetz_in", "timestamp_in", "timestamptz_in"]);

const FLOATS = new Set(["real", "double precision"]);
/** Types of which equal values are the same, whatever their modifier. */
const IDENTITY_NAMES = new Set([
  ...["boolean", "smallint", "integer", "bigint", "oid", "text", "character varying", "name", '"char"'],
  ...["uuid", "date", "time without time zone", TIMESTAMP, TIMESTAMPTZ, "bytea", "inet", "cidr"],
  ...["macaddr", "macaddr8"],
]);
const EXACT_RANGES = new Set(["int4range", "int8range", "daterange", "tsrange", "tstzrange"]);

/** Refusals and notes for what the query calls, compares by and reads. */
export function unsafeFunctions(source: ViewSource): Finding[] {
  return [
    ...source.functions.flatMap((called) => judgeFunction(called, source.view)),
    ...source.usesSqlValueFunctions.map((word) => judgeSqlValueFunction(word, source.view)),
    ...source.nondeterministicCollations.map(judgeCollation),
    ...source.relations.flatMap((relation) => judgeRelation(relation, source.maintainer)),
  ];
}

function judgeFunction(called: CalledFunction, view: QualifiedName): Finding[] {
  if (called.kind === "aggregate") return judgeAggregate(called);
  const refused = judgePlainFunction(called, view);
  return refused ? [{ possible: "no", place: placeOf(called), ...refused }] : [];
}

type Refused = Omit<Finding, "possible" | "place">;

function judgePlainFunction(called: CalledFunction, view: QualifiedName): Refused | undefined {
  const { name, isBuiltIn, volatility, kind } = called;
  const signature = `${name}(${called.argumentTypes.join(", ")})`;
  if (kind === "window" && !isBuiltIn)
    return {
      capability: "window function",
      reason: "What a window function of your own makes of the rows around it is not known.",
    };
  if (!isBuiltIn) return volatility === "immutable" ? undefined : judgeOwnFunction(called);
  if (CLOCKS.has(name) || CLOCK_SIGNATURES.has(signature))
    return {
      capability: "time-dependent function",
      reason: "Its result changes as time goes by, without a change to any row.",
      remedy: aboveTheView(view, "Keep the time window"),
    };
  if (volatility === "immutable" || SAFE_STABLE.has(name) || SAFE_SIGNATURES.has(signature)) return undefined;
  if (TIMES_FROM_TEXT.has(name))
    return {
      capability: "cast of text to a time",
      reason: "Text may say now, today or tomorrow, and then means another time each day.",
      remedy: "to_date(text, 'YYYY-MM-DD') or to_timestamp(text, format) instead of the cast.",
    };
  if (volatility === "volatile")
    return {
      capability: "volatile function",
      reason: "Its result differs from call to call, without a change to any row.",
      remedy: aboveTheView(view, "Call it"),
    };
  const isTextSearch = /ts(query|vector)$/.test(name);
  return {
    capability: "stable function",
    reason: "Its result depends on the catalog or on settings, not only on rows.",
    remedy: isTextSearch ? `Name the configuration: ${name}('english', …).` : aboveTheView(view, "Call it"),
  };
}

function judgeOwnFunction(called: CalledFunction): Refused {
  return {
    capability: `${called.volatility} function`,
    reason:
      called.volatility === "stable"
        ? "It is declared STABLE: it may read tables, whose changes would not be seen."
        : "It is declared VOLATILE, as is every function that says nothing else: its result may differ from call to call.",
    remedy: `If it depends on its arguments alone: ALTER FUNCTION ${sqlOf(called)} IMMUTABLE; if it reads tables, join them in the query.`,
  };
}

function judgeAggregate(called: CalledFunction): Finding[] {
  const { name, isBuiltIn, argumentTypes } = called;
  const place = placeOf(called);
  const no = (refused: Refused): Finding[] => [{ possible: "no", place, ...refused }];
  const last = argumentTypes.at(-1) ?? "";

  if (!isBuiltIn)
    return no({
      capability: "user-defined aggregate",
      reason: "Whether its result depends on the order of rows is not known.",
      remedy: "An aggregate of PostgreSQL's own.",
    });
  if (FLOAT_AGGREGATES.has(name) && argumentTypes.some((type) => FLOATS.has(type)))
    return no({
      capability: "float aggregate",
      reason: "A sum of floats depends on the order in which they are added.",
      remedy: `${name} over numeric or integer: ${name}(column::numeric).`,
    });
  if (EXACT_AGGREGATES.has(name) || ORDERED_AGGREGATES.has(name)) return [];
  // Whether equal values look the same depends on the column below, which the compiler knows.
  if (name === "min" || name === "max") return [];
  if ((name === "percentile_disc" || name === "mode") && IDENTITY_NAMES.has(last)) return [];
  if (name === "percentile_cont" && argumentTypes.every((type) => type === "double precision")) return [];
  if (name.startsWith("range_") && EXACT_RANGES.has(last)) return [];
  return no({
    capability: "aggregate",
    reason: "Its result may depend on the order of rows.",
    remedy: "An aggregate that does not, or one with an ORDER BY over a unique column.",
  });
}

function judgeSqlValueFunction(word: string, view: QualifiedName): Finding {
  const isTime = /^(CURRENT_(DATE|TIME)|LOCALTIME)/.test(word);
  return {
    capability: isTime ? "time-dependent function" : "session-dependent function",
    possible: "no",
    place: word,
    reason: isTime
      ? "Its result changes as time goes by, without a change to any row."
      : "Its result depends on who asks, and the stored rows are the same for all.",
    remedy: aboveTheView(view, isTime ? "Keep the time window" : "Call it"),
  };
}

function judgeCollation(collation: string): Finding {
  return {
    capability: "collation",
    possible: "no",
    place: collation,
    reason: "Under a nondeterministic collation texts are equal that are not the same.",
    remedy: 'A deterministic collation: column COLLATE "C", or lower(column) in its place.',
  };
}

const SYSTEM_SCHEMAS = new Set(["pg_catalog", "information_schema", "pg_toast"]);

function judgeRelation(relation: Relation, maintainer: string | undefined): Finding[] {
  const place = qualifiedName(relation);
  const table = quotedName(relation);
  const findings: Finding[] = [];
  const refuse = (capability: string, reason: string, remedy?: string): void => {
    findings.push(withoutAbsent({ capability, possible: "no", place, reason, remedy }));
  };

  if (SYSTEM_SCHEMAS.has(relation.schema)) {
    refuse("system catalog", "No trigger can be made on it.");
    return findings;
  }
  if (relation.kind === "v") return findings;
  if (relation.kind === "f") {
    refuse("foreign table", "Its rows change on another server, where no trigger of this one sees it.");
    return findings;
  }
  if (relation.kind === "m") {
    refuse(
      "materialized view",
      "Triggers do not fire on a materialized view.",
      `Maintain that one first: npm run incremental -- apply --view ${place}`,
    );
    return findings;
  }
  const foreign = relation.partitions.filter(({ kind }) => kind === "f");
  if (foreign.length > 0)
    refuse("foreign table", `Its partition ${foreign.map(qualifiedName).join(", ")} is on another server.`);
  if (relation.isTemporary) refuse("temporary table", "It is gone with the session that made it.");
  if (relation.hasRowSecurity)
    refuse(
      "row security",
      "Triggers log every row, also those that the view's owner may not see.",
      `ALTER TABLE ${table} DISABLE ROW LEVEL SECURITY, or a copy of what the view may show.`,
    );
  if (relation.hasChildren)
    refuse(
      "inheritance",
      "Tables inherit from it without being partitions: writes to them are not seen by its triggers.",
      `Declarative partitions, or FROM ONLY over a table without children.`,
    );
  if (relation.parent)
    refuse(
      "partition",
      `It belongs to ${qualifiedName(relation.parent)}, and writes through that table do not fire its triggers.`,
      `Read ${qualifiedName(relation.parent)}, with a condition on the partition key.`,
    );
  if (!relation.mayTrigger) refuse("privilege", mayNotTrigger(relation), grantsOf(relation, maintainer));
  const computed = relation.columns.filter(({ generated, isUsed }) => generated === "v" && isUsed !== false);
  for (const { name } of computed)
    findings.push({
      capability: "virtual generated column",
      possible: "no",
      place: `${place}.${name}`,
      reason: "Triggers see NULL in place of its value.",
      remedy: "Its expression in the query, or a column GENERATED ALWAYS AS (…) STORED.",
    });
  if (relation.isReadWhole)
    refuse(
      "whole row",
      "A row that is read as one value changes in every row when a column is added, which no trigger sees.",
      "Name the columns that are needed.",
    );
  if (relation.isUnlogged)
    findings.push({
      capability: "unlogged table",
      possible: "note",
      place,
      reason: "A crash of the server empties it, which no trigger sees.",
      remedy: "After a crash recompute by hand: npm run refresh -- --view <view> --full",
    });
  return findings;
}

function mayNotTrigger(relation: Relation): string {
  const partitions = relation.partitions.length > 0 ? ", or on one of its partitions" : "";
  return `The role that maintains the view may not create triggers on it${partitions}.`;
}

function grantsOf(relation: Relation, maintainer: string | undefined): string {
  const tables = [relation, ...relation.partitions].map(quotedName).join(", ");
  const role = maintainer === undefined ? "<owner of the view>" : escapeIdentifier(maintainer);
  return `GRANT TRIGGER ON ${tables} TO ${role};  -- for the time of apply`;
}

function aboveTheView(view: QualifiedName, what: string): string {
  return `${what} in a plain view on top of the maintained one: CREATE VIEW ${view.name}_now AS SELECT … FROM ${quotedName(view)} WHERE …`;
}

/** As people read it: a function of PostgreSQL's own without its schema. */
function placeOf(called: CalledFunction): string {
  const name = called.schema === "pg_catalog" ? called.name : qualifiedName(called);
  return `${name}(${called.argumentTypes.join(", ")})`;
}

function sqlOf(called: CalledFunction): string {
  return `${quotedName(called)}(${called.argumentTypes.join(", ")})`;
}

function withoutAbsent(finding: Omit<Finding, "remedy"> & { remedy: string | undefined }): Finding {
  const { remedy, ...rest } = finding;
  return remedy === undefined ? rest : { ...rest, remedy };
}
