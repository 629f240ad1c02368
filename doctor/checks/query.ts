/** What the planner makes of each view's query, and functions in it that another version may not find. */
import { escapeIdentifier } from "pg";
import { READS } from "../../handler/catalog";
import { check, look } from "../check";
import type { Finding, Findings, NotSeen } from "../finding";
import type { Patient, Scope } from "../scope";

export interface QueryFacts {
  patient: Patient;
  /** Undefined where it may not be planned by who is logged in. */
  plan: PlanNode | undefined;
  functions: CalledFunction[];
}

export interface PlanNode {
  "Node Type": string;
  "Total Cost": number;
  "Workers Planned"?: number;
  Plans?: PlanNode[];
}

/** A function of somebody's own that the query calls. */
export interface CalledFunction {
  /** `public.vat(numeric)`. */
  name: string;
  isParallelSafe: boolean;
  /** Whether its body finds names by the search_path of whoever runs it. */
  dependsOnPath: boolean;
}

const FUNCTIONS = `
SELECT DISTINCT p.oid::regprocedure::text AS "name", p.proparallel = 's' AS "isParallelSafe",
       l.lanname IN ('sql', 'plpgsql') AND p.prosqlbody IS NULL
         AND NOT coalesce(p.proconfig::text LIKE '%search_path=%', false) AS "dependsOnPath"
  FROM pg_catalog.pg_rewrite r
  JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = r.oid
   AND d.refclassid = 'pg_catalog.pg_proc'::regclass
  JOIN pg_catalog.pg_proc p ON p.oid = d.refobjid
  JOIN pg_catalog.pg_language l ON l.oid = p.prolang
 WHERE r.ev_class = $1 AND p.oid >= 16384
 ORDER BY 1`;

export const query = check(
  "how each view's query is planned",
  async (reader, scope): Promise<{ queries: QueryFacts[]; notSeen: NotSeen[] }> => {
    const queries: QueryFacts[] = [];
    const notSeen: NotSeen[] = [];
    for (const patient of scope.patients) {
      const { oid, fold, relkind } = patient.facts;
      if (oid === null || (relkind !== "m" && fold === null)) continue;
      const reads = fold?.queryOid ?? oid;
      const functions = await reader.rows<CalledFunction>(FUNCTIONS, [reads]);
      const [row] = await reader.rows<{ definition: string }>(
        `SELECT pg_catalog.pg_get_viewdef($1::oid) AS "definition"`,
        [reads],
      );
      const grant = await grantFor(reader.rows, reads, scope.user);
      const asked = { what: "the plan of its query", view: patient.name, grant };
      const plans = await look(reader, scope, notSeen, asked, () =>
        reader.rows<{ "QUERY PLAN": [{ Plan: PlanNode }] }>(`EXPLAIN (FORMAT JSON) ${row?.definition}`),
      );
      queries.push({ patient, plan: plans?.[0]?.["QUERY PLAN"][0].Plan, functions });
    }
    return { queries, notSeen };
  },
  ({ queries, notSeen }, scope): Findings => ({
    findings: queries.flatMap((each) => judgeQuery(each, scope)),
    notSeen,
  }),
);

/** What whoever is logged in lacks to plan the query himself. */
async function grantFor(
  rows: <Row extends object>(sql: string, values: unknown[]) => Promise<Row[]>,
  oid: number,
  user: string,
): Promise<string> {
  const unreadable = await rows<{ name: string }>(
    `SELECT DISTINCT c.oid::regclass::text AS "name"
       FROM ${READS} reads JOIN pg_catalog.pg_class c ON c.oid = reads.source AND c.oid <> $1
      WHERE reads.reader = $1 AND c.relkind IN ('r', 'v', 'm', 'p', 'f')
        AND NOT pg_catalog.has_table_privilege(c.oid, 'SELECT') ORDER BY 1`,
    [oid],
  );
  const relations = unreadable.map(({ name }) => name).join(", ");
  return relations === ""
    ? `GRANT pg_read_all_data TO ${escapeIdentifier(user)};`
    : `GRANT SELECT ON ${relations} TO ${escapeIdentifier(user)};`;
}

/** From about this cost on, in the planner's units, a query takes long enough to be shared out. */
const EXPENSIVE = 100_000;
/** In this version a refresh began to run with a search_path of pg_catalog and pg_temp alone. */
const SAFE_PATH_SINCE = 170_000;

export function judgeQuery(
  { patient, plan, functions }: QueryFacts,
  { role, database, serverVersion }: Scope,
): Finding[] {
  const findings: Finding[] = [];
  const workers = plan === undefined ? 0 : workersOf(plan);
  const isKnowing = { grade: "worth knowing" as const, view: patient.name };
  if (workers > 0) {
    findings.push({
      ...isKnowing,
      name: "parallel",
      what: `its query is planned with ${workers} parallel worker${workers === 1 ? "" : "s"}`,
      why: "A refresh uses them since 14. They come out of max_parallel_workers, which the whole server shares.",
      remedy: `ALTER ROLE ${escapeIdentifier(role)} IN DATABASE ${escapeIdentifier(database)} SET max_parallel_workers_per_gather = 0;  -- only if others need them more`,
    });
  }
  const serial = functions.filter(({ isParallelSafe }) => !isParallelSafe);
  if (workers === 0 && serial.length > 0 && (plan?.["Total Cost"] ?? 0) > EXPENSIVE) {
    findings.push({
      ...isKnowing,
      name: "not-parallel",
      what: `its query is planned without parallel workers, and calls ${serial.map(({ name }) => name).join(", ")}, not marked as safe for them`,
      why: "One such function keeps the whole query to one process.",
      remedy: `${serial.map(({ name }) => `ALTER FUNCTION ${name} PARALLEL SAFE;`).join(" ")}  -- if they neither write nor depend on the session`,
    });
  }
  const lost = functions.filter(({ dependsOnPath }) => dependsOnPath);
  if (lost.length > 0 && patient.facts.relkind === "m") {
    const names = lost.map(({ name }) => name).join(", ");
    findings.push({
      ...isKnowing,
      name: "search-path",
      what: `its query calls ${names}, without a search_path of ${lost.length === 1 ? "its" : "their"} own`,
      why:
        serverVersion >= SAFE_PATH_SINCE
          ? "A refresh runs with pg_catalog alone: a name without a schema inside a function is not found there."
          : "From 17 on a refresh runs with pg_catalog alone: a name without a schema inside a function will not be found after an upgrade.",
      remedy: lost.map(({ name }) => `ALTER FUNCTION ${name} SET search_path = public, pg_temp;`).join(" "),
    });
  }
  return findings;
}

const workersOf = (node: PlanNode): number =>
  Math.max(node["Workers Planned"] ?? 0, ...(node.Plans ?? []).map(workersOf));
