/** Whether a materialized view could be maintained incrementally, and, where it is asked for, what that would save. */
import { setTimeout as sleep } from "node:timers/promises";
import { escapeIdentifier } from "pg";
import { shellName } from "../../handler/names";
import { compile } from "../../incremental/compile";
import type { Compilation, Maintenance } from "../../incremental/maintenance";
import { readSource, SourceError } from "../../incremental/readSource";
import { check, look, type Check } from "../check";
import { readOnly } from "../reader";
import type { Finding, Findings, NotSeen } from "../finding";
import type { Patient, Scope } from "../scope";
import { countText, secondsText } from "../words";

export interface CompiledView {
  patient: Patient;
  compilation: Compilation;
}

const isMaterialized = ({ facts }: Patient): boolean => facts.relkind === "m" && facts.oid !== null;

export const incremental = check(
  "whether views could be maintained incrementally",
  async (reader, scope): Promise<{ views: CompiledView[]; notSeen: NotSeen[] }> => {
    const notSeen: NotSeen[] = [];
    const views: CompiledView[] = [];
    for (const patient of scope.patients.filter(isMaterialized)) {
      const asked = { what: "whether it could be maintained incrementally", view: patient.name };
      const compilation = await look(reader, scope, notSeen, asked, async () => {
        try {
          return await compile(await readSource((sql, values) => reader.rows(sql, values), patient.view));
        } catch (error) {
          if (error instanceof SourceError) return undefined;
          throw error;
        }
      });
      if (compilation !== undefined) views.push({ patient, compilation });
    }
    return { views, notSeen };
  },
  ({ views, notSeen }): Findings => ({ findings: views.map(judgeCompiled), notSeen }),
);

export function judgeCompiled({ patient, compilation }: CompiledView): Finding {
  const { maintenance, findings } = compilation;
  const shell = shellName(patient.view);
  const base = { grade: "worth knowing" as const, view: patient.name };
  if (maintenance === undefined) {
    const reasons = findings.filter(({ possible }) => possible === "no");
    const [first] = reasons;
    const more = reasons.length > 1 ? `, and ${reasons.length - 1} more` : "";
    return {
      ...base,
      name: "not-incremental",
      what: `it cannot be maintained incrementally: ${first?.capability}: ${oneLine(first?.reason ?? "")}${more}`,
      why: "Each refresh reads everything again.",
      remedy: `npm run incremental -- plan --view ${shell}  # every reason, and what would help`,
    };
  }
  return {
    ...base,
    name: "incremental-possible",
    what: "it could be maintained incrementally: a refresh would cost what changed",
    why: "Who writes to its tables would pay for it, with a fraction of a millisecond a statement.",
    remedy: `npm run incremental -- plan --view ${shell}  # how; what it would save: npm run doctor -- --measure`,
  };
}

const oneLine = (text: string): string => text.replaceAll(/\s+/g, " ").trim();

/** What was measured of one view. */
export interface Measured {
  patient: Patient;
  /** Of the whole query. */
  wholeSeconds: number;
  /** Of the query for so many keys of the view. */
  keysSeconds: number;
  keys: number;
  /** Whether a fold adds up changes by itself, and need not read the tables again. */
  isAdditive: boolean;
  /** Rows that were written to the tables in the time that was watched. */
  changes: number;
  watchedSeconds: number;
}

const WATCHED_SECONDS = 10;
const LONGEST_MEASURE_MS = 300_000;
const MOST_KEYS = 1_000;
const FEWEST_KEYS = 10;
/** What a tick is taken to be where no stack says: a minute. */
const INTERVAL_SECONDS = 60;

/** Runs each view's query, once whole and once for as many keys as change in a tick. */
export const measuring = (say: (line: string) => void): Check => ({
  about: "what maintaining incrementally would save",
  isOutside: true,
  async run({ session }, scope) {
    const all: Findings = { findings: [], notSeen: [] };
    for (const patient of scope.patients.filter(isMaterialized)) {
      const maintenance = await readOnly(session, LONGEST_MEASURE_MS, async (reader) => {
        const source = await readSource((sql, values) => reader.rows(sql, values), patient.view).catch(
          () => undefined,
        );
        return source === undefined ? undefined : (await compile(source)).maintenance;
      }).catch(() => undefined);
      if (maintenance === undefined || !patient.facts.populated) continue;
      say(
        `Measuring ${patient.name}: watching what is written for ${WATCHED_SECONDS} s, then running its query`,
      );
      try {
        const measured = await measure(session, patient, maintenance, scope);
        all.findings.push(judgeMeasured(measured, scope));
      } catch (error) {
        if (session.lost) throw error;
        all.notSeen.push({
          what: "what maintaining it incrementally would save",
          view: patient.name,
          why: (error as Error).message,
          remedy: `GRANT pg_read_all_data TO ${escapeIdentifier(scope.user)};  -- the query is run as who is logged in`,
        });
      }
    }
    return all;
  },
});

async function measure(
  session: Parameters<typeof readOnly>[0],
  patient: Patient,
  { logs, restrictionKey, states }: Maintenance,
  scope: Scope,
): Promise<Measured> {
  const oids = logs.map(({ tableOid }) => tableOid);
  const written = (): Promise<number> =>
    readOnly(session, LONGEST_MEASURE_MS, async ({ rows }) => {
      const [row] = await rows<{ n: number }>(
        `SELECT coalesce(pg_catalog.sum(pg_catalog.pg_stat_get_tuples_inserted(tree.relid)
                  + pg_catalog.pg_stat_get_tuples_updated(tree.relid) + pg_catalog.pg_stat_get_tuples_deleted(tree.relid)), 0)::float8 AS "n"
           FROM pg_catalog.unnest($1::int8[]) AS t (oid)
          CROSS JOIN LATERAL (SELECT t.oid::oid AS relid UNION SELECT relid FROM pg_catalog.pg_partition_tree(t.oid::oid)) tree`,
        [oids],
      );
      return row?.n ?? 0;
    });
  const before = await written();
  await sleep(WATCHED_SECONDS * 1_000);
  const changes = Math.max(0, (await written()) - before);
  const intervalSeconds = scope.stack?.plan.schedule.intervalSeconds ?? INTERVAL_SECONDS;
  const keys = Math.round(
    Math.min(MOST_KEYS, Math.max(FEWEST_KEYS, (changes / WATCHED_SECONDS) * intervalSeconds)),
  );
  return readOnly(session, LONGEST_MEASURE_MS, async ({ rows }) => {
    const [row] = await rows<{ definition: string }>(
      `SELECT pg_catalog.rtrim(pg_catalog.pg_get_viewdef($1::oid), ';') AS "definition"`,
      [patient.facts.oid],
    );
    const definition = row?.definition ?? "";
    const seconds = async (sql: string): Promise<number> => {
      const result = await rows<{ "QUERY PLAN": [{ "Execution Time": number }] }>(
        `EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) ${sql}`,
      );
      return (result[0]?.["QUERY PLAN"][0]["Execution Time"] ?? 0) / 1_000;
    };
    const key = restrictionKey.map(escapeIdentifier);
    const found = await rows<{ keys: unknown }>(
      `SELECT pg_catalog.json_agg(few) AS "keys" FROM (SELECT ${key.join(", ")} FROM ${patient.sql} LIMIT ${keys}) AS few`,
    );
    const values = JSON.stringify(found[0]?.keys ?? []).replaceAll("'", "''");
    const taken = `(SELECT ${key.join(", ")} FROM pg_catalog.json_populate_recordset(NULL::${patient.sql}, '${values}'))`;
    const isKeyed = key.length > 0;
    return {
      patient,
      wholeSeconds: await seconds(definition),
      keysSeconds: isKeyed
        ? await seconds(`SELECT * FROM (${definition}) AS q WHERE (${key.join(", ")}) IN ${taken}`)
        : await seconds(definition),
      keys,
      isAdditive: states.length > 0,
      changes,
      watchedSeconds: WATCHED_SECONDS,
    };
  });
}

export function judgeMeasured(measured: Measured, { stack }: Scope): Finding {
  const { patient, wholeSeconds, keysSeconds, keys, isAdditive, changes, watchedSeconds } = measured;
  const intervalSeconds = stack?.plan.schedule.intervalSeconds ?? INTERVAL_SECONDS;
  const times = wholeSeconds / Math.max(keysSeconds, 0.0005);
  const perTick = Math.round((changes / watchedSeconds) * intervalSeconds);
  return {
    name: "incremental-measured",
    grade: "worth knowing",
    view: patient.name,
    what: `computing it takes ${secondsText(wholeSeconds)}, ${saving(times, isAdditive, `for the ${countText(keys)} keys that a tick of ${secondsText(intervalSeconds)} changes at the most ${secondsText(keysSeconds)}`)}`,
    why: `Measured just now, with ${countText(changes)} rows written to its tables in ${watchedSeconds} s (${countText(perTick)} a tick). It is an estimate: a fold has some milliseconds of its own, and writers pay too.`,
    remedy: `npm run incremental -- plan --view ${shellName(patient.view)}`,
  };
}

function saving(times: number, isAdditive: boolean, forKeys: string): string {
  if (times >= 1.5)
    return `and ${forKeys}: about ${times < 10 ? times.toFixed(1) : countText(times)} times less`;
  if (isAdditive) return "and a fold would add up what changed and read at most a part of its tables again";
  return `and ${forKeys}: maintaining it would save little, unless an index leads with its key`;
}
