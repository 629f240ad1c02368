/** Rights that are taken away and given back, and what becomes of the function's login. */
import { randomBytes } from "node:crypto";
import { escapeIdentifier, escapeLiteral } from "pg";
import type { FaultDraft } from "../fault";
import { ask, change, changed, takeAway } from "./administrator";

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

export const RIGHTS_FAULTS: FaultDraft[] = [
  {
    modes: ["full"],
    name: "right to refresh taken away",
    finding: "may-not-refresh",
    touches: ["view"],
    ticks: [1, 3],
    refresh: "stops",
    codes: ["42501"],
    says: /may not refresh it; its owner is/,
    remedyHelps: true,
    plant: (bed) => takeAway(bed, "MAINTAIN ON soak.balance"),
  },
  {
    name: "schema of the views closed",
    finding: "may-not-refresh",
    touches: ["view"],
    ticks: [1, 3],
    refresh: "stops",
    codes: ["42501"],
    says: /may not use the view's schema/,
    remedyHelps: true,
    plant: (bed) => takeAway(bed, "USAGE ON SCHEMA soak"),
  },
  {
    modes: ["full"],
    name: "view's owner may not read a table",
    finding: "owner-may-not-read",
    touches: ["view", "source"],
    ticks: [1, 3],
    refresh: "stops",
    codes: ["42501"],
    says: /its owner \S+ may not read what the view's query reads/,
    remedyHelps: true,
    async plant(bed, dice) {
      const unread = dice.oneOf(bed.books.tables);
      const read = bed.books.tables.filter((table) => table !== unread);
      const [{ owner } = { owner: "" }] = await ask<{ owner: string }>(
        bed,
        `SELECT relowner::regrole::text AS "owner" FROM pg_class WHERE oid = 'soak.balance'::regclass`,
      );
      await change(
        bed,
        `CREATE ROLE ${VIEW_OWNER} NOLOGIN`,
        `GRANT USAGE ON SCHEMA soak TO ${VIEW_OWNER}`,
        `GRANT SELECT ON ${read.join(", ")} TO ${VIEW_OWNER}`,
        `ALTER MATERIALIZED VIEW soak.balance OWNER TO ${VIEW_OWNER}`,
      );
      return {
        what: `soak.balance belongs to ${VIEW_OWNER}, who may not read ${unread}`,
        async lift() {
          const there = await ask(bed, "SELECT FROM pg_roles WHERE rolname = $1", [VIEW_OWNER]);
          if (there.length === 0) return;
          await change(
            bed,
            `ALTER MATERIALIZED VIEW soak.balance OWNER TO ${owner}`,
            `DROP OWNED BY ${VIEW_OWNER}; DROP ROLE ${VIEW_OWNER}`,
          );
        },
      };
    },
  },
  {
    name: "history not writable",
    finding: "history-not-writable",
    touches: ["maintenance"],
    ticks: [1, 3],
    refresh: "passes",
    says: /freshness of \S+ is untracked: role \S+ has no INSERT/,
    plant: (bed) => takeAway(bed, "INSERT ON public.matview_refresh_history"),
  },
  {
    name: "password changed on the server",
    finding: "connection",
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
    name: "role locked out",
    finding: "connection",
    touches: ["login"],
    ticks: [1, 3],
    refresh: "stops",
    codes: ["28000"],
    says: /does not let this role connect/,
    remedyHelps: true,
    plant(bed) {
      const alter = `ALTER ROLE ${escapeIdentifier(bed.fn.user)}`;
      return changed(bed, `${alter} NOLOGIN`, `${alter} LOGIN`);
    },
  },
  {
    name: "odd defaults given to the role",
    finding: "timeouts-by-hand",
    touches: ["login"],
    ticks: [1, 4],
    refresh: "passes",
    plant(bed) {
      const alter = `ALTER ROLE ${escapeIdentifier(bed.fn.user)}`;
      const set = Object.entries(ODD_DEFAULTS).map(
        ([name, value]) => `SET ${name} = ${escapeLiteral(value)}`,
      );
      const reset = Object.keys(ODD_DEFAULTS).map((name) => `${alter} RESET ${name}`);
      return changed(bed, set.map((each) => `${alter} ${each}`).join("; "), ...reset);
    },
  },
];
