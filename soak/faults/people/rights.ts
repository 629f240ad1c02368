/** Rights that are taken away and given back, and what becomes of the function's login. */
import { randomBytes } from "node:crypto";
import { escapeIdentifier, escapeLiteral } from "pg";
import { quotedName } from "../../../handler/names";
import type { Fault } from "../../fault";
import { ask, change, grantsOf, takeAway, viewAt } from "../administrator";

/** A role that owns a view for a while, since a superuser's rights cannot be taken away. */
const VIEW_OWNER = "soak_view_owner";

/** Settings of a role that the handler must not care about. */
const ODD_DEFAULTS = {
  default_transaction_read_only: "on",
  default_transaction_isolation: "serializable",
  statement_timeout: "50ms",
  lock_timeout: "5ms",
  search_path: "nowhere",
  DateStyle: "German",
  TimeZone: "Pacific/Chatham",
};

export const RIGHTS_FAULTS: Fault[] = [
  {
    group: "people",
    modes: ["full"],
    name: "right to refresh taken away",
    touches: ["view"],
    ticks: [1, 3],
    refresh: "stops",
    codes: ["42501"],
    says: /may not refresh it; its owner is/,
    remedyHelps: true,
    async plant(bed) {
      return takeAway(bed, await grantsOf(bed, "relation", viewAt(bed, 0).sql, "MAINTAIN"));
    },
  },
  {
    group: "people",
    modes: ["full", "incremental"],
    name: "schema of the views closed",
    touches: ["view"],
    ticks: [1, 3],
    refresh: "stops",
    codes: ["42501"],
    says: /may not use the view's schema/,
    remedyHelps: true,
    async plant(bed) {
      const schema = escapeIdentifier(viewAt(bed, 0).schema);
      return takeAway(bed, await grantsOf(bed, "schema", schema, "USAGE"));
    },
  },
  {
    group: "people",
    modes: ["full"],
    name: "view's owner may not read a table",
    touches: ["view", "source"],
    ticks: [1, 3],
    refresh: "stops",
    codes: ["42501"],
    says: /its owner \S+ may not read what the view's query reads/,
    remedyHelps: true,
    async plant(bed, dice) {
      const { sql, schema } = viewAt(bed, 0);
      const owner = escapeIdentifier(VIEW_OWNER);
      const [before] = await ask<{ owner: string }>(
        bed,
        `SELECT pg_get_userbyid(relowner) AS "owner" FROM pg_class WHERE oid = $1::regclass`,
        [sql],
      );
      const unread = dice.oneOf(bed.books.tables);
      const read = bed.books.tables.filter((table) => table !== unread);
      const roles = await ask(bed, "SELECT FROM pg_roles WHERE rolname = $1", [VIEW_OWNER]);
      await change(
        bed,
        ...(roles.length === 0 ? [`CREATE ROLE ${owner} NOLOGIN`] : []),
        `GRANT USAGE ON SCHEMA ${escapeIdentifier(schema)} TO ${owner}`,
        ...read.map((table) => `GRANT SELECT ON ${table} TO ${owner}`),
        `ALTER MATERIALIZED VIEW ${sql} OWNER TO ${owner}`,
      );
      const backTo = escapeIdentifier(before?.owner ?? "");
      return {
        what: `${sql} belongs to ${owner}, who may not read ${unread}`,
        lift: () =>
          change(bed, `ALTER MATERIALIZED VIEW ${sql} OWNER TO ${backTo}`, `DROP OWNED BY ${owner}`),
      };
    },
  },
  {
    group: "people",
    modes: ["full", "incremental"],
    name: "history not writable",
    touches: ["maintenance"],
    ticks: [1, 3],
    refresh: "passes",
    codes: [],
    says: /freshness of \S+ is untracked: role \S+ has no INSERT/,
    async plant(bed) {
      const history = quotedName({ schema: "public", name: "matview_refresh_history" });
      return takeAway(bed, await grantsOf(bed, "relation", history, "INSERT"));
    },
  },
  {
    group: "people",
    modes: ["full", "incremental"],
    name: "password changed on the server",
    touches: ["login"],
    ticks: [1, 3],
    refresh: "stops",
    codes: ["28P01"],
    says: /the server refused the password/,
    async plant(bed) {
      const password = randomBytes(24).toString("base64url");
      const role = escapeIdentifier(bed.fn.user);
      await change(bed, `ALTER ROLE ${role} PASSWORD ${escapeLiteral(password)}`);
      return { what: `ALTER ROLE ${role} PASSWORD`, lift: () => bed.fn.password(password) };
    },
  },
  {
    group: "people",
    modes: ["full", "incremental"],
    name: "role locked out",
    touches: ["login"],
    ticks: [1, 3],
    refresh: "stops",
    codes: ["28000"],
    says: /does not let this role connect/,
    remedyHelps: true,
    async plant(bed) {
      const role = escapeIdentifier(bed.fn.user);
      await change(bed, `ALTER ROLE ${role} NOLOGIN`);
      return { what: `ALTER ROLE ${role} NOLOGIN`, lift: () => change(bed, `ALTER ROLE ${role} LOGIN`) };
    },
  },
  {
    group: "people",
    modes: ["full", "incremental"],
    name: "odd defaults given to the role",
    touches: ["login"],
    ticks: [1, 4],
    refresh: "passes",
    codes: [],
    async plant(bed) {
      const role = escapeIdentifier(bed.fn.user);
      const settings = Object.entries(ODD_DEFAULTS);
      await change(
        bed,
        ...settings.map(([name, value]) => `ALTER ROLE ${role} SET ${name} = ${escapeLiteral(value)}`),
      );
      return {
        what: `ALTER ROLE ${role} SET ${settings.map(([name, value]) => `${name} = ${value}`).join(", ")}`,
        lift: () => change(bed, ...settings.map(([name]) => `ALTER ROLE ${role} RESET ${name}`)),
      };
    },
  },
];
