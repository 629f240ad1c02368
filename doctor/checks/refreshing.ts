/** Whether each view can be refreshed, and how: by the rules of the function itself. */
import { escapeIdentifier } from "pg";
import type { ViewFacts } from "../../handler/catalog";
import { findNullKeys, suggestGrants, suggestIndex } from "../../handler/diagnose";
import { RefreshFailure } from "../../handler/failure";
import { assertRefreshable, chooseMode, type Mode, type RefreshableFacts } from "../../handler/mode";
import { shellName } from "../../handler/names";
import { check, look } from "../check";
import type { Finding, Findings, NotSeen } from "../finding";
import type { Patient, Scope } from "../scope";

interface Examined {
  patient: Patient;
  indexRemedy: string | undefined;
  /** What the owner needs to read what the query reads; undefined where nothing is lacking. */
  ownerGrants: string | undefined;
  /** Undefined where they could not be looked for. */
  nullKeys: string[] | undefined;
}

export const refreshing = check(
  "how each view is refreshed",
  async (reader, scope) => {
    const notSeen: NotSeen[] = [];
    const examined: Examined[] = [];
    for (const patient of scope.roleExists ? scope.patients : []) {
      const { facts, sql, name } = patient;
      if (facts.oid === null || (facts.relkind !== "m" && facts.fold === null)) {
        examined.push({ patient, indexRemedy: undefined, ownerGrants: undefined, nullKeys: undefined });
        continue;
      }
      const isConcurrent = facts.fold === null && facts.populated && facts.usableIndexes.length > 0;
      const grant = `GRANT SELECT ON ${sql} TO ${escapeIdentifier(scope.user)};`;
      examined.push({
        patient,
        indexRemedy: await suggestIndex(reader.session, facts as RefreshableFacts),
        ownerGrants: await suggestGrants(reader.session, facts.fold?.queryOid ?? facts.oid, facts.owner),
        nullKeys: isConcurrent
          ? await look(reader, scope, notSeen, { what: "NULL in its unique key", view: name, grant }, () =>
              findNullKeys(reader.session, facts as RefreshableFacts),
            )
          : [],
      });
    }
    return { examined, notSeen };
  },
  ({ examined, notSeen }, scope): Findings => ({
    findings: examined.flatMap((each) => judgeView(each, scope)),
    notSeen,
  }),
);

const NAMES: Record<string, string> = {
  "3F000": "view-missing",
  "42P01": "view-missing",
  "0A000": "not-a-materialized-view",
  "42809": "not-a-materialized-view",
  "42501": "may-not-refresh",
};

export function judgeView(
  { patient, indexRemedy, ownerGrants, nullKeys }: Examined,
  scope: Scope,
): Finding[] {
  const { view, name, sql, facts } = patient;
  const findings: Finding[] = [];
  const isThere = (of: ViewFacts): of is RefreshableFacts => of.oid !== null && of.relkind === "m";
  let mode: Mode | undefined;
  findings.push(
    ...refused(name, undefined, () => assertRefreshable(view, facts)),
    // Whoever is to be given the right should know at once what it will be good for.
    ...refused(name, "readers-would-be-blocked", () => {
      if (isThere(facts)) mode = chooseMode(view, facts, indexRemedy);
    }),
  );
  if (ownerGrants !== undefined) {
    findings.push({
      name: "owner-may-not-read",
      grade: "will fail",
      view: name,
      what: `its owner ${facts.owner} may not read what the view's query reads`,
      why: "The query runs as the owner, whoever refreshes: it ends with SQLSTATE 42501.",
      remedy: ownerGrants,
    });
  }
  if (mode?.type === "regular") findings.push(notConcurrent(patient, mode));
  if (facts.fold !== null && indexRemedy !== undefined) {
    findings.push({
      name: "no-unique-index",
      grade: "will hurt",
      view: name,
      what: "the table that readers get has no unique index",
      why: "Each fold looks through all of it for the rows of what changed.",
      remedy: indexRemedy,
    });
  }
  if (nullKeys !== undefined && nullKeys.length > 0) {
    const [column] = nullKeys;
    findings.push({
      name: "null-in-unique-key",
      grade: "will hurt",
      view: name,
      what: `its unique key holds NULL (${nullKeys.join(", ")})`,
      why: "A concurrent refresh compares keys by =, which no NULL satisfies: it deletes and inserts such rows every time.",
      remedy: `SELECT count(*) FROM ${sql} WHERE ${column} IS NULL;  -- then have the query give coalesce(${column}, …), or another key`,
    });
  }
  return [...findings, ...ofStatistics(patient, scope)];
}

/** What the function would end with before it tries anything. */
function refused(view: string, named: string | undefined, decide: () => void): Finding[] {
  try {
    decide();
    return [];
  } catch (error) {
    if (!(error instanceof RefreshFailure)) throw error;
    const { code, problem, remedy } = error;
    return [
      {
        name: named ?? NAMES[code] ?? "cannot-refresh",
        grade: "will fail",
        view,
        what: problem,
        why: `Every refresh ends with SQLSTATE ${code}, and readers keep what they have.`,
        remedy,
      },
    ];
  }
}

function notConcurrent({ name, view, sql, facts }: Patient, mode: Mode): Finding {
  if (!facts.populated) {
    return {
      name: "never-populated",
      grade: "will hurt",
      view: name,
      what: "it has never been populated",
      why: "Whoever reads it gets an error (SQLSTATE 55000) until its first refresh, which cannot be concurrent.",
      remedy: `npm run refresh -- --view ${shellName(view)}`,
    };
  }
  return {
    name: facts.usableIndexes.length === 0 ? "no-unique-index" : "no-temporary-tables",
    grade: "will hurt",
    view: name,
    what: `it is not refreshed concurrently: ${mode.reason}`,
    why: "Each refresh locks its readers out while it runs, and waits for every reader before it begins.",
    remedy: mode.remedy ?? `CREATE UNIQUE INDEX CONCURRENTLY ON ${sql} (…);`,
  };
}

/** After a refresh the function reads the statistics relation, or counts the view's rows. */
function ofStatistics({ name, view, sql, facts }: Patient, { role }: Scope): Finding[] {
  const isThere = facts.oid !== null && facts.mayUseSchema;
  const who = escapeIdentifier(role);
  if (!isThere || mayCount(view.statistics !== undefined, facts)) return [];
  const relation = view.statistics
    ? `${escapeIdentifier(view.statistics.schema)}.${escapeIdentifier(view.statistics.name)}`
    : sql;
  return [
    {
      name: "statistics-unreadable",
      grade: "worth knowing",
      view: name,
      what: view.statistics
        ? `role ${role} may not read ${relation}, its statistics, or they are not there`
        : `role ${role} may not read it, and so cannot count its rows`,
      why: "Refreshes go on; log and answer have no figures.",
      remedy: `GRANT SELECT ON ${relation} TO ${who};`,
    },
  ];
}

const mayCount = (hasStatistics: boolean, { statisticsReadable, viewReadable }: ViewFacts): boolean =>
  hasStatistics ? statisticsReadable : viewReadable;
