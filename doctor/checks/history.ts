/** Whether refreshes are recorded, and what the record tells of the last ones. */
import { escapeIdentifier } from "pg";
import { HISTORY_TABLE } from "../../handler/catalog";
import { shellName } from "../../handler/names";
import { SQLSTATE_RULES } from "../../handler/remedies";
import { check, look } from "../check";
import { type Reader } from "../reader";
import type { Finding, Findings, NotSeen } from "../finding";
import { ageSeconds, agesByHour, readRuns, type Runs } from "../runs";
import type { Patient, Scope, StackScope } from "../scope";
import { configCommand, secondsText } from "../words";

interface HistoryFacts {
  exists: boolean;
  /** Days since the oldest row. */
  oldestDays: number | undefined;
  runs: Runs[] | undefined;
  notSeen: NotSeen[];
}

const MIGRATE = "npm run migrate -- --product";
const DEFAULT_RETENTION_DAYS = 30;

export const history = check(
  "the history of refreshes",
  async (reader, scope): Promise<HistoryFacts> => {
    const [found] = await reader.rows<{ exists: boolean }>(
      `SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                       WHERE n.nspname = 'public' AND c.relname = 'matview_refresh_history' AND c.relkind IN ('r', 'p')) AS "exists"`,
    );
    const notSeen: NotSeen[] = [];
    if (!found?.exists) return { exists: false, oldestDays: undefined, runs: undefined, notSeen };
    const grant = `GRANT SELECT ON ${HISTORY_TABLE} TO ${escapeIdentifier(scope.user)};`;
    const read = await look(
      reader,
      scope,
      notSeen,
      { what: "what became of the last refreshes", grant },
      async () => ({
        runs: await readRuns(
          reader,
          scope.patients.map(({ view }) => view),
        ),
        oldestDays: await oldestDays(reader),
      }),
    );
    return { exists: true, oldestDays: read?.oldestDays, runs: read?.runs, notSeen };
  },
  (facts, scope): Findings => ({
    findings: [
      ...judgeTable(facts, scope),
      ...(facts.runs ?? []).flatMap((runs, n) => judgeRuns(runs, scope.patients[n], scope)),
    ],
    notSeen: facts.notSeen,
  }),
);

async function oldestDays({ rows }: Reader): Promise<number | undefined> {
  const [oldest] = await rows<{ days: number }>(
    `SELECT (extract(epoch FROM pg_catalog.now() - finished_at) / 86400)::float8 AS "days"
       FROM ${HISTORY_TABLE} ORDER BY id LIMIT 1`,
  );
  return oldest?.days;
}

function judgeTable(
  { exists, oldestDays: days }: HistoryFacts,
  { patients, role, roleExists, stack }: Scope,
): Finding[] {
  if (!exists) {
    return [
      {
        name: "no-history",
        grade: "will hurt",
        what: `refreshes are not recorded: ${HISTORY_TABLE} is not there`,
        why: "PostgreSQL does not know when a view was refreshed. Without the table nobody can tell how old the data is.",
        remedy: MIGRATE,
      },
    ];
  }
  const findings: Finding[] = [];
  const access = patients[0]?.facts.history;
  if (access === undefined || !roleExists) return findings;
  const lacking = [
    ...(access.maySelect ? [] : ["SELECT"]),
    ...(access.mayInsert ? [] : ["INSERT"]),
    ...(access.mayDelete ? [] : ["DELETE"]),
  ];
  if (lacking.length > 0) {
    const who = escapeIdentifier(role);
    findings.push({
      name: "history-not-writable",
      grade: access.mayInsert ? "worth knowing" : "will hurt",
      what: `role ${role} has no ${lacking.join(", ")} on ${HISTORY_TABLE}`,
      why: access.mayInsert
        ? "Refreshes are recorded; ages of views that read other views are unknown, or old rows are never deleted."
        : "Refreshes go on and are not recorded: nobody can tell how old the data is.",
      remedy: `GRANT USAGE ON SCHEMA public TO ${who}; GRANT ${lacking.join(", ")} ON ${HISTORY_TABLE} TO ${who};`,
    });
  }
  if (!access.knowsFolds && patients.some(({ facts }) => facts.oid !== null)) {
    const isNeeded = patients.some(({ facts }) => facts.fold !== null);
    findings.push({
      name: "history-old",
      grade: isNeeded ? "will hurt" : "worth knowing",
      what: `${HISTORY_TABLE} is older than this version`,
      why: "It has no columns for what a fold did: changes, drift, and why a run was full.",
      remedy: MIGRATE,
    });
  }
  const retentionDays = stack?.plan.settings.historyRetentionDays ?? DEFAULT_RETENTION_DAYS;
  if (days !== undefined && days > 2 * retentionDays) {
    findings.push({
      name: "history-not-deleted",
      grade: "worth knowing",
      what: `its oldest row is ${Math.round(days)} days old, and rows are kept for ${retentionDays}`,
      why: "Whoever refreshes deletes old rows; here nobody does, or may. Nothing is slower for it; the table grows.",
      remedy: `DELETE FROM ${HISTORY_TABLE} WHERE finished_at < now() - interval '${retentionDays} days';  -- once, as its owner`,
    });
  }
  return findings;
}

const FAILED_TICKS = 3;
/** The longest promise that the setting takes: a week. */
const MOST_STALENESS_SECONDS = 604_800;

export function judgeRuns(runs: Runs, patient: Patient | undefined, { stack, address }: Scope): Finding[] {
  if (patient === undefined || !runs.exists) return [];
  const { name, view, sql, facts } = patient;
  const { last, nowMs } = runs;
  const findings: Finding[] = [];
  const refreshNow = `npm run refresh -- --view ${shellName(view)}`;
  if (last?.outcome === "failed") {
    const count = Math.max(1, runs.failuresInARow);
    const context = { address, auth: "", connected: true, connectionLost: false, view: name, viewSql: sql };
    const remedy = SQLSTATE_RULES[last.sqlstate ?? ""]?.remedy(context) ?? refreshNow;
    findings.push({
      name: "failing",
      grade: count >= (stack?.plan.failedTicks ?? FAILED_TICKS) ? "will fail" : "will hurt",
      view: name,
      what: `${count === 1 ? "its last run" : `its last ${count} runs`} failed: ${last.reason ?? "no reason is recorded"}${last.sqlstate === null ? "" : ` (${last.sqlstate})`}`,
      why: `That was ${secondsText((nowMs - last.atMs) / 1_000)} ago; readers have ${ageText(runs)}.`,
      remedy: remedy === "npm run refresh" ? refreshNow : remedy,
    });
  }
  if (last === null && facts.oid !== null) {
    findings.push({
      name: "never-refreshed",
      grade: "worth knowing",
      view: name,
      what: "no refresh of it is recorded",
      why: "How old its data is cannot be told, nor how long a refresh takes.",
      remedy: refreshNow,
    });
  }
  const age = ageSeconds(runs);
  if (stack !== undefined && age !== null && age > stack.plan.maxStalenessSeconds) {
    const { rule, maxStalenessSeconds } = stack.plan;
    const isSilent = last !== null && (nowMs - last.atMs) / 1_000 > maxStalenessSeconds;
    findings.push({
      name: "late",
      grade: "will hurt",
      view: name,
      what: `its data is ${secondsText(age)} old, and the stack promises ${secondsText(maxStalenessSeconds)}`,
      why: isSilent
        ? `No run of it ended in the last ${secondsText((nowMs - (last?.atMs ?? nowMs)) / 1_000)}: the schedule is off, or the function cannot start.`
        : "Runs come, and do not refresh it.",
      remedy: isSilent
        ? `aws events enable-rule --name ${rule.name}  # and look at the log ${stack.plan.names.logGroup}`
        : refreshNow,
    });
  } else if (stack !== undefined) findings.push(...judgeAges(runs, name, stack));
  return findings;
}

/** Whether the promise was kept through the last day, told where it is kept just now. */
function judgeAges(runs: Runs, view: string, { name, plan }: StackScope): Finding[] {
  const { maxStalenessSeconds } = plan;
  const ages = agesByHour(runs).filter((age) => age !== null);
  const broken = ages.filter((age) => age > maxStalenessSeconds);
  if (broken.length === 0) return [];
  const worst = Math.max(...broken);
  const keepable = Math.min(MOST_STALENESS_SECONDS, Math.ceil((worst * 1.2) / 60) * 60);
  return [
    {
      name: "promise",
      grade: "will hurt",
      view,
      what: `in ${broken.length} of the last 24 hours its data was older than the promised ${secondsText(maxStalenessSeconds)}, up to ${secondsText(worst)}`,
      why: "The stale alarm goes off at that. Either something is in the way of refreshes, or the stack promises what it cannot keep.",
      remedy: `${configCommand(name, "maxStalenessSeconds", keepable)}  # to promise what was kept; why it was not: npm run status -- --stack ${name} --json`,
    },
  ];
}

const ageText = (runs: Runs): string => {
  const age = ageSeconds(runs);
  return age === null ? "data of unknown age" : `data of ${secondsText(age)} ago`;
};
