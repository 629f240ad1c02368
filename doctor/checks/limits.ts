/** Settings that end a refresh, or would end one that is run by hand: the server's, the database's and the role's own. */
import { escapeIdentifier } from "pg";
import { HISTORY_TABLE } from "../../handler/catalog";
import { nameRows } from "../../handler/names";
import { check, lookQuietly } from "../check";
import type { Finding } from "../finding";
import type { Scope } from "../scope";
import { bytesText, secondsText } from "../words";

/** A setting as the role that refreshes gets it. */
export interface RoleSetting {
  name: string;
  /** In milliseconds or kB, or as text where it has no unit; undefined where only the role itself could tell. */
  value: number | string | undefined;
}

export interface LimitFacts {
  settings: RoleSetting[];
  /** Bytes of the heap of each view that is refreshed concurrently. */
  heaps: { view: string; bytes: number }[];
  /** What a hash join keeps in memory, in bytes. */
  hashBytes: number;
  /** The longest refresh that is recorded, in seconds. */
  longestSeconds: number | undefined;
}

const WATCHED = [
  "statement_timeout",
  "lock_timeout",
  "idle_in_transaction_session_timeout",
  "transaction_timeout",
  "temp_file_limit",
  "default_transaction_read_only",
] as const;

/*
 * What a login gets is, in this order: the role's own for the database, the role's, the database's, that for all. Where
 * none is set it is the server's: ours, but for what has been set for ourselves. reset_val is what this session began with.
 */
const SETTINGS = `
  SELECT s.name AS "name", s.unit AS "unit",
         coalesce(
           (SELECT pg_catalog.substr(c.text, pg_catalog.length(s.name) + 2)
              FROM pg_catalog.pg_db_role_setting d CROSS JOIN pg_catalog.unnest(d.setconfig) AS c (text)
             WHERE d.setrole IN (0, (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = $1))
               AND d.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()))
               AND pg_catalog.split_part(c.text, '=', 1) = s.name
             ORDER BY d.setrole = 0, d.setdatabase = 0 LIMIT 1),
           CASE WHEN $1 = current_user
                  OR NOT EXISTS (SELECT FROM pg_catalog.pg_db_role_setting d CROSS JOIN pg_catalog.unnest(d.setconfig) AS c (text)
                                  WHERE d.setrole = current_user::regrole AND pg_catalog.split_part(c.text, '=', 1) = s.name)
                THEN s.reset_val || coalesce(s.unit, '') END) AS "text"
    FROM pg_catalog.pg_settings s WHERE s.name = ANY ($2)`;

export const limits = check(
  "settings of the role that refreshes",
  async (reader, scope): Promise<LimitFacts> => {
    const rows = await reader.rows<{ name: string; unit: string | null; text: string | null }>(SETTINGS, [
      scope.role,
      WATCHED,
    ]);
    const concurrent = scope.patients.filter(
      ({ facts }) => facts.relkind === "m" && facts.usableIndexes.length > 0,
    );
    const heaps = await lookQuietly(reader, () =>
      reader.rows<{ view: string; bytes: number }>(
        `SELECT n.nspname || '.' || c.relname AS "view", pg_catalog.pg_relation_size(c.oid)::float8 AS "bytes"
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.oid = ANY ($1::int8[]::oid[])`,
        [concurrent.map(({ facts }) => facts.oid)],
      ),
    );
    const [memory] = await reader.rows<{ bytes: number }>(
      `SELECT (pg_catalog.pg_size_bytes(pg_catalog.current_setting('work_mem'))
               * pg_catalog.current_setting('hash_mem_multiplier')::float8)::float8 AS "bytes"`,
    );
    const views = scope.patients.map(({ view }) => view);
    const longest =
      views.length === 0 || !scope.patients.some(({ facts }) => facts.history.maySelect)
        ? undefined
        : await lookQuietly(reader, () =>
            reader.rows<{ seconds: number | null }>(
              `SELECT pg_catalog.max(last.seconds) AS "seconds" FROM (VALUES ${nameRows(views)}) AS v (schema, name)
                CROSS JOIN LATERAL (SELECT h.duration_seconds AS seconds FROM ${HISTORY_TABLE} h
                  WHERE h.view_schema = v.schema AND h.view_name = v.name AND h.outcome = 'refreshed'
                  ORDER BY h.id DESC LIMIT 500) last`,
            ),
          );
    return {
      settings: rows.map(({ name, unit, text }) => ({ name, value: readSetting(text, unit) })),
      heaps: heaps ?? [],
      hashBytes: memory?.bytes ?? 0,
      longestSeconds: longest?.[0]?.seconds ?? undefined,
    };
  },
  judgeLimits,
);

const UNITS: Record<string, Record<string, number>> = {
  ms: { us: 0.001, ms: 1, s: 1_000, min: 60_000, h: 3_600_000, d: 86_400_000 },
  kB: { B: 1 / 1_024, kB: 1, MB: 1_024, GB: 1_048_576, TB: 1_073_741_824 },
};

/** `5min` in milliseconds, `1GB` in kB; text where the setting has no unit. */
export function readSetting(text: string | null, unit: string | null): number | string | undefined {
  if (text === null) return undefined;
  const scale = unit === null ? undefined : UNITS[unit];
  if (scale === undefined) return text;
  const match = /^(-?[\d.]+)\s*([a-zA-Z]*)$/.exec(text.trim());
  const factor = scale[match?.[2] || unit || ""];
  return match === null || factor === undefined ? undefined : Number(match[1]) * factor;
}

/** The handler answers within a round trip; what is shorter than this may end its transaction all the same. */
const SHORTEST_IDLE_MS = 5_000;
/** Beyond the join of old and new rows, a query may spill by itself. */
const SPILL_FACTOR = 3;

export function judgeLimits(
  { settings, heaps, hashBytes, longestSeconds }: LimitFacts,
  scope: Scope,
): Finding[] {
  const findings: Finding[] = [];
  const { role, database, stack } = scope;
  const of = (name: (typeof WATCHED)[number]): number => {
    const value = settings.find((setting) => setting.name === name)?.value;
    return typeof value === "number" ? value : 0;
  };
  const set = (name: string, value: string): string =>
    `ALTER ROLE ${escapeIdentifier(role)} IN DATABASE ${escapeIdentifier(database)} SET ${name} = ${value};`;
  const timeoutSeconds = stack?.plan.settings.timeoutSeconds;
  const whole = of("transaction_timeout");
  if (whole > 0 && whole / 1_000 < Math.max(timeoutSeconds ?? 0, 2 * (longestSeconds ?? 0))) {
    const isShort = longestSeconds !== undefined && whole / 1_000 <= longestSeconds;
    findings.push({
      name: "transaction-timeout",
      grade: isShort ? "will fail" : "will hurt",
      what: `role ${role} has transaction_timeout = ${secondsText(whole / 1_000)}`,
      why: `The server ends the session of a refresh that takes longer${longestSeconds === undefined ? "" : `; the longest of late took ${secondsText(longestSeconds)}`}.`,
      remedy: set("transaction_timeout", "0"),
    });
  }
  const idle = of("idle_in_transaction_session_timeout");
  if (idle > 0 && idle < SHORTEST_IDLE_MS) {
    findings.push({
      name: "idle-timeout-short",
      grade: "will hurt",
      what: `role ${role} has idle_in_transaction_session_timeout = ${secondsText(idle / 1_000)}`,
      why: "Between two statements a refresh waits for the network; when that is slow, the server ends its session.",
      remedy: set("idle_in_transaction_session_timeout", "'60s'"),
    });
  }
  const byHand = (["statement_timeout", "lock_timeout"] as const).filter((name) => of(name) > 0);
  if (byHand.length > 0) {
    const values = byHand.map((name) => `${name} = ${secondsText(of(name) / 1_000)}`);
    findings.push({
      name: "timeouts-by-hand",
      grade: "worth knowing",
      what: `role ${role} has ${values.join(" and ")}`,
      why: "The function and `npm run refresh` bring their own limits; a REFRESH in psql or pg_cron ends at these.",
      remedy: byHand.map((name) => set(name, "0")).join(" "),
    });
  }
  if (settings.some(({ name, value }) => name === "default_transaction_read_only" && value === "on")) {
    findings.push({
      name: "read-only-by-hand",
      grade: "worth knowing",
      what: `transactions of role ${role} are read only unless they say otherwise`,
      why: "The function and `npm run refresh` say so; a REFRESH in psql or pg_cron ends with SQLSTATE 25006.",
      remedy: set("default_transaction_read_only", "off"),
    });
  }
  return [
    ...findings,
    ...ofTempFiles({ limitKb: of("temp_file_limit"), heaps, hashBytes, isSet: settings }, scope),
  ];
}

function ofTempFiles(
  {
    limitKb,
    heaps,
    hashBytes,
    isSet,
  }: { limitKb: number; heaps: LimitFacts["heaps"]; hashBytes: number; isSet: RoleSetting[] },
  { role }: Scope,
): Finding[] {
  const isLimited =
    limitKb >= 0 && isSet.some(({ name, value }) => name === "temp_file_limit" && value !== undefined);
  if (!isLimited) return [];
  const limitBytes = limitKb * 1_024;
  return heaps
    .filter(({ bytes }) => bytes > hashBytes && limitBytes < SPILL_FACTOR * bytes)
    .map(({ view, bytes }) => ({
      name: "temp-file-limit",
      grade: limitBytes < bytes ? ("will fail" as const) : ("will hurt" as const),
      view,
      what: `role ${role} may write ${bytesText(limitBytes)} of temporary files, and the view has ${bytesText(bytes)}`,
      why: "A concurrent refresh joins all old rows with all new ones and spills what memory does not hold: about twice the view, by estimate. Beyond the limit it ends with SQLSTATE 53400.",
      remedy: `ALTER ROLE ${escapeIdentifier(role)} SET temp_file_limit = '${Math.max(1, Math.ceil((4 * bytes) / 2 ** 30))}GB';  -- as a superuser; on RDS in the parameter group`,
    }));
}
