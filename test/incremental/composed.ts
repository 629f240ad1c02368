/** Views composed at random of joins, filters, subqueries, groups, windows, DISTINCT, set operations and themselves. */

/** What can be compared, grouped by and summed: `loose` can only be shown. */
type Kind = "int" | "text" | "num" | "time" | "bool" | "loose";

/** A column as an expression over what stands in FROM, or as a name of a query's result. */
interface Column {
  sql: string;
  name: string;
  kind: Kind;
}

interface Source {
  sql: string;
  columns: Column[];
  /** Expressions that tell its rows apart, NULL counting as a value. */
  key: Column[];
}

interface Block {
  sql: string;
  columns: Column[];
  key: Column[];
}

/** A query with the columns of a unique index over its result. */
export interface ComposedView {
  query: string;
  key: string;
}

const TABLES: Record<string, { columns: Record<string, Kind>; key: string[] }> = {
  orders: {
    columns: {
      id: "int",
      customer: "text",
      status: "text",
      amount: "num",
      created: "time",
      note: "text",
      parent: "int",
    },
    key: ["id"],
  },
  customers: {
    columns: { id: "int", code: "text", name: "text", region: "text", rate: "loose" },
    key: ["id"],
  },
  lines: {
    columns: { order_id: "int", line_no: "int", sku: "text", qty: "int", price: "num" },
    key: ["order_id", "line_no"],
  },
  payments: { columns: { order_id: "int", no: "int", paid: "num", method: "text" }, key: ["order_id", "no"] },
  reviews: { columns: { id: "int", customer: "text", stars: "int" }, key: ["id"] },
  settings: { columns: { k: "text", v: "int", place: "int" }, key: ["k"] },
  events: { columns: { id: "int", at: "time", kind: "text", amount: "int" }, key: ["id", "at"] },
  order_totals: { columns: { order_id: "int", total: "loose", lines: "int" }, key: ["order_id"] },
};

/** Pairs of columns by which a person would join, so that most joins find rows. */
const JOINED = [
  ["customer", "code"],
  ["customer", "customer"],
  ["order_id", "id"],
  ["order_id", "order_id"],
  ["parent", "id"],
  ["region", "k"],
  ["kind", "k"],
  ["id", "id"],
];

const CONSTANTS: Record<Exclude<Kind, "loose">, string[]> = {
  int: ["1", "2", "7"],
  text: ["'k1'", "'done'", "'a'", "'eu'", "'open'"],
  num: ["10.50", "2.25", "99.99"],
  time: ["'2026-01-20 00:00+00'", "'2026-02-10 12:00+00'"],
  bool: ["true", "false"],
};

const INNER = ["JOIN", "JOIN", "JOIN"];
const LEFT = ["LEFT JOIN", "LEFT JOIN", "LEFT JOIN"];

/** The same view for the same number. */
export function compose(seed: number): ComposedView {
  const { sql, key } = new Composer(seed).block(2);
  return { query: sql, key: key.map(({ name }) => name).join(", ") };
}

class Composer {
  private state: number;
  private aliases = 0;

  constructor(seed: number) {
    this.state = seed;
  }

  /** mulberry32. */
  private random(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }

  private chance(probability: number): boolean {
    return this.random() < probability;
  }

  private pick<Item>(items: readonly Item[]): Item {
    return items[Math.floor(this.random() * items.length)] as Item;
  }

  private some<Item>(items: readonly Item[], most: number): Item[] {
    const wanted = 1 + Math.floor(this.random() * most);
    const left = [...items];
    return Array.from(
      { length: Math.min(wanted, left.length) },
      () => left.splice(Math.floor(this.random() * left.length), 1)[0] as Item,
    );
  }

  private alias(): string {
    this.aliases += 1;
    return `t${this.aliases}`;
  }

  block(depth: number): Block {
    const kind = this.random();
    if (kind < 0.1) return this.setOperation();
    const from = this.from(depth);
    const conditions = [
      ...(this.chance(0.5) ? [this.condition(from.columns)] : []),
      ...(this.chance(0.4) ? [this.subqueryCondition(from.columns, 1)] : []),
    ];
    const where = conditions.length > 0 ? ` WHERE ${conditions.join(" AND ")}` : "";
    const rest = `FROM ${from.sql}${where}`;
    if (kind < 0.45) return this.grouped(from, rest);
    if (kind < 0.55) return this.distinct(from, rest);
    return this.plain(from, rest);
  }

  private source(depth: number): Source {
    if (depth > 0 && this.chance(0.3)) {
      const { sql, columns, key } = this.block(depth - 1);
      // Of columns that can only be shown, nothing further is composed.
      if (!columns.some(({ kind }) => kind === "int" || kind === "text")) return this.source(depth);
      const alias = this.alias();
      const outside = (list: Column[]): Column[] =>
        list.map((column) => ({ ...column, sql: `${alias}.${column.name}` }));
      return { sql: `(${sql}) ${alias}`, columns: outside(columns), key: outside(key) };
    }
    return this.table(this.alias());
  }

  private table(alias: string): Source {
    const name = this.pick(Object.keys(TABLES));
    const { columns: kinds = {}, key = [] } = TABLES[name] ?? {};
    const columns = Object.entries(kinds).map(([column, kind]): Column => ({
      sql: `${alias}.${column}`,
      name: column,
      kind,
    }));
    return {
      sql: `shop.${name} ${alias}`,
      columns,
      key: columns.filter((column) => key.includes(column.name)),
    };
  }

  private from(depth: number): Source {
    let from = this.source(depth);
    const joins = Math.floor(this.random() * 3);
    for (let join = 0; join < joins; join += 1) {
      const right = this.chance(0.2) ? this.joined(this.source(0), this.source(0)) : this.source(depth);
      from = this.joined(from, right);
    }
    return from;
  }

  private joined(left: Source, right: Source): Source {
    const columns = [...left.columns, ...right.columns];
    const key = [...left.key, ...right.key];
    const equality = this.equality(left.columns, right.columns);
    const kind = this.pick([...INNER, ...INNER, ...LEFT, ...LEFT, "RIGHT JOIN", "RIGHT JOIN", "FULL JOIN"]);
    if (equality === undefined) return { sql: `(${left.sql} CROSS JOIN ${right.sql})`, columns, key };
    // The server joins fully by equalities alone.
    const more = kind !== "FULL JOIN" && this.chance(0.25) ? ` AND ${this.condition(columns)}` : "";
    return { sql: `(${left.sql} ${kind} ${right.sql} ON ${equality}${more})`, columns, key };
  }

  private equality(left: Column[], right: Column[]): string | undefined {
    const pairs = left.flatMap((one) =>
      right
        .filter(({ kind }) => kind === one.kind && (kind === "int" || kind === "text"))
        .map((other) => [one, other] as const),
    );
    if (pairs.length === 0) return undefined;
    const natural = pairs.filter(([one, other]) =>
      JOINED.some(
        (names) =>
          names.includes(one.name) &&
          names.includes(other.name) &&
          (one.name !== other.name || names[0] === names[1]),
      ),
    );
    const [one, other] = this.pick(natural.length > 0 && this.chance(0.8) ? natural : pairs);
    return `${one.sql} = ${other.sql}`;
  }

  private condition(columns: Column[], depth = 1): string {
    const column = this.pick(columns.filter(({ kind }) => kind !== "loose" && kind !== "bool"));
    const constant = this.constant(column.kind);
    const same = this.pick(columns.filter(({ kind }) => kind === column.kind));
    return this.pick([
      () => `${column.sql} ${this.pick(["=", "<>", "<", ">="])} ${constant}`,
      () => `${column.sql} ${this.pick(["<>", "<", ">="])} ${constant}`,
      () => `${column.sql} IS ${this.pick(["", "NOT "])}NULL`,
      () => `coalesce(${column.sql}, ${constant}) ${this.pick(["=", "<>"])} ${this.constant(column.kind)}`,
      () => `${column.sql} ${this.pick(["=", "<=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"])} ${same.sql}`,
      () => `${column.sql} IN (${constant}, ${this.constant(column.kind)})`,
      ...(depth > 0
        ? [
            () => `(${this.condition(columns, 0)} OR ${this.condition(columns, 0)})`,
            () => `(${this.condition(columns, 0)} AND ${this.condition(columns, 0)})`,
            () => `(NOT (${this.condition(columns, 0)}))`,
            () => `CASE WHEN ${this.condition(columns, 0)} THEN ${this.condition(columns, 0)} ELSE true END`,
          ]
        : []),
    ])();
  }

  private constant(kind: Kind): string {
    const [constant, type] = kind === "loose" ? ["NULL", "text"] : [this.pick(CONSTANTS[kind]), kind];
    return type === "time" ? `timestamptz ${constant}` : constant;
  }

  /** FROM … WHERE of a subquery that is tied to the rows around it, with its columns. */
  private correlated(outer: Column[], depth: number): { sql: string; columns: Column[] } {
    const inner = this.chance(0.25) ? this.joined(this.source(0), this.source(0)) : this.source(0);
    const conditions = [
      this.equality(inner.columns, outer) ?? "true",
      ...(this.chance(0.4) ? [this.condition(inner.columns)] : []),
      ...(depth > 0 && this.chance(0.25)
        ? [this.subqueryCondition(this.chance(0.7) ? inner.columns : outer, depth - 1)]
        : []),
    ];
    return { sql: `FROM ${inner.sql} WHERE ${conditions.join(" AND ")}`, columns: inner.columns };
  }

  private subqueryCondition(outer: Column[], depth: number): string {
    const form = this.random();
    if (form < 0.55)
      return `${this.chance(0.5) ? "NOT " : ""}EXISTS (SELECT ${this.correlated(outer, depth).sql})`;
    if (form < 0.7)
      return `(SELECT count(*) ${this.correlated(outer, depth).sql}) ${this.pick(["=", ">", "<="])} ${this.pick(["0", "1", "2"])}`;
    const column = this.pick(outer.filter(({ kind }) => kind === "int" || kind === "text"));
    const inner = this.source(0);
    const shown = inner.columns.filter(({ kind }) => kind === column.kind);
    if (shown.length === 0) return `EXISTS (SELECT ${this.correlated(outer, depth).sql})`;
    const where = this.chance(0.5) ? ` WHERE ${this.condition(inner.columns)}` : "";
    return `${column.sql} ${form < 0.92 ? "" : "NOT "}IN (SELECT ${this.pick(shown).sql} FROM ${inner.sql}${where})`;
  }

  /** Names the expressions of a select list. */
  private targets(expressions: { sql: string; kind: Kind; name?: string }[]): {
    list: string;
    columns: Column[];
  } {
    const columns = expressions.map(({ kind, name = "c" }, index): Column => ({
      sql: "",
      kind,
      name: `${name}_${index + 1}`.replace(/(_\d+)+$/, `_${index + 1}`),
    }));
    return {
      list: expressions.map(({ sql }, index) => `${sql} AS ${columns[index]?.name}`).join(", "),
      columns: columns.map((column) => ({ ...column, sql: column.name, name: column.name })),
    };
  }

  private plain(from: Source, rest: string): Block {
    // Windows over different columns leave no column by which to recompute: one for all of them.
    const by = this.pick(from.columns.filter(({ kind }) => kind === "text" || kind === "int"));
    const shown = Array.from({ length: 1 + Math.floor(this.random() * 3) }, () => this.expression(from, by));
    const { list, columns } = this.targets([...from.key, by, ...shown]);
    return { sql: `SELECT ${list} ${rest}`, columns, key: columns.slice(0, from.key.length) };
  }

  private expression({ columns, key }: Source, by: Column): { sql: string; kind: Kind; name?: string } {
    const column = this.pick(columns);
    const summed = columns.filter(({ kind }) => kind === "int" || kind === "num");
    const order = key.map(({ sql }) => sql).join(", ");
    return this.pick([
      () => column,
      () => column,
      () => ({
        sql: `CASE WHEN ${this.condition(columns)} THEN ${column.sql} END`,
        kind: column.kind,
        name: column.name,
      }),
      () => ({ sql: `coalesce(${by.sql}, ${this.constant(by.kind)})`, kind: by.kind, name: by.name }),
      () => ({ sql: `(SELECT count(*) ${this.correlated(columns, 0).sql})`, kind: "int" as const }),
      () => ({ sql: `${this.subqueryCondition(columns, 0)}`, kind: "bool" as const }),
      () => ({ sql: `row_number() OVER (PARTITION BY ${by.sql} ORDER BY ${order})`, kind: "int" as const }),
      () => ({ sql: `count(*) OVER (PARTITION BY ${by.sql})`, kind: "int" as const }),
      ...(summed.length > 0
        ? [
            () => ({
              sql: `sum(${this.pick(summed).sql}) OVER (PARTITION BY ${by.sql})`,
              kind: "loose" as const,
            }),
          ]
        : []),
    ])();
  }

  private grouped(from: Source, rest: string): Block {
    const { columns } = from;
    const groups = this.some(
      columns.filter(({ kind }) => kind === "int" || kind === "text" || kind === "time"),
      2,
    ).map((column) => {
      if (column.kind === "time" && this.chance(0.7)) return { ...column, sql: `(${column.sql})::date` };
      if (this.chance(0.1)) return { sql: this.condition(columns), kind: "bool" as const, name: "is" };
      if (this.chance(0.15))
        return { ...column, sql: `CASE WHEN ${this.condition(columns)} THEN ${column.sql} END` };
      return column;
    });
    const aggregates = Array.from({ length: 1 + Math.floor(this.random() * 4) }, () =>
      this.aggregate(columns),
    );
    const { list, columns: shown } = this.targets([...groups, ...aggregates]);
    const having = this.chance(0.25)
      ? ` HAVING ${this.pick(["count(*) > 1", `max(${this.pick(columns.filter(({ kind }) => kind === "int" || kind === "text")).sql}) IS NOT NULL`])}`
      : "";
    const by = groups.map((_, index) => index + 1).join(", ");
    return {
      sql: `SELECT ${list} ${rest} GROUP BY ${by}${having}`,
      columns: shown,
      key: shown.slice(0, groups.length),
    };
  }

  private aggregate(columns: Column[]): { sql: string; kind: Kind } {
    const ordered = this.pick(columns.filter(({ kind }) => kind !== "loose" && kind !== "bool"));
    const summed = columns.filter(({ kind }) => kind === "int" || kind === "num");
    const texts = columns.filter(({ kind }) => kind === "text");
    const filter = this.chance(0.25) ? ` FILTER (WHERE ${this.condition(columns)})` : "";
    const aggregate = this.pick([
      () => ({ sql: "count(*)", kind: "int" as const }),
      () => ({ sql: `count(${ordered.sql})`, kind: "int" as const }),
      () => ({ sql: `count(${this.condition(columns)})`, kind: "int" as const }),
      () => ({ sql: `count(DISTINCT ${ordered.sql})`, kind: "int" as const }),
      () => ({ sql: `max(${ordered.sql})`, kind: ordered.kind }),
      () => ({ sql: `min(${ordered.sql})`, kind: ordered.kind }),
      () => ({ sql: `bool_or(${this.condition(columns)})`, kind: "bool" as const }),
      () => ({ sql: `bool_and(${this.condition(columns)})`, kind: "bool" as const }),
      ...(summed.length > 0
        ? [
            () => ({ sql: `sum(${this.pick(summed).sql})`, kind: "loose" as const }),
            () => ({ sql: `avg(${this.pick(summed).sql})`, kind: "loose" as const }),
          ]
        : []),
      ...(texts.length > 0
        ? [
            () => {
              const { sql } = this.pick(texts);
              return { sql: `string_agg(DISTINCT ${sql}, ',' ORDER BY ${sql})`, kind: "text" as const };
            },
          ]
        : []),
    ])();
    return { ...aggregate, sql: `${aggregate.sql}${filter}` };
  }

  private distinct({ columns, key }: Source, rest: string): Block {
    const comparable = columns.filter(({ kind }) => kind !== "loose" && kind !== "bool");
    if (this.chance(0.5)) {
      const { list, columns: shown } = this.targets(this.some(comparable, 2));
      return { sql: `SELECT DISTINCT ${list} ${rest}`, columns: shown, key: shown };
    }
    const by = this.pick(comparable);
    const { list, columns: shown } = this.targets([by, ...key]);
    const order = [by, ...key].map(({ sql }) => sql).join(", ");
    return {
      sql: `SELECT DISTINCT ON (${by.sql}) ${list} ${rest} ORDER BY ${order}`,
      columns: shown,
      key: shown.slice(0, 1),
    };
  }

  private setOperation(): Block {
    const kind = this.pick(["int", "text"] as const);
    const branch = (): Column & { rest: string } => {
      for (;;) {
        const from = this.from(0);
        const column = from.columns.find((each) => each.kind === kind);
        if (column !== undefined)
          return {
            ...column,
            rest: `FROM ${from.sql}${this.chance(0.5) ? ` WHERE ${this.condition(from.columns)}` : ""}`,
          };
      }
    };
    const [one, other] = [branch(), branch()];
    const operation = this.pick(["UNION", "EXCEPT", "INTERSECT"]);
    const columns = [{ sql: `${one.name}_1`, name: `${one.name}_1`, kind }];
    return {
      sql: `SELECT ${one.sql} AS ${one.name}_1 ${one.rest} ${operation} SELECT ${other.sql} ${other.rest}`,
      columns,
      key: columns,
    };
  }
}
