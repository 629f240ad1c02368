/** Room that views take beyond their rows. All of it is estimated: from sizes, and from statistics that lag. */
import { check, look } from "../check";
import type { Finding, Findings, NotSeen } from "../finding";
import type { Scope } from "../scope";
import { bytesText, countText } from "../words";

export interface SizeFacts {
  oid: number;
  heapBytes: number;
  /** By the last VACUUM or ANALYZE; null where there was none. */
  rows: number | null;
  liveRows: number;
  deadRows: number;
  /** Bytes of an average row's columns, by the last ANALYZE; null where there was none, or it may not be read. */
  rowBytes: number | null;
  isVacuumed: boolean;
  fillfactor: number;
}

const SIZES = `
SELECT c.oid::int8::float8 AS "oid", pg_catalog.pg_relation_size(c.oid)::float8 AS "heapBytes",
       nullif(c.reltuples, -1)::float8 AS "rows",
       pg_catalog.pg_stat_get_live_tuples(c.oid)::float8 AS "liveRows",
       pg_catalog.pg_stat_get_dead_tuples(c.oid)::float8 AS "deadRows",
       (SELECT CASE WHEN pg_catalog.count(*) = c.relnatts THEN pg_catalog.sum(s.avg_width)::float8 END
          FROM pg_catalog.pg_stats s
         WHERE s.schemaname = c.relnamespace::regnamespace::name AND s.tablename = c.relname) AS "rowBytes",
       coalesce((SELECT option_value::bool FROM pg_catalog.pg_options_to_table(c.reloptions)
                  WHERE option_name = 'autovacuum_enabled'), true) AS "isVacuumed",
       coalesce((SELECT option_value::int FROM pg_catalog.pg_options_to_table(c.reloptions)
                  WHERE option_name = 'fillfactor'), 100) AS "fillfactor"
  FROM pg_catalog.pg_class c WHERE c.oid = $1 AND c.relkind IN ('m', 'r')`;

export const bloat = check(
  "how bloated each view is",
  async (reader, scope): Promise<{ sizes: SizeFacts[]; notSeen: NotSeen[] }> => {
    const notSeen: NotSeen[] = [];
    const sizes: SizeFacts[] = [];
    for (const { name, facts } of scope.patients) {
      if (facts.oid === null) continue;
      // The size of a relation is not told while it is locked.
      const rows = await look(reader, scope, notSeen, { what: "how bloated it is", view: name }, () =>
        reader.rows<SizeFacts>(SIZES, [facts.oid]),
      );
      sizes.push(...(rows ?? []));
    }
    return { sizes, notSeen };
  },
  ({ sizes, notSeen }, scope): Findings => ({ findings: judgeSizes(sizes, scope), notSeen }),
);

/** Less is not worth anybody's while. */
const LEAST_BYTES = 8 * 2 ** 20;
const BLOATED_BY = 2.5;
const LEAST_DEAD = 10_000;
/** Header with padding, and the pointer to it. */
const ROW_OVERHEAD_BYTES = 24 + 4 + 4;

export function judgeSizes(sizes: SizeFacts[], { patients }: Scope): Finding[] {
  return sizes.flatMap((size) => {
    const patient = patients.find(({ facts }) => facts.oid === size.oid);
    if (patient === undefined) return [];
    const { name, sql, facts } = patient;
    const isTable = facts.fold !== null;
    const findings: Finding[] = [];
    if (!size.isVacuumed) {
      findings.push({
        name: "autovacuum-off",
        grade: "will hurt",
        view: name,
        what: "autovacuum is switched off for it",
        why: "Each concurrent refresh or fold leaves the old version of every changed row behind, and nobody removes them.",
        remedy: `ALTER ${isTable ? "TABLE" : "MATERIALIZED VIEW"} ${sql} RESET (autovacuum_enabled);`,
      });
    }
    const rows = Math.max(size.liveRows, size.rows ?? 0);
    const expected =
      size.rowBytes === null || size.rows === null
        ? null
        : (rows * (size.rowBytes + ROW_OVERHEAD_BYTES)) / (size.fillfactor / 100);
    const isBloated =
      expected !== null &&
      size.heapBytes > LEAST_BYTES &&
      size.heapBytes > BLOATED_BY * Math.max(expected, 8_192);
    if (isBloated) {
      findings.push({
        name: "bloat",
        grade: "will hurt",
        view: name,
        what: `it takes ${bytesText(size.heapBytes)}, and its ${countText(rows)} rows should take about ${bytesText(expected)} (estimated from statistics)`,
        why: "Readers and refreshes read what is empty too. It comes from rows that changed while something held back VACUUM.",
        remedy: isTable
          ? `VACUUM FULL ${sql};  -- locks readers out meanwhile; end first what holds back VACUUM`
          : `REFRESH MATERIALIZED VIEW ${sql};  -- writes it anew and locks readers out meanwhile; end first what holds back VACUUM`,
      });
    } else if (size.deadRows > LEAST_DEAD && size.deadRows > size.liveRows) {
      findings.push({
        name: "dead-rows",
        grade: "will hurt",
        view: name,
        what: `it has about ${countText(size.deadRows)} dead rows to ${countText(size.liveRows)} live ones (counted by the statistics, which lag)`,
        why: "VACUUM does not come often enough, or cannot remove them: the view grows with each refresh.",
        remedy: `VACUUM ${sql};  -- and to have it oftener: ALTER ${isTable ? "TABLE" : "MATERIALIZED VIEW"} ${sql} SET (autovacuum_vacuum_scale_factor = 0.02);`,
      });
    }
    return findings;
  });
}
