/**
 * What an analyzed query (pg_rewrite.ev_action, a pg_node_tree) says that its text does not: which functions, types
 * and collations its words were resolved to. Read by the names of fields, which are the same from 14 to 18 where the
 * labels of nodes are not.
 */

/** A node of the tree, its fields by name; a field holds one value, or several where it is written as several. */
interface Node {
  label: string;
  fields: Map<string, Value[]>;
}
type Value = string | Node | Value[];

/** What a query is made of, as oids. */
export interface Analyzed {
  /** Relations that it names, system catalogs included, in the order of their first use. */
  relations: number[];
  /** Columns that it reads by relation, as attnum; 0 is the row as a whole. */
  columns: Map<number, Set<number>>;
  functions: { oid: number; argumentTypes?: number[] }[];
  /** Operators whose function the tree does not tell. */
  operators: number[];
  /** Types whose values are read from text, or written as text. */
  readTypes: number[];
  writtenTypes: number[];
  collations: number[];
  sqlValueFunctions: string[];
}

/** By SQLValueFunctionOp, the same on 15.18 and 18.4. */
const SQL_VALUE_FUNCTIONS = [
  "CURRENT_DATE",
  "CURRENT_TIME",
  "CURRENT_TIME",
  "CURRENT_TIMESTAMP",
  "CURRENT_TIMESTAMP",
  "LOCALTIME",
  "LOCALTIME",
  "LOCALTIMESTAMP",
  "LOCALTIMESTAMP",
  "CURRENT_ROLE",
  "CURRENT_USER",
  "USER",
  "SESSION_USER",
  "CURRENT_CATALOG",
  "CURRENT_SCHEMA",
];

/** pg_proc.oid of nextval(regclass), which an identity column calls without naming it. */
const NEXTVAL = 1574;
/** FirstLowInvalidHeapAttributeNumber: what a set of columns adds to each attnum. */
const COLUMN_OFFSET = 7;
const FUNCTION_FIELDS = ["funcid", "opfuncid", "aggfnoid", "winfnoid", "tsmhandler"];
/** An expression's type stands in one of these. */
const TYPE_FIELDS = [
  "vartype",
  "consttype",
  "paramtype",
  "aggtype",
  "wintype",
  "refrestype",
  "funcresulttype",
  "opresulttype",
  "resulttype",
  "casetype",
  "array_typeid",
  "row_typeid",
  "coalescetype",
  "minmaxtype",
  "typeId",
];

/** Reads the text of an ev_action. */
export function analyze(tree: string): Analyzed {
  const found = {
    relations: new Set<number>(),
    columns: new Map<number, Set<number>>(),
    functions: new Map<string, Analyzed["functions"][number]>(),
    operators: new Set<number>(),
    readTypes: new Set<number>(),
    writtenTypes: new Set<number>(),
    collations: new Set<number>(),
    sqlValueFunctions: new Set<string>(),
  };

  function addFunction(oid: number, argumentTypes?: number[]): void {
    if (oid !== 0) found.functions.set(`${oid}:${argumentTypes?.join()}`, { oid, argumentTypes });
  }

  function visit(value: Value): void {
    if (typeof value === "string") return;
    if (Array.isArray(value)) return value.forEach(visit);
    const { label, fields } = value;
    const argumentTypes = typesOfArguments(value);
    for (const field of FUNCTION_FIELDS)
      if (fields.has(field)) addFunction(numberOf(value, field), argumentTypes);
    if (numberOf(value, "opno") !== 0 && numberOf(value, "opfuncid") === 0)
      found.operators.add(numberOf(value, "opno"));
    for (const operator of oidList(value, "opnos")) found.operators.add(operator);
    if (label === "NEXTVALUEEXPR") addFunction(NEXTVAL);
    if (label === "SQLVALUEFUNCTION") {
      const operation = numberOf(value, "op");
      found.sqlValueFunctions.add(SQL_VALUE_FUNCTIONS[operation] ?? `SQLValueFunction ${operation}`);
    }
    if (label === "COERCEVIAIO") {
      found.readTypes.add(numberOf(value, "resulttype"));
      found.writtenTypes.add(typeOf(fields.get("arg")?.[0]));
    }
    if (numberOf(value, "relid") !== 0) {
      const relation = numberOf(value, "relid");
      // Kind 0 is a relation; a view of 14 and 15 has itself twice in its list, as what rules call OLD and NEW.
      if (fields.get("rtekind")?.[0] === "0") found.relations.add(relation);
      const columns = found.columns.get(relation) ?? new Set();
      for (const column of oidList(value, "selectedCols")) columns.add(column - COLUMN_OFFSET);
      found.columns.set(relation, columns);
    }
    for (const [field, values] of fields) {
      if (/colli?d$/i.test(field) || field === "collOid") found.collations.add(numberOf(value, field));
      for (const collation of field === "inputcollids" ? oidList(value, field) : [])
        found.collations.add(collation);
      values.forEach(visit);
    }
  }

  visit(parse(tree));
  const list = (oids: Set<number>): number[] => [...oids].filter((oid) => oid !== 0);
  return {
    relations: list(found.relations),
    columns: found.columns,
    functions: [...found.functions.values()],
    operators: list(found.operators),
    readTypes: list(found.readTypes),
    writtenTypes: list(found.writtenTypes),
    collations: list(found.collations),
    sqlValueFunctions: [...found.sqlValueFunctions],
  };
}

/** Types of what a function is given here, which its declaration does not tell where that says `anyelement`. */
function typesOfArguments(node: Node): number[] | undefined {
  if (node.fields.has("aggargtypes")) return oidList(node, "aggargtypes");
  if (!node.fields.has("funcid") && !node.fields.has("winfnoid")) return undefined;
  const given = node.fields.get("args")?.[0];
  const types = Array.isArray(given) ? given.map(typeOf) : [];
  return types.includes(0) ? undefined : types;
}

/** The type of an expression (exprType of the server); 0 where it is none that is known. */
function typeOf(expression: Value | undefined): number {
  if (expression === undefined || typeof expression === "string" || Array.isArray(expression)) return 0;
  const { label, fields } = expression;
  for (const field of TYPE_FIELDS) if (fields.has(field)) return numberOf(expression, field);
  if (label === "SQLVALUEFUNCTION") return numberOf(expression, "type");
  if (label === "COLLATEEXPR" || label === "NAMEDARGEXPR") return typeOf(fields.get("arg")?.[0]);
  if (label === "SUBLINK") return typeOfSublink(expression);
  if (label === "JSONCONSTRUCTOREXPR" || label === "JSONEXPR") return typeOf(fields.get("returning")?.[0]);
  if (label === "JSONRETURNING") return numberOf(expression, "typid");
  if (["boolop", "nulltesttype", "booltesttype", "useOr", "opnos"].some((field) => fields.has(field)))
    return BOOLEAN;
  return 0;
}

const BOOLEAN = 16;
const [EXPRESSION_SUBLINK, ARRAY_SUBLINK] = [4, 6];

/** Of ARRAY (SELECT …), whose own type is not written down, the type of its elements: as those are, it is written. */
function typeOfSublink(sublink: Node): number {
  const kind = numberOf(sublink, "subLinkType");
  if (kind !== EXPRESSION_SUBLINK && kind !== ARRAY_SUBLINK) return BOOLEAN;
  const query = sublink.fields.get("subselect")?.[0];
  if (query === undefined || typeof query === "string" || Array.isArray(query)) return 0;
  const targets = query.fields.get("targetList")?.[0];
  const first = Array.isArray(targets) ? targets[0] : undefined;
  if (first === undefined || typeof first === "string" || Array.isArray(first)) return 0;
  return typeOf(first.fields.get("expr")?.[0]);
}

function numberOf(node: Node, field: string): number {
  const value = node.fields.get(field)?.[0];
  return typeof value === "string" ? Number(value) || 0 : 0;
}

/** Numbers of `(o 96 97)` and `(b 8 9)`. */
function oidList(node: Node, field: string): number[] {
  const value = node.fields.get(field)?.[0];
  return Array.isArray(value) ? value.slice(1).map(Number) : [];
}

/** The tree as nodes, lists and words. Tokens are those of pg_strtok: a backslash takes what follows as it is. */
function parse(text: string): Value {
  const tokens = text.match(/[(){}]|(?:\\[\s\S]|[^ \n\t\\(){}])+/g) ?? [];
  let at = 0;

  function value(): Value {
    const token = tokens[at++] ?? "";
    if (token === "(") {
      const list: Value[] = [];
      while (at < tokens.length && tokens[at] !== ")") list.push(value());
      at++;
      return list;
    }
    if (token !== "{") return token;
    const node: Node = { label: tokens[at++] ?? "", fields: new Map() };
    let field: Value[] = [];
    while (at < tokens.length && tokens[at] !== "}") {
      const next = tokens[at] as string;
      if (next.startsWith(":")) {
        at++;
        field = [];
        node.fields.set(next.slice(1), field);
      } else {
        field.push(value());
      }
    }
    at++;
    return node;
  }
  return value();
}
