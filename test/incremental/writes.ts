/** Transactions of every kind of write, as fast-check draws them. */
import fc from "fast-check";

/** SQL, or rows for COPY. */
export type Write = string | { copy: string; rows: string };

/** What one writer does from BEGIN to its end. */
export interface Transaction {
  writes: { write: Write; then: "goes on" | "undone" }[];
  /** Each write in a savepoint of its own, so that one that fails does not end the others. */
  isGuarded: boolean;
  /** The writer's own zone, which must not matter. */
  zone: string;
  end: "commit" | "rollback" | "prepare";
}

type Text = fc.Arbitrary<string>;

/** SQL from a template whose holes are drawn: the SQL of each is its own dimension for shrinking. */
const sql = (texts: TemplateStringsArray, ...holes: Text[]): Text =>
  fc
    .tuple(...holes)
    .map((values) => texts.reduce((all, text, index) => all + (values[index - 1] ?? "") + text));

const oneOf = (...texts: string[]): Text => fc.constantFrom(...texts);
const either = (...arbitraries: Text[]): Text => fc.oneof(...arbitraries);
const upTo = (most: number): Text => fc.nat(most - 1).map(String);
const always = (text: string): Text => fc.constant(text);

const order = upTo(25);
const code = oneOf("'k1'", "'k2'", "'k3'", "'k4'", "'k5'", "'k9'", "NULL");
const ownCode = oneOf("'k1'", "'k2'", "'k3'", "'k4'", "'k5'", "'k6'");
const status = oneOf("'new'", "'done'", "'open'");
const amount = either(oneOf("NULL", "1.00", "10.50", "99.99", "'NaN'", "500.00"), sql`${upTo(900)}.25`);
const when = sql`timestamptz '2026-01-01 00:00+00' + interval '${upTo(2000)} hours'`;
const note = oneOf("NULL", "'x'", "'yy'");
const parent = either(always("NULL"), order);
const region = oneOf("'eu'", "'us'", "'a'", "NULL");
const name = oneOf("'ann'", "'bob'", "NULL");
const rate = oneOf("1", "1.0", "1.00", "2.50", "NULL");
const sku = oneOf("'a'", "'b'", "'c'");
const key = oneOf("'a'", "'b'", "'eu'", "'us'");
const kind = oneOf("'a'", "'b'", "NULL");
const paid = oneOf("NULL", "0", "5.00", "7.25", "100.00");
const method = oneOf("'card'", "'cash'", "NULL");
const day = sql`date '2026-01-20' + ${upTo(25)}`;

const someOrders = either(
  sql`id = ${order}`,
  sql`id % 3 = ${upTo(3)}`,
  sql`customer = ${code}`,
  sql`status = ${status} AND id % 2 = 0`,
  sql`id IN (SELECT order_id FROM lines WHERE sku = ${sku})`,
);

const statement: Text = either(
  // Rows, one and many.
  sql`INSERT INTO orders SELECT i, ${code}, ${status}, ${amount}, ${when}, ${note}, ${parent} FROM generate_series(${order}, ${order}) i ON CONFLICT DO NOTHING`,
  sql`INSERT INTO orders VALUES (${order}, ${code}, ${status}, ${amount}, ${when}, ${note}, ${parent})`,
  sql`INSERT INTO orders VALUES (${order}, ${code}, ${status}, ${amount}, ${when}, NULL, ${order}) ON CONFLICT (id) DO UPDATE SET status = excluded.status, amount = excluded.amount, customer = excluded.customer`,
  sql`UPDATE orders SET status = ${status} WHERE ${someOrders}`,
  sql`UPDATE orders SET customer = ${code} WHERE ${someOrders}`,
  sql`UPDATE orders SET amount = ${amount} WHERE ${someOrders}`,
  sql`UPDATE orders SET amount = amount + 1, created = ${when} WHERE ${someOrders}`,
  sql`UPDATE orders SET note = ${note}, parent = ${parent} WHERE ${someOrders}`,
  sql`UPDATE orders SET status = status WHERE ${someOrders}`,
  // Keys, which the payments and tags of an order follow.
  sql`UPDATE orders SET id = id + 100 WHERE id = ${order}`,
  sql`UPDATE orders SET id = id - 100 WHERE id >= 100 AND NOT EXISTS (SELECT FROM orders o WHERE o.id = orders.id - 100)`,
  sql`DELETE FROM orders WHERE id = ${order}`,
  sql`DELETE FROM orders WHERE id % 7 = ${upTo(7)}`,
  sql`DELETE FROM orders USING lines WHERE lines.order_id = orders.id AND lines.sku = ${sku} AND lines.qty > ${upTo(9)}`,
  sql`MERGE INTO orders o USING (SELECT i AS id FROM generate_series(${order}, ${order}) i) s ON o.id = s.id
      WHEN MATCHED AND o.status = 'new' THEN DELETE WHEN MATCHED THEN UPDATE SET amount = ${amount}, customer = ${code}
      WHEN NOT MATCHED THEN INSERT VALUES (s.id, ${code}, ${status}, 1, ${when}, NULL, NULL)`,
  // Greater and less than all others, and gone again before the next fold.
  sql`INSERT INTO orders VALUES (70, ${code}, 'new', 990.00, timestamptz '2027-06-01 00:00+00', NULL, 99); DELETE FROM orders WHERE id = 70`,
  sql`INSERT INTO orders VALUES (71, ${code}, 'new', -5.00, timestamptz '2025-06-01 00:00+00', NULL, -1); DELETE FROM orders WHERE id = 71`,
  // A transfer between keys.
  sql`UPDATE orders SET amount = amount + CASE id WHEN ${order} THEN 5 ELSE -5 END WHERE id IN (${order}, ${order})`,
  sql`WITH gone AS (DELETE FROM orders WHERE id = ${order} RETURNING *) INSERT INTO orders SELECT id + 50, customer, status, amount, created, note, parent FROM gone`,
  sql`INSERT INTO customers VALUES (${upTo(8)}, ${ownCode}, ${name}, ${region}, ${rate}) ON CONFLICT DO NOTHING`,
  sql`UPDATE customers SET name = ${name} WHERE id = ${upTo(8)}`,
  sql`UPDATE customers SET region = ${region} WHERE id % 2 = ${upTo(2)}`,
  sql`UPDATE customers SET rate = ${rate} WHERE id = ${upTo(8)}`,
  sql`UPDATE customers SET code = ${ownCode} WHERE id = ${upTo(8)}`,
  sql`DELETE FROM customers WHERE id = ${upTo(8)}`,
  sql`INSERT INTO lines SELECT ${order}, i, ${sku}, ${oneOf("NULL", "1", "7")}, ${oneOf("NULL", "1.25", "3.00")} FROM generate_series(1, ${upTo(5)}) i ON CONFLICT DO NOTHING`,
  sql`INSERT INTO lines VALUES (${order}, 1, ${sku}, 2, 2), (${order}, 2, ${sku}, 9, 3.25) ON CONFLICT (order_id, line_no) DO UPDATE SET qty = lines.qty + 1`,
  sql`UPDATE lines SET sku = ${sku} WHERE order_id = ${order}`,
  sql`UPDATE lines SET qty = ${oneOf("NULL", "2", "9")}, price = price + 0.25 WHERE order_id % 4 = ${upTo(4)}`,
  sql`UPDATE lines SET order_id = ${order} WHERE order_id = ${order} AND line_no = ${upTo(4)}`,
  sql`DELETE FROM lines WHERE order_id % 5 = ${upTo(5)} AND line_no = ${upTo(4)}`,
  sql`INSERT INTO payments SELECT id, ${upTo(3)}, ${paid}, ${method} FROM orders WHERE ${someOrders} ON CONFLICT DO NOTHING`,
  sql`UPDATE payments SET paid = ${paid}, method = ${method} WHERE order_id % 3 = ${upTo(3)}`,
  sql`DELETE FROM payments WHERE order_id % 6 = ${upTo(6)}`,
  sql`INSERT INTO reviews VALUES (${upTo(15)}, ${ownCode}, ${upTo(6)}) ON CONFLICT (id) DO UPDATE SET stars = excluded.stars, customer = excluded.customer`,
  sql`DELETE FROM reviews WHERE id % 4 = ${upTo(4)}`,
  sql`INSERT INTO tags SELECT id, ${oneOf("'t'", "'u'")} FROM orders WHERE ${someOrders} UNION ALL SELECT NULL, 'v'`,
  sql`UPDATE tags SET tag = ${oneOf("'t'", "'w'")} WHERE order_id = ${order}`,
  sql`DELETE FROM tags WHERE order_id = ${order} OR order_id IS NULL`,
  sql`INSERT INTO settings VALUES (${key}, ${upTo(9)}, NULL) ON CONFLICT (k) DO UPDATE SET v = excluded.v`,
  sql`DELETE FROM settings WHERE k = ${key}`,
  sql`UPDATE settings SET place = NULL WHERE k = ${key}; UPDATE settings SET place = ${upTo(4)} WHERE k = ${key}`,
  sql`UPDATE settings a SET place = -a.place WHERE a.place > 0; UPDATE settings SET place = 4 + place WHERE place < 0`,
  sql`INSERT INTO events SELECT i, ${day}, ${kind}, ${upTo(50)} FROM generate_series(${order}, ${order}) i ON CONFLICT DO NOTHING`,
  sql`UPDATE events SET at = at + ${upTo(20)} - 10 WHERE id = ${order}`,
  sql`UPDATE events SET kind = ${kind}, amount = amount + 1 WHERE id % 5 = ${upTo(5)}`,
  // Partitions of both levels, written directly.
  sql`DELETE FROM events_1 WHERE id % 3 = ${upTo(3)}`,
  sql`UPDATE events_1a SET amount = ${upTo(50)} WHERE id % 3 = ${upTo(3)}`,
  sql`INSERT INTO events_2 VALUES (${order}, '2026-03-01', ${kind}, 1) ON CONFLICT DO NOTHING`,
);

const copy: fc.Arbitrary<Write> = either(
  sql`${order}	${oneOf("k1", "k5", "\\N")}	${oneOf("done", "open")}	${oneOf("3.50", "\\N", "NaN")}	2026-02-1${upTo(9)} 12:00+00	\\N	${upTo(9)}`,
).map((line) => ({
  copy: "COPY orders FROM STDIN",
  rows: `${line}\n${line.replace(/^(\d+)/, (id) => String(Number(id) + 1))}\n`,
}));

const truncation: Text = oneOf(
  ...[
    "TRUNCATE lines",
    "TRUNCATE settings, tags",
    "TRUNCATE events_1",
    "TRUNCATE orders CASCADE",
    "TRUNCATE customers CASCADE",
  ],
);

const write: fc.Arbitrary<Write> = fc.oneof(
  { weight: 60, arbitrary: statement },
  { weight: 4, arbitrary: copy },
  { weight: 1, arbitrary: truncation },
);

export const transaction: fc.Arbitrary<Transaction> = fc.record({
  writes: fc.array(
    fc.record({
      write,
      then: fc.oneof(
        { weight: 9, arbitrary: fc.constant("goes on" as const) },
        { weight: 1, arbitrary: fc.constant("undone" as const) },
      ),
    }),
    { minLength: 1, maxLength: 4 },
  ),
  isGuarded: fc.boolean(),
  zone: fc.constantFrom("UTC", "America/New_York", "Asia/Tokyo"),
  end: fc.oneof(
    { weight: 8, arbitrary: fc.constant("commit" as const) },
    { weight: 1, arbitrary: fc.constant("rollback" as const) },
    { weight: 1, arbitrary: fc.constant("prepare" as const) },
  ),
});

export const isTruncation = ({ write: each }: { write: Write }): boolean =>
  typeof each === "string" && each.startsWith("TRUNCATE");
