/** What people do to the soak's database by hand, for faults that are made of it. */
import { escapeIdentifier, type Client, type ClientConfig } from "pg";
import { quotedName } from "../../handler/names";
import type { QualifiedName } from "../../handler/settings";
import { withClient } from "../../local/postgres/database";
import type { Bed, Phase } from "../bed/bed";
import type { Planted } from "../fault";

/** A lock that is queued for keeps everybody behind it: no try of ours waits longer. */
const LOCK_TIMEOUT_MS = 2_000;
const MOST_TRIES = 5;

/**
 * As the superuser. What people do waits for no standby: one that is lost would keep the fault's end waiting for that of
 * another fault.
 */
export function byHand(bed: Bed): ClientConfig {
  return { ...bed.cluster.connection(), options: "-c synchronous_commit=local" };
}

/** Rows of a question. */
export async function ask<Row extends object>(bed: Bed, sql: string, values: unknown[] = []): Promise<Row[]> {
  return withClient(byHand(bed), async (client) => (await client.query<Row>(sql, values)).rows);
}

/** One statement that can run outside of a transaction alone. */
export async function execute(bed: Bed, sql: string): Promise<void> {
  await withClient(byHand(bed), (client) => client.query(sql));
}

/**
 * Statements as the superuser, all or none of them, tried again while writers or runs hold what they lock.
 * @throws the server's error
 */
export async function change(bed: Bed, ...statements: string[]): Promise<void> {
  const sql = `BEGIN; SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}; ${statements.join("; ")}; COMMIT`;
  for (let tries = 1; ; tries++) {
    try {
      await withClient(byHand(bed), (client) => client.query(sql));
      return;
    } catch (error) {
      const isPassing = ["55P03", "40P01"].includes((error as { code?: string }).code ?? "");
      if (!isPassing || tries === MOST_TRIES) throw error;
    }
  }
}

/** A transaction that somebody has left open, with whatever it has locked. Ends when its connection does. */
export async function leaveOpen(bed: Bed, what: string, ...statements: string[]): Promise<Planted> {
  const client = await bed.connect();
  let isLost = false;
  let isLifted = false;
  const lose = (): void => void (isLost ||= !isLifted);
  client.on("error", lose).on("end", lose);
  const lift = async (): Promise<void> => {
    isLifted = true;
    await rollBack(client);
  };
  try {
    const settings =
      "idle_in_transaction_session_timeout = 0; SET lock_timeout = '5s'; SET synchronous_commit = local";
    await client.query(`SET ${settings}; BEGIN`);
    for (const statement of statements) await client.query(statement);
  } catch (error) {
    await lift();
    throw error;
  }
  return { what, lift, hasStruck: () => !isLost };
}

/** The answer is waited for, so that the locks are free afterwards; the connection may be gone already. */
async function rollBack(client: Client): Promise<void> {
  await client.query("ROLLBACK").catch(() => undefined);
  await client.end().catch(() => undefined);
}

/** A moment of the next run, and what is done in it. */
interface Moment {
  phase: Phase;
  moment: "before" | "after";
  what: string;
}

/**
 * What is done in the middle of the next run, while the run goes on: it does not wait for the end of that, which may wait
 * for the run itself. {@link Planted.lift} does.
 */
export function inMidRun(bed: Bed, moment: Moment, act: () => Promise<unknown>): Planted {
  return atMoment(bed, moment, act, false);
}

/** The same, but the run is held until it is done: it must need nothing that the run has. */
export function whileHeld(bed: Bed, moment: Moment, act: () => Promise<unknown>): Planted {
  return atMoment(bed, moment, act, true);
}

function atMoment(
  bed: Bed,
  { phase, moment, what }: Moment,
  act: () => Promise<unknown>,
  isHeld: boolean,
): Planted {
  let underWay: Promise<unknown> = Promise.resolve();
  let hasFailed = false;
  const trap = bed.wire.ambush({
    phase,
    moment,
    async act() {
      underWay = act().catch(() => (hasFailed = true));
      if (isHeld) await underWay;
    },
  });
  return {
    what,
    async lift() {
      trap.disarm();
      await underWay;
    },
    hasStruck: () => trap.sprung > 0 && !hasFailed,
  };
}

/** A view of the books by its place in the order of dependency, as SQL. */
export function viewAt(bed: Bed, place: 0 | 1): QualifiedName & { sql: string } {
  const view = bed.books.views[place];
  if (view === undefined) throw new Error("the books have too few views");
  return { ...view, sql: quotedName(view) };
}

/** The unique indexes of a relation by which a concurrent refresh can tell its rows apart. */
export async function uniqueIndexes(bed: Bed, relation: string): Promise<{ name: string; sql: string }[]> {
  return ask(
    bed,
    `SELECT indexrelid::regclass::text AS "name", pg_get_indexdef(indexrelid) AS "sql"
       FROM pg_index WHERE indrelid = $1::regclass AND indisunique ORDER BY indexrelid`,
    [relation],
  );
}

/** What a role of the function has been given, directly or through a group: each can be taken away and given back. */
export interface Grant {
  /** Such as `SCHEMA "soak"`, or a relation's name. */
  object: string;
  privilege: string;
  /** As SQL. */
  grantee: string;
}

/** The catalog and its row that hold an object's rights, with the SQL that names the object in a GRANT. */
const RIGHTS = {
  relation: { from: "pg_class", acl: "relacl", owner: "relowner", kind: "r", to: "regclass", word: "" },
  schema: {
    ...{ from: "pg_namespace", acl: "nspacl", owner: "nspowner", kind: "n", to: "regnamespace" },
    word: "SCHEMA ",
  },
  function: {
    ...{ from: "pg_proc", acl: "proacl", owner: "proowner", kind: "f", to: "regprocedure" },
    word: "FUNCTION ",
  },
} as const;

/**
 * Who gives the function's role a right on an object.
 * @throws Error where nobody does, as for a superuser
 */
export async function grantsOf(
  bed: Bed,
  kind: keyof typeof RIGHTS,
  name: string,
  privilege: string,
): Promise<Grant[]> {
  const { from, acl, owner, kind: letter, to, word } = RIGHTS[kind];
  const rows = await ask<{ grantee: string }>(
    bed,
    `SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS "grantee"
       FROM ${from} o CROSS JOIN aclexplode(coalesce(o.${acl}, acldefault('${letter}', o.${owner}))) a
      WHERE o.oid = $1::${to} AND a.privilege_type = $2 AND a.grantee <> o.${owner}
        AND (a.grantee = 0 OR pg_has_role($3::name, CASE a.grantee WHEN 0 THEN o.${owner} ELSE a.grantee END, 'USAGE'))`,
    [name, privilege, bed.fn.user],
  );
  if (rows.length === 0) throw new Error(`${bed.fn.user} has been given no ${privilege} on ${name}`);
  return rows.map(({ grantee }) => ({ object: `${word}${name}`, privilege, grantee }));
}

/** Takes rights away until they are given back; those that a remedy gave meanwhile are taken back then. */
export async function takeAway(bed: Bed, grants: Grant[]): Promise<Planted> {
  const user = escapeIdentifier(bed.fn.user);
  await change(bed, ...grants.map((g) => `REVOKE ${g.privilege} ON ${g.object} FROM ${g.grantee}`));
  return {
    what: grants.map((g) => `REVOKE ${g.privilege} ON ${g.object} FROM ${g.grantee}`).join("; "),
    lift: () =>
      change(
        bed,
        ...grants.map((g) => `REVOKE ${g.privilege} ON ${g.object} FROM ${user}`),
        ...grants.map((g) => `GRANT ${g.privilege} ON ${g.object} TO ${g.grantee}`),
      ),
  };
}
