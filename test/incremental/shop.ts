/** A small shop, with every way in which one table's rows change another's, and views of all supported shapes. */

/** The zone in which the fold's days begin; writers have others. */
export const ZONE = "Europe/Vienna";

export const SCHEMA = `
CREATE SCHEMA shop;
SET search_path = shop, public;
CREATE TABLE customers (id int PRIMARY KEY, code text NOT NULL UNIQUE, name text, region text, rate numeric);
CREATE TABLE orders (id int PRIMARY KEY, customer text, status text NOT NULL, amount numeric(10, 2),
  created timestamptz NOT NULL, note text, parent int);
CREATE TABLE lines (order_id int NOT NULL, line_no int NOT NULL, sku text NOT NULL, qty int, price numeric(8, 2),
  PRIMARY KEY (order_id, line_no));
CREATE TABLE payments (order_id int NOT NULL REFERENCES orders ON DELETE CASCADE ON UPDATE CASCADE, no int NOT NULL,
  paid numeric(10, 2), method text, PRIMARY KEY (order_id, no));
CREATE TABLE reviews (id int PRIMARY KEY, customer text REFERENCES customers (code) ON DELETE SET NULL ON UPDATE CASCADE, stars int);
CREATE TABLE tags (order_id int REFERENCES orders ON DELETE SET NULL ON UPDATE CASCADE, tag text);
CREATE TABLE settings (k text PRIMARY KEY, v int, place int UNIQUE);
CREATE TABLE events (id int NOT NULL, at date NOT NULL, kind text, amount int, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01') PARTITION BY HASH (id);
CREATE TABLE events_1a PARTITION OF events_1 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE events_1b PARTITION OF events_1 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE events_2 PARTITION OF events DEFAULT;
CREATE INDEX ON orders (customer); CREATE INDEX ON lines (sku); CREATE INDEX ON tags (order_id);
CREATE VIEW order_totals AS SELECT order_id, sum(qty * price) AS total, count(*) AS lines FROM lines GROUP BY order_id;
CREATE VIEW paid_orders AS SELECT o.id, o.customer, p.paid FROM orders o JOIN payments p ON p.order_id = o.id WHERE p.paid > 0;

-- The user's own triggers write further rows, some of them into the table that they belong to.
CREATE FUNCTION pays() RETURNS trigger LANGUAGE plpgsql SET search_path = shop AS $$
BEGIN
  INSERT INTO payments VALUES (NEW.id, 0, NEW.amount, 'trigger') ON CONFLICT DO NOTHING;
  RETURN NULL;
END $$;
CREATE TRIGGER pays AFTER INSERT ON orders FOR EACH ROW WHEN (NEW.status = 'done') EXECUTE FUNCTION pays();
CREATE FUNCTION writes_again() RETURNS trigger LANGUAGE plpgsql SET search_path = shop AS $$
BEGIN
  UPDATE orders SET note = 'auto', amount = amount + 1 WHERE id = NEW.id;
  UPDATE customers SET name = 'busy' WHERE code = NEW.customer AND region = 'us';
  RETURN NULL;
END $$;
CREATE TRIGGER writes_again AFTER INSERT OR UPDATE OF status ON orders FOR EACH ROW
  WHEN (NEW.status = 'open' AND NEW.note IS NULL) EXECUTE FUNCTION writes_again();
CREATE FUNCTION rounds() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.price := round(NEW.price, 1); RETURN NEW; END $$;
CREATE TRIGGER rounds BEFORE INSERT OR UPDATE ON lines FOR EACH ROW WHEN (NEW.qty > 5) EXECUTE FUNCTION rounds();
`;

export const TABLES = ["customers", "orders", "lines", "payments", "reviews", "tags", "settings", "events"];

/** Rows to begin with, the same every time. Put into empty tables. */
export const ROWS = `
INSERT INTO customers SELECT i, 'k' || i, CASE WHEN i % 3 > 0 THEN 'name ' || i END, (ARRAY['eu', 'us', NULL])[i % 3 + 1], i + 0.50
  FROM generate_series(1, 4) i;
INSERT INTO orders SELECT i, (ARRAY['k1', 'k2', 'k3', 'k9', NULL])[i % 5 + 1], (ARRAY['new', 'done', 'open'])[i % 3 + 1],
  CASE WHEN i % 6 > 0 THEN i * 1.25 END, timestamptz '2026-01-01 00:00+00' + i * interval '7 hours',
  CASE WHEN i % 2 = 0 THEN 'x' END, CASE WHEN i % 4 > 0 THEN i / 2 END FROM generate_series(1, 16) i;
INSERT INTO lines SELECT i / 3 + 1, i % 3, (ARRAY['a', 'b', 'c'])[i % 4 % 3 + 1], CASE WHEN i % 5 > 0 THEN i % 9 END, i % 7 + 0.25
  FROM generate_series(0, 30) i;
INSERT INTO payments SELECT i, 1, i, (ARRAY['card', 'cash', NULL])[i % 3 + 1] FROM generate_series(1, 16, 2) i;
INSERT INTO reviews SELECT i, 'k' || (i % 4 + 1), i % 5 + 1 FROM generate_series(1, 9) i;
INSERT INTO tags SELECT i % 16 + 1, (ARRAY['t', 'u'])[i % 2 + 1] FROM generate_series(1, 20) i;
INSERT INTO settings VALUES ('a', 1, 1), ('eu', 2, 2), ('us', 3, 3);
INSERT INTO events SELECT i, date '2026-01-15' + i, (ARRAY['a', 'b', NULL])[i % 3 + 1], i FROM generate_series(1, 30) i;
`;

/** A view of the catalogue. */
export interface CatalogueView {
  name: string;
  query: string;
  /** Columns of its unique indexes. */
  keys: string[];
  /** Whether a change of one of its tables concerns every row, so that folds of it may well be full runs. */
  isOftenFull?: boolean;
}

const view = (
  name: string,
  keys: string | string[],
  query: string,
  more: Partial<CatalogueView> = {},
): CatalogueView => ({
  name,
  query,
  keys: [keys].flat(),
  ...more,
});

export const CATALOGUE: CatalogueView[] = [
  // Grouped over one table: additive leaves.
  view(
    "agg",
    "customer",
    `SELECT customer, count(*) AS n, sum(amount) AS total, avg(amount) AS mean, min(created) AS first,
    max(created) AS last, bool_and(status = 'done') AS alldone, bool_or(status = 'done') AS anydone, count(note) AS notes,
    count(*) FILTER (WHERE status = 'new') AS fresh, sum(amount) FILTER (WHERE status = 'done') AS done FROM shop.orders GROUP BY customer`,
  ),
  view(
    "two_keys",
    "customer, status",
    `SELECT customer, status, sum(parent) AS s, avg(parent) AS a, max(id) AS m
    FROM shop.orders WHERE amount > 10 GROUP BY customer, status HAVING count(*) > 1`,
  ),
  view(
    "sales_by_day",
    "day",
    `SELECT date_trunc('day', created) AS day, count(*) AS n, sum(amount) AS total, max(amount) AS biggest,
    min(amount) FILTER (WHERE note IS NULL) AS least FROM shop.orders GROUP BY 1`,
  ),
  view(
    "dated",
    "day, customer",
    `SELECT created::date AS day, customer, count(*) AS n FROM shop.orders GROUP BY 1, 2`,
  ),
  view(
    "casewhen",
    "state",
    `SELECT CASE WHEN status = 'done' THEN 'closed' ELSE 'open' END AS state, count(*) AS n,
    max(length(note)) AS longest FROM shop.orders GROUP BY 1`,
  ),
  view(
    "booleans",
    "customer",
    `SELECT customer, bool_or(status = 'done' AND amount > 20) AS both, bool_and(amount > 5 OR note = 'x') AS either,
    bool_and(NOT (amount > 20)) AS small, bool_or(note IS DISTINCT FROM 'x') AS other, count(amount > 5 AND note = 'x') AS known,
    count(NOT (note = 'x')) AS noted, bool_or(note IS NULL) AS bare FROM shop.orders GROUP BY customer`,
  ),
  view(
    "by_boolean",
    "noted",
    `SELECT o.note = 'x' OR o.amount > 10 AS noted, count(DISTINCT o.status) AS kinds, count(*) AS n
    FROM shop.orders o GROUP BY 1`,
  ),
  view(
    "by_comparison",
    "noted",
    `SELECT o.amount > 10 AS noted, string_agg(DISTINCT o.status, ',' ORDER BY o.status) AS kinds
    FROM shop.orders o GROUP BY 1`,
  ),
  view(
    "extremes",
    "method",
    `SELECT method, max(paid) AS most, min(paid) AS least, min(no) AS no, bool_or(paid IS NULL) AS unknown
    FROM shop.payments GROUP BY method`,
  ),
  view(
    "stars",
    "customer",
    `SELECT customer, avg(stars) AS mean, count(DISTINCT stars) AS kinds FROM shop.reviews GROUP BY customer`,
  ),
  view(
    "parts",
    "kind",
    `SELECT kind, count(*) AS n, sum(amount) AS s, max(at) AS last FROM shop.events GROUP BY kind`,
  ),
  view(
    "parts_joined",
    "id, at",
    `SELECT e.id, e.at, e.amount, s.v FROM shop.events e LEFT JOIN shop.settings s ON s.k = e.kind`,
  ),
  // Rows of one table, and joins.
  view(
    "filter",
    "id",
    `SELECT id, customer, amount * 2 AS twice FROM shop.orders WHERE status <> 'new' AND amount IS NOT NULL`,
  ),
  view("swapped", ["k", "place"], `SELECT k, place, v FROM shop.settings WHERE v IS NOT NULL`),
  view(
    "loose",
    "id",
    `SELECT id, rate, rate * 1.0 AS more, ARRAY[rate] AS list, json_build_object('rate', rate) AS doc FROM shop.customers`,
  ),
  view(
    "joined",
    "id",
    `SELECT o.id, o.amount, c.name, c.region FROM shop.orders o JOIN shop.customers c ON c.code = o.customer`,
  ),
  view(
    "three",
    "order_id, line_no",
    `SELECT l.order_id, l.line_no, l.sku, o.status, c.name FROM shop.lines l
    JOIN shop.orders o ON o.id = l.order_id LEFT JOIN shop.customers c ON c.code = o.customer`,
  ),
  view(
    "two_nullable",
    "id",
    `SELECT o.id, c.name, s.v, r.stars FROM shop.orders o LEFT JOIN shop.customers c ON c.code = o.customer
    LEFT JOIN shop.settings s ON s.k = c.region LEFT JOIN shop.reviews r ON r.id = o.parent`,
  ),
  view(
    "nested_outer",
    "id, line_no",
    `SELECT o.id, l.line_no, p.paid FROM shop.orders o LEFT JOIN
    (shop.lines l JOIN shop.payments p ON p.order_id = l.order_id AND p.no = 1) ON l.order_id = o.id`,
  ),
  view(
    "right_join",
    "id",
    `SELECT c.id, o.n FROM (SELECT customer, count(*) AS n FROM shop.orders GROUP BY customer) o
    RIGHT JOIN shop.customers c USING (customer)`.replace("USING (customer)", "ON c.code = o.customer"),
  ),
  view(
    "selfjoin",
    "id",
    `SELECT o.id, p.status AS parent_status, p.amount FROM shop.orders o LEFT JOIN shop.orders p ON p.id = o.parent`,
  ),
  view(
    "full",
    "code",
    `SELECT coalesce(a.customer, b.code) AS code, a.n, b.name FROM
    (SELECT customer, count(*) AS n FROM shop.orders GROUP BY customer) a FULL JOIN shop.customers b ON a.customer = b.code`,
  ),
  view(
    "unmatched",
    "id",
    `SELECT o.id, o.customer FROM shop.orders o LEFT JOIN shop.customers c ON c.code = o.customer WHERE c.id IS NULL`,
  ),
  view("cross", "id", `SELECT c.id, s.v FROM shop.customers c CROSS JOIN shop.settings s WHERE s.k = 'a'`, {
    isOftenFull: true,
  }),
  // A table, and a leaf, that is joined to the branches of a set operation.
  view(
    "union_joined",
    "kind, id",
    `SELECT u.kind, u.id, s.v FROM (SELECT 'o' AS kind, id, status AS k FROM shop.orders
    UNION ALL SELECT 'c', id, region FROM shop.customers) u LEFT JOIN shop.settings s ON s.k = u.k`,
  ),
  view(
    "union_of_leaves",
    "code",
    `SELECT u.code, u.n, c.name FROM (SELECT customer AS code, count(*) AS n FROM shop.orders GROUP BY customer
    UNION ALL SELECT 'sku ' || sku, count(*) FROM shop.lines GROUP BY sku) u LEFT JOIN shop.customers c ON c.code = u.code`,
  ),
  view(
    "null_if",
    "parent",
    `SELECT nullif(parent, 0) AS parent, count(*) AS n, max(id) AS last FROM shop.orders GROUP BY 1`,
  ),
  // A leaf whose state nothing ties to the key.
  view(
    "cross_leaf",
    "id, status",
    `SELECT c.id, t.status, t.n FROM shop.customers c
    CROSS JOIN (SELECT status, count(*) AS n FROM shop.orders GROUP BY status) t`,
    { isOftenFull: true },
  ),
  view(
    "via_views",
    "id, paid_id",
    `SELECT o.id, o.customer, t.total, t.lines, p.id AS paid_id, p.paid FROM shop.orders o
    JOIN shop.order_totals t ON t.order_id = o.id JOIN (SELECT id, max(paid) AS paid FROM shop.paid_orders GROUP BY id) p ON p.id = o.id`,
  ),
  // Subqueries.
  view(
    "anti",
    "id",
    `SELECT o.id, o.status, c.name FROM shop.orders o LEFT JOIN shop.customers c ON c.code = o.customer AND c.region = 'eu'
    WHERE NOT EXISTS (SELECT FROM shop.lines l WHERE l.order_id = o.id AND l.qty > 5)`,
  ),
  view(
    "semi",
    "id",
    `SELECT c.id, c.name FROM shop.customers c WHERE c.code IN (SELECT o.customer FROM shop.orders o WHERE o.status = 'done')
    OR EXISTS (SELECT FROM shop.orders o JOIN shop.lines l ON l.order_id = o.id WHERE o.customer = c.code AND l.sku = 'a')`,
    { isOftenFull: true },
  ),
  view(
    "member",
    "id",
    `SELECT c.id, c.name FROM shop.customers c WHERE c.code IN (SELECT o.customer FROM shop.orders o WHERE o.status = 'done')`,
  ),
  view(
    "not_in",
    "id",
    `SELECT c.id, c.name FROM shop.customers c WHERE c.region NOT IN (SELECT s.k FROM shop.settings s)`,
    { isOftenFull: true },
  ),
  view(
    "scalar",
    "id",
    `SELECT c.id, (SELECT max(o.amount) FROM shop.orders o WHERE o.customer = c.code) AS biggest,
    (SELECT count(*) FROM shop.tags t JOIN shop.orders o ON o.id = t.order_id WHERE o.customer = c.code) AS tags FROM shop.customers c`,
  ),
  view(
    "lateral_join",
    "id",
    `SELECT o.id, x.total FROM shop.orders o CROSS JOIN LATERAL
    (SELECT sum(l.qty) AS total FROM shop.lines l WHERE l.order_id = o.id) x`,
  ),
  view(
    "with_query",
    "id",
    `WITH t AS (SELECT order_id, count(*) AS n FROM shop.tags GROUP BY order_id)
    SELECT o.id, t.n FROM shop.orders o LEFT JOIN t ON t.order_id = o.id WHERE o.amount BETWEEN 5 AND 500`,
  ),
  // Groups of joins, windows, DISTINCT, set operations.
  view(
    "progress",
    "id",
    `SELECT c.id, c.name, coalesce(o.n, 0) AS n, o.last, o.total FROM shop.customers c LEFT JOIN
    (SELECT customer, count(*) AS n, max(created) AS last, sum(amount) AS total FROM shop.orders GROUP BY customer) o ON o.customer = c.code`,
  ),
  view(
    "two_leaves",
    "code",
    `SELECT c.code, o.n, t.m FROM shop.customers c LEFT JOIN (SELECT customer, count(*) n FROM shop.orders GROUP BY 1) o
    ON o.customer = c.code LEFT JOIN (SELECT parent, count(*) m FROM shop.orders GROUP BY 1) t ON t.parent = c.id`,
  ),
  view(
    "count_distinct",
    "customer",
    `SELECT o.customer, count(DISTINCT l.sku) AS skus, string_agg(DISTINCT l.sku, ',' ORDER BY l.sku) AS list
    FROM shop.orders o JOIN shop.lines l ON l.order_id = o.id GROUP BY o.customer HAVING count(*) > 1`,
  ),
  view(
    "ordered_list",
    "customer",
    `SELECT o.customer, string_agg(o.status, ',' ORDER BY o.created, o.id) AS list,
    array_agg(o.amount ORDER BY o.id) AS amounts FROM shop.orders o GROUP BY o.customer`,
  ),
  view(
    "left_group",
    "id",
    `SELECT c.id, count(l.sku) AS n, sum(l.qty) AS qty FROM shop.customers c LEFT JOIN shop.orders o ON o.customer = c.code
    LEFT JOIN shop.lines l ON l.order_id = o.id GROUP BY c.id`,
  ),
  view(
    "grouped_join",
    "order_id, sku, status",
    `SELECT l.order_id, l.sku, sum(l.qty) AS qty, o.status FROM shop.lines l
    JOIN shop.orders o ON o.id = l.order_id GROUP BY l.order_id, l.sku, o.status`,
  ),
  view(
    "nested",
    "id",
    `SELECT o.id, o.customer, c.total FROM shop.orders o JOIN
    (SELECT customer, sum(amount) AS total FROM shop.orders GROUP BY customer) c ON c.customer = o.customer`,
  ),
  view(
    "chain",
    "orders",
    `SELECT t.n AS orders, count(*) AS customers, max(t.last) AS last FROM
    (SELECT customer, count(*) AS n, max(created) AS last FROM shop.orders GROUP BY customer) t GROUP BY t.n`,
  ),
  view(
    "ranked",
    "id",
    `SELECT o.id, o.customer, row_number() OVER (PARTITION BY o.customer ORDER BY o.created, o.id) AS rn,
    sum(o.amount) OVER (PARTITION BY o.customer) AS sum, lag(o.id) OVER (PARTITION BY o.customer ORDER BY o.id) AS before FROM shop.orders o`,
  ),
  view(
    "latest",
    "customer",
    `SELECT DISTINCT ON (o.customer) o.customer, o.id, o.amount FROM shop.orders o ORDER BY o.customer, o.created DESC, o.id`,
  ),
  view(
    "distinct_pairs",
    "customer, sku",
    `SELECT DISTINCT o.customer, l.sku FROM shop.orders o JOIN shop.lines l ON l.order_id = o.id`,
  ),
  view(
    "union_all",
    "kind, id",
    `SELECT 'o' AS kind, id, status AS what FROM shop.orders UNION ALL SELECT 'c', id, name FROM shop.customers`,
  ),
  view("union_of", "code", `SELECT customer AS code FROM shop.orders UNION SELECT code FROM shop.customers`),
  view(
    "except_of",
    "code",
    `SELECT code FROM shop.customers EXCEPT SELECT customer FROM shop.orders WHERE status = 'done'`,
  ),
  view(
    "intersect_of",
    "code",
    `SELECT customer AS code FROM shop.orders INTERSECT SELECT customer FROM shop.reviews`,
  ),
];
