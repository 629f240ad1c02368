/** Carries out in the database what the model computes. */
import type { Client } from "pg";
import type { Entry, Operation } from "./model";

/** Does to the tables, in the client's transaction, what one operation says of a writer's books. */
export async function carryOut(client: Client, writer: number, operation: Operation): Promise<void> {
  const send = async (sql: string, ...values: unknown[]): Promise<void> =>
    void (await client.query(sql, values));
  switch (operation.kind) {
    case "open": {
      const { account, label } = operation;
      return send("INSERT INTO soak.account (id, writer, label) VALUES ($1, $2, $3)", account, writer, label);
    }
    case "rename":
      return send("UPDATE soak.account SET label = $2 WHERE id = $1", operation.account, operation.label);
    case "close":
      return send("DELETE FROM soak.account WHERE id = $1", operation.account);
    case "put":
      return put(client, operation.entries);
    case "change":
      return send(
        `UPDATE soak.entry e SET amount = n.cents / 100.0, note = n.note
           FROM jsonb_to_recordset($1::jsonb) AS n (id bigint, cents numeric, note text) WHERE e.id = n.id`,
        JSON.stringify(operation.entries),
      );
    case "rehome":
      return send("UPDATE soak.entry SET account_id = $2 WHERE id = $1", operation.entry, operation.account);
    case "remove":
      return send("DELETE FROM soak.entry WHERE id = ANY($1::bigint[])", operation.entries);
    case "fill": {
      const { first, accounts, cents, count } = operation;
      return send(
        `INSERT INTO soak.entry (id, account_id, amount)
         SELECT $1::bigint + i, ($2::bigint[])[1 + i % cardinality($2::bigint[])], ($3::numeric + i) / 100.0
           FROM generate_series(0, $4::integer - 1) AS i`,
        ...[first, accounts, cents, count],
      );
    }
    case "raise": {
      const raise = "UPDATE soak.entry SET amount = amount + $3::numeric / 100.0 WHERE id BETWEEN $1 AND $2";
      return send(raise, operation.first, operation.last, operation.cents);
    }
    case "drain":
      return send("DELETE FROM soak.entry WHERE id BETWEEN $1 AND $2", operation.first, operation.last);
    case "truncate":
      return send("TRUNCATE soak.entry");
    case "reload":
      return reload(client, writer, operation.cents);
  }
}

async function put(client: Client, entries: Entry[]): Promise<void> {
  await client.query(
    `INSERT INTO soak.entry (id, account_id, amount, note)
     SELECT id, account, cents / 100.0, note
       FROM jsonb_to_recordset($1::jsonb) AS n (id bigint, account bigint, cents numeric, note text)`,
    [JSON.stringify(entries)],
  );
}

/** As a load does that empties first. */
async function reload(client: Client, writer: number, added: number): Promise<void> {
  const { rows } = await client.query<{ entries: Entry[] | null }>(
    `WITH gone AS (
       DELETE FROM soak.entry e USING soak.account a WHERE a.id = e.account_id AND a.writer = $1
       RETURNING e.id, e.account_id AS account, (e.amount * 100)::bigint AS cents, e.note)
     SELECT jsonb_agg(gone) AS entries FROM gone`,
    [writer],
  );
  await put(
    client,
    (rows[0]?.entries ?? []).map((entry) => ({ ...entry, cents: entry.cents + added })),
  );
}
