/** What readers see of a view, and what is said of it, in one snapshot. */
import { escapeLiteral, type Client } from "pg";
import type { QualifiedName } from "../../handler/settings";
import type { Row } from "../books/model";

/** A row of matview_refresh_history that says that the view was refreshed. Times by the server's clock. */
export interface Refreshed {
  id: number;
  runId: string | null;
  /** As text, to be compared with others; null where it is not known. */
  asOf: string | null;
  asOfMs: number | null;
  finishedMs: number;
}

export interface Shown {
  oid: string;
  /** Every column as text, in the order of the key. */
  rows: Row[];
  /** What matview_freshness says. */
  freshAsOf: string | null;
  /** Of the relation that is under the name now. */
  newest: Refreshed | null;
}

/** Columns of a view, its key first. */
export type Columns = readonly [key: string, ...others: string[]];

const HISTORY = "public.matview_refresh_history";
const isoTime = (time: string): string =>
  `to_char(${time} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;
const epochMs = (time: string): string => `(extract(epoch FROM ${time}) * 1000)::double precision`;
const REFRESHED = `
  h.id::double precision AS "id", h.run_id AS "runId", ${isoTime("h.as_of")} AS "asOf",
  ${epochMs("h.as_of")} AS "asOfMs", ${epochMs("h.finished_at")} AS "finishedMs"`;
const rowsOf = ({ schema, name }: QualifiedName): string =>
  `h.view_schema = ${escapeLiteral(schema)} AND h.view_name = ${escapeLiteral(name)} AND h.outcome = 'refreshed'`;

/** @throws the server's error, such as 42P01 where there is no such view, 55000 where it has never been filled */
export async function readShown(client: Client, view: QualifiedName, columns: Columns): Promise<Shown> {
  const name = `${view.schema}.${view.name}`;
  const values = columns.map((column) => `v.${column}::text`).join(", ");
  // Of the rows themselves: the name may become another relation's before it is looked up a second time.
  const { rows } = await client.query<Omit<Shown, "rows"> & { rows: Row[] | null }>(
    `SELECT shown.oid::text AS "oid",
            (SELECT json_agg(json_build_array(${values}) ORDER BY v.${columns[0]}) FROM ${name} v) AS "rows",
            (SELECT ${isoTime("f.as_of")} FROM public.matview_freshness f
              WHERE f.view_schema = ${escapeLiteral(view.schema)} AND f.view_name = ${escapeLiteral(view.name)}) AS "freshAsOf",
            (SELECT to_json(newest) FROM (
               SELECT ${REFRESHED} FROM ${HISTORY} h WHERE ${rowsOf(view)} AND h.view_oid = shown.oid
                ORDER BY h.id DESC LIMIT 1) newest) AS "newest"
       FROM (SELECT coalesce((SELECT min(v.tableoid) FROM ${name} v), ${escapeLiteral(name)}::regclass) AS oid) shown`,
  );
  const [shown] = rows;
  if (shown === undefined) throw new Error(`${name} was not read`);
  return { ...shown, rows: shown.rows ?? [] };
}

/** Id of the first full run of a view with an id above one and up to another. */
export async function firstFullRun(
  client: Client,
  view: QualifiedName,
  above: number,
  upTo: number,
): Promise<number | undefined> {
  const { rows } = await client.query<{ id: number }>(
    `SELECT id::double precision AS id FROM ${HISTORY} h
      WHERE ${rowsOf(view)} AND refresh_type = 'full' AND id > $1 AND id <= $2 ORDER BY id LIMIT 1`,
    [above, upTo],
  );
  return rows[0]?.id;
}

export async function lastHistoryId(client: Client): Promise<number> {
  const { rows } = await client.query<{ id: number }>(
    `SELECT coalesce(max(id), 0)::double precision AS id FROM ${HISTORY}`,
  );
  return rows[0]?.id ?? 0;
}
