/** What is kept account of: the tables that writers write, and the views that the function keeps fresh. */
import type { Books } from "../bed/bed";

/** Writers, by their numbers. */
export const WRITERS: readonly number[] = [1, 2, 3];

/**
 * Each writer has accounts with entries, and a watermark: the number of its last transaction. The ledger has a row for
 * each of its transactions, with what was done. It says more than the tables do: what was deleted, and when.
 */
export const TABLES_SQL = `
CREATE SCHEMA soak;
CREATE TABLE soak.watermark (writer integer PRIMARY KEY, number bigint NOT NULL);
CREATE TABLE soak.account (id bigint PRIMARY KEY, writer integer NOT NULL REFERENCES soak.watermark, label text COLLATE "C" NOT NULL);
CREATE INDEX account_writer_idx ON soak.account (writer);
CREATE TABLE soak.entry (
  id bigint PRIMARY KEY,
  account_id bigint NOT NULL REFERENCES soak.account ON DELETE CASCADE,
  amount numeric(12, 2) NOT NULL,
  note text
);
CREATE INDEX entry_account_idx ON soak.entry (account_id);
CREATE TABLE soak.ledger (
  writer integer NOT NULL,
  number bigint NOT NULL,
  operation jsonb NOT NULL,
  xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
  PRIMARY KEY (writer, number)
);`;

/**
 * A row for each account. Every row of a writer shows the writer's watermark, so that a row of another moment gives
 * itself away; an account without entries is there as well. Maintained, the sums are kept up by adding, so that a change
 * that was not logged stays to be seen; the notes are read again.
 */
const BALANCE_SQL = `
CREATE MATERIALIZED VIEW soak.balance AS
SELECT a.id, a.writer, a.label, w.number AS watermark, coalesce(e.entries, 0) AS entries, coalesce(e.total, 0.00) AS total,
       e.least, e.greatest, n.notes
  FROM soak.account a
  JOIN soak.watermark w ON w.writer = a.writer
  LEFT JOIN (SELECT account_id, count(*) AS entries, sum(amount) AS total, min(amount) AS least, max(amount) AS greatest
               FROM soak.entry GROUP BY account_id) e ON e.account_id = a.id
  LEFT JOIN (SELECT account_id, string_agg(note, '|' ORDER BY id) AS notes
               FROM soak.entry GROUP BY account_id) n ON n.account_id = a.id;
CREATE UNIQUE INDEX balance_id_key ON soak.balance (id);
CREATE INDEX balance_writer_idx ON soak.balance (writer);
GRANT SELECT, MAINTAIN ON soak.balance TO matview_refresher;`;

/** A row for each writer, of what soak.balance shows. */
const SUMMARY_SQL = `
CREATE MATERIALIZED VIEW soak.summary AS
SELECT writer, max(watermark) AS watermark, count(*) AS accounts, sum(entries)::bigint AS entries, sum(total) AS total,
       string_agg(label, '|' ORDER BY label) AS labels
  FROM soak.balance GROUP BY writer;
CREATE UNIQUE INDEX summary_writer_key ON soak.summary (writer);
GRANT SELECT, MAINTAIN ON soak.summary TO matview_refresher;`;

export const BALANCE = { schema: "soak", name: "balance" };
export const SUMMARY = { schema: "soak", name: "summary" };

/** SQL of each view, with its indexes and what lets the function's role refresh it, by its name. */
export const VIEW_SQL = { balance: BALANCE_SQL, summary: SUMMARY_SQL };

export const BOOKS: Books = {
  views: [BALANCE, SUMMARY],
  tables: ["soak.watermark", "soak.account", "soak.entry"],
  viewsSql: BALANCE_SQL + SUMMARY_SQL,
};
