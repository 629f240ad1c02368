/** Views that are maintained incrementally: what keeps them from folding, and what makes folding dear. */
import { escapeIdentifier } from "pg";
import { MOST_FULL_RUN_SHARE } from "../../components/plan/alarmPlan";
import { HISTORY_TABLE, type FoldFacts } from "../../handler/catalog";
import { maintainedNames, MAINTENANCE_SCHEMA } from "../../handler/maintained";
import { shellName } from "../../handler/names";
import { GENERATOR_VERSION } from "../../incremental/compile";
import { TABLES_CHANGED } from "../../incremental/fold";
import { check, look, lookQuietly } from "../check";
import { type Reader } from "../reader";
import type { Finding, Findings, NotSeen } from "../finding";
import type { Patient, Scope } from "../scope";
import { bytesText, countText, secondsText } from "../words";

export interface StatusRow {
  generatorVersion: number;
  phase: string;
  paused: boolean;
  drift: number;
  /** Seconds since drift was found last; null for never. */
  driftSeconds: number | null;
  shape: string | null;
}

export interface ChangeTable {
  /** As SQL. */
  name: string;
  heapBytes: number;
  /** By the statistics, which lag; exact where the table may be read. */
  liveRows: number;
  deadRows: number;
}

export interface MaintainedFacts {
  patient: Patient;
  status: StatusRow | undefined;
  /** What the view's own function says of its triggers and of the tables; undefined where it may not be called. */
  fingerprint: { shape: string; broken: string | null } | undefined;
  logs: ChangeTable[];
  triggers: { table: string; name: string; isFiring: boolean; log: string }[];
  /** Logs whose function no trigger calls. */
  untriggered: string[];
  /** Of the last day, and what the last one said of itself, whether it refreshed or failed. */
  runs: { full: number; all: number; reason: string | null; lastReason: string | null } | undefined;
  /** Roles that write without firing triggers; null for every role. */
  silentWriters: { role: string | null; isOfDatabase: boolean }[];
  subscribed: string[];
}

export const maintained = check(
  "how views are maintained",
  async (reader, scope): Promise<{ views: MaintainedFacts[]; notSeen: NotSeen[] }> => {
    const notSeen: NotSeen[] = [];
    const views: MaintainedFacts[] = [];
    for (const patient of scope.patients) {
      const { fold } = patient.facts;
      if (fold !== null) views.push(await readMaintained(reader, scope, notSeen, patient, fold));
    }
    return { views, notSeen };
  },
  ({ views, notSeen }, scope): Findings => ({
    findings: [...views.flatMap((view) => judgeMaintained(view, scope)), ...judgeSettings(scope)],
    notSeen,
  }),
);

async function readMaintained(
  reader: Reader,
  scope: Scope,
  notSeen: NotSeen[],
  patient: Patient,
  fold: FoldFacts,
): Promise<MaintainedFacts> {
  const { rows } = reader;
  const { base, fingerprint } = maintainedNames(patient.view);
  const user = escapeIdentifier(scope.user);
  const view = patient.name;
  const asked = {
    what: "whether it is paused or drifted",
    view,
    grant: `GRANT USAGE ON SCHEMA ${MAINTENANCE_SCHEMA} TO ${user}; GRANT SELECT ON ${fold.status} TO ${user};`,
  };
  const status = await look(reader, scope, notSeen, asked, () =>
    rows<StatusRow>(`
      SELECT generator_version AS "generatorVersion", phase AS "phase", paused AS "paused", coalesce(drift, 0)::float8 AS "drift",
             extract(epoch FROM pg_catalog.now() - drift_at)::float8 AS "driftSeconds",
             pg_catalog.to_jsonb(s) ->> 'shape' AS "shape" FROM ${fold.status} s`),
  );
  const call = `${MAINTENANCE_SCHEMA}.${escapeIdentifier(fingerprint)}`;
  const [may] = await rows<{ call: boolean }>(
    `SELECT coalesce(pg_catalog.has_schema_privilege(p.pronamespace, 'USAGE')
                     AND pg_catalog.has_function_privilege(p.oid, 'EXECUTE'), false) AS "call"
       FROM (SELECT) AS one LEFT JOIN pg_catalog.pg_proc p ON p.proname = $1
        AND p.pronamespace = pg_catalog.to_regnamespace('${MAINTENANCE_SCHEMA}')`,
    [fingerprint],
  );
  const print = may?.call
    ? await look(reader, scope, notSeen, { what: "its fingerprint", view }, () =>
        rows<{ shape: string; broken: string | null }>(
          `SELECT shape AS "shape", broken AS "broken" FROM ${call}()`,
        ),
      )
    : undefined;
  const logs = await rows<ChangeTable & { mayRead: boolean }>(
    `SELECT '${MAINTENANCE_SCHEMA}.' || pg_catalog.quote_ident(c.relname) AS "name",
            pg_catalog.pg_relation_size(c.oid)::float8 AS "heapBytes",
            pg_catalog.pg_stat_get_live_tuples(c.oid)::float8 AS "liveRows",
            pg_catalog.pg_stat_get_dead_tuples(c.oid)::float8 AS "deadRows",
            pg_catalog.has_table_privilege(c.oid, 'SELECT') AND pg_catalog.has_schema_privilege(c.relnamespace, 'USAGE') AS "mayRead"
       FROM pg_catalog.pg_class c
      WHERE c.relnamespace = pg_catalog.to_regnamespace('${MAINTENANCE_SCHEMA}') AND c.relkind = 'r'
        AND pg_catalog.starts_with(c.relname, $1) AND pg_catalog.substr(c.relname, pg_catalog.length($1) + 1) ~ '^[0-9]+$'
      ORDER BY 1`,
    [`${base}__log_`],
  );
  for (const log of logs.filter(({ mayRead }) => mayRead)) {
    const counted = await lookQuietly(reader, () =>
      rows<{ n: number }>(
        `SELECT count(*)::float8 AS "n" FROM (SELECT FROM ${log.name} LIMIT ${MOST_PENDING + 1}) AS few`,
      ),
    );
    log.liveRows = counted?.[0]?.n ?? log.liveRows;
  }
  const triggers = await rows<MaintainedFacts["triggers"][number] & { table: string | null }>(
    `SELECT t.tgrelid::regclass::text AS "table", t.tgname::text AS "name", t.tgenabled IN ('O', 'A') AS "isFiring",
            pg_catalog.left(p.proname::text, -pg_catalog.length('_write')) AS "log"
       FROM pg_catalog.pg_proc p LEFT JOIN pg_catalog.pg_trigger t ON t.tgfoid = p.oid
      WHERE p.pronamespace = pg_catalog.to_regnamespace('${MAINTENANCE_SCHEMA}')
        AND pg_catalog.starts_with(p.proname, $1) AND pg_catalog.substr(p.proname, pg_catalog.length($1) + 1) ~ '^[0-9]+_write$'
      ORDER BY 1, 2`,
    [`${base}__log_`],
  );
  const [silent] = await rows<{ roles: MaintainedFacts["silentWriters"]; tables: string[] }>(
    `SELECT (SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object('role', r.rolname, 'isOfDatabase', d.setdatabase <> 0)), '[]')
               FROM pg_catalog.pg_db_role_setting d LEFT JOIN pg_catalog.pg_roles r ON r.oid = d.setrole
              WHERE 'session_replication_role=replica' = ANY (d.setconfig)
                AND d.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()))) AS "roles",
            ARRAY(SELECT DISTINCT s.srrelid::regclass::text FROM pg_catalog.pg_subscription_rel s
                   WHERE s.srrelid::regclass::text = ANY ($1) ORDER BY 1) AS "tables"`,
    [triggers.map(({ table }) => table).filter((table) => table !== null)],
  );
  const runs = patient.facts.history.knowsFolds
    ? await lookQuietly(reader, () =>
        rows<NonNullable<MaintainedFacts["runs"]>>(
          `SELECT pg_catalog.count(*) FILTER (WHERE refresh_type = 'full')::int AS "full", pg_catalog.count(*)::int AS "all",
                  pg_catalog.mode() WITHIN GROUP (ORDER BY reason) FILTER (WHERE refresh_type = 'full') AS "reason",
                  (SELECT reason FROM ${HISTORY_TABLE} h WHERE h.view_schema = $1 AND h.view_name = $2
                    ORDER BY h.view_schema DESC, h.view_name DESC, h.id DESC LIMIT 1) AS "lastReason"
             FROM (SELECT refresh_type, reason FROM ${HISTORY_TABLE} h
                    WHERE h.view_schema = $1 AND h.view_name = $2 AND h.outcome = 'refreshed'
                      AND h.finished_at > pg_catalog.now() - interval '1 day'
                    ORDER BY h.id DESC LIMIT 1000) AS lately`,
          [patient.view.schema, patient.view.name],
        ),
      )
    : undefined;
  return {
    patient,
    status: status?.[0],
    fingerprint: print?.[0],
    logs,
    triggers: triggers.filter(({ table }) => table !== null),
    untriggered: triggers.filter(({ table }) => table === null).map(({ log }) => log),
    runs: runs?.[0],
    silentWriters: silent?.roles ?? [],
    subscribed: silent?.tables ?? [],
  };
}

/** Changes that a fold takes in about a second. */
const MOST_PENDING = 100_000;
const LEAST_BLOAT_BYTES = 8 * 2 ** 20;
/** Room that a change takes, with what a row and its page need: more than most do. */
const CHANGE_BYTES = 500;
const TRIGGERS = 4;
const RECENT_DRIFT_SECONDS = 7 * 86_400;
const LEAST_RUNS = 10;

export function judgeMaintained(facts: MaintainedFacts, { longSeconds }: Scope): Finding[] {
  const { patient, status, fingerprint, logs, runs } = facts;
  const { name: view, view: settings } = patient;
  const shell = shellName(settings);
  const findings: Finding[] = [];
  const add = (name: string, grade: Finding["grade"], what: string, why: string, remedy: string): void =>
    void findings.push({ name, grade, view, what, why, remedy });
  const apply = `npm run incremental -- apply --view ${shell}`;
  const full = settings.allowFullRuns === false ? "will fail" : "will hurt";
  const fullWhy =
    settings.allowFullRuns === false
      ? "What changes cannot be folded, and full runs are not allowed (allowFullRuns): every run is refused."
      : "What changes may be lost, so every run computes the whole view.";

  if (status?.phase !== undefined && status.phase !== "maintained") {
    add(
      "apply-broken-off",
      "will hurt",
      `apply or revert was broken off: it stands at ${status.phase}`,
      "Changes are logged, and nobody takes them.",
      `${apply}  # goes on; or: npm run incremental -- revert --view ${shell}`,
    );
  }
  if (status?.paused) {
    add(
      "paused",
      "will hurt",
      "it is paused",
      "No run folds anything: its data ages, and its change tables grow.",
      `npm run incremental -- resume --view ${shell}`,
    );
  }
  const broken = brokenTriggers(facts);
  if (broken !== undefined) {
    add(
      "triggers-broken",
      full,
      `its changes are not all logged: ${broken.what}`,
      fullWhy,
      broken.remedy ?? apply,
    );
  }
  // Who may not ask the fingerprint is told by what the last run said of it.
  const isShapeChanged =
    fingerprint !== undefined && status?.shape != null
      ? fingerprint.shape !== status.shape
      : runs?.lastReason?.includes(TABLES_CHANGED) === true;
  if (isShapeChanged) {
    add("shape-changed", full, "the tables it reads are not as they were when it was made", fullWhy, apply);
  }
  if (status !== undefined && status.generatorVersion < GENERATOR_VERSION) {
    add(
      "old-generator",
      "worth knowing",
      `its fold was generated by version ${status.generatorVersion}, and this is ${GENERATOR_VERSION}`,
      "It goes on working, without what later versions do better.",
      apply,
    );
  }
  if (status !== undefined && status.drift > 0) {
    const isRecent = status.driftSeconds !== null && status.driftSeconds < RECENT_DRIFT_SECONDS;
    add(
      "drift",
      isRecent ? "will hurt" : "worth knowing",
      `full runs found ${countText(status.drift)} rows wrong, the last ${status.driftSeconds === null ? "time unknown" : `${secondsText(status.driftSeconds)} ago`}`,
      "Something was written that no trigger saw: session_replication_role, a subscription, a table switched aside. They are right since.",
      `npm run incremental -- verify --view ${shell}  # and look for who writes past the triggers; until then a shorter fullEvery`,
    );
  }
  for (const { role, isOfDatabase } of facts.silentWriters) {
    const database = escapeIdentifier(patient.facts.database);
    const who = role === null ? "ALL" : escapeIdentifier(role);
    const whose =
      role === null && isOfDatabase
        ? `DATABASE ${database}`
        : `ROLE ${who}${isOfDatabase ? ` IN DATABASE ${database}` : ""}`;
    add(
      "silent-writer",
      "will hurt",
      `${role === null ? "every role" : `role ${role}`} has session_replication_role = replica: what it writes fires no trigger`,
      "Such changes are not logged. Full runs alone find them, as drift.",
      `ALTER ${whose} RESET session_replication_role;`,
    );
  }
  for (const table of facts.subscribed) {
    add(
      "silent-writer",
      "will hurt",
      `a subscription writes to ${table}`,
      "What it changes fires no statement trigger. Full runs alone find it, as drift.",
      `npm run incremental -- revert --view ${shell}  # or a shorter fullEvery in the stack's settings`,
    );
  }
  const pending = logs.reduce((sum, { liveRows }) => sum + liveRows, 0);
  if (pending > MOST_PENDING) {
    add(
      "changes-pending",
      "will hurt",
      `${logs.some(({ liveRows }) => liveRows > MOST_PENDING) ? "more than " : ""}${countText(Math.min(pending, MOST_PENDING))} changes wait to be folded, ${bytesText(logs.reduce((sum, { heapBytes }) => sum + heapBytes, 0))}`,
      "The next fold takes them all at once: it takes longer than others, and may run into its timeout.",
      status?.paused
        ? `npm run incremental -- resume --view ${shell}`
        : `npm run refresh -- --view ${shell} --timeout 3600`,
    );
  }
  for (const log of logs) {
    const bloated = log.heapBytes > LEAST_BLOAT_BYTES && log.heapBytes > 4 * log.liveRows * CHANGE_BYTES;
    if (!bloated) continue;
    add(
      "change-table-bloat",
      "will hurt",
      `its change table ${log.name} takes ${bytesText(log.heapBytes)} for ${countText(log.liveRows)} changes`,
      `Every fold reads all of it. Something that is open for long (from ${secondsText(longSeconds)} on it is told here), a slot or a standby kept VACUUM from removing what was folded.`,
      `VACUUM ${log.name};  -- end first what holds it back`,
    );
  }
  if (runs !== undefined && runs.all >= LEAST_RUNS && runs.full > MOST_FULL_RUN_SHARE * runs.all) {
    add(
      "full-runs",
      "will hurt",
      `${countText(runs.full)} of its last ${countText(runs.all)} runs computed it whole: ${runs.reason ?? "no reason is recorded"}`,
      "They cost what a refresh of a materialized view costs, and the triggers besides.",
      broken === undefined
        ? `${apply}  # where the reason is a change of its tables; else see docs/incremental.md`
        : (broken.remedy ?? apply),
    );
  }
  return findings;
}

/** From the view's own function where it may be asked, else from the catalog, which shows what is missing of what is left. */
function brokenTriggers({
  fingerprint,
  triggers,
  untriggered,
}: MaintainedFacts): { what: string; remedy?: string } | undefined {
  const disabled = triggers.filter(({ isFiring }) => !isFiring);
  const tables = [...new Set(triggers.map(({ table }) => table))];
  const incomplete = tables.filter(
    (table) => triggers.filter((one) => one.table === table).length % TRIGGERS !== 0,
  );
  const isMissing = incomplete.length > 0 || untriggered.length > 0;
  const enable = disabled
    .map(({ table, name }) => `ALTER TABLE ${table} ENABLE TRIGGER ${escapeIdentifier(name)};`)
    .join(" ");
  const remedy = !isMissing && enable !== "" ? { remedy: enable } : {};
  if (fingerprint !== undefined)
    return fingerprint.broken === null ? undefined : { what: fingerprint.broken, ...remedy };
  const parts = [
    ...disabled.map(({ table, name }) => `trigger ${name} of ${table} is disabled`),
    ...incomplete.map((table) => `triggers of ${table} are missing`),
    ...untriggered.map((log) => `no trigger writes to ${log}`),
  ];
  return parts.length === 0 ? undefined : { what: parts.join("; "), ...remedy };
}

/** Where the stack's settings and the database disagree about which views are maintained. */
export function judgeSettings({ stack, patients }: Scope): Finding[] {
  if (stack === undefined) return [];
  const { views } = stack.plan.settings;
  return patients.flatMap(({ view, name, facts }): Finding[] => {
    const index = stack.plan.views.findIndex((one) => one.schema === view.schema && one.name === view.name);
    const isConfigured = views[index]?.incremental !== undefined;
    if (facts.fold !== null && !isConfigured) {
      return [
        {
          name: "not-configured",
          grade: "worth knowing",
          view: name,
          what: `it is maintained incrementally, and the settings of stack ${stack.name} do not say so`,
          why: "It is folded all the same, and no alarm tells of drift or of too many full runs.",
          remedy: `pulumi config set --path 'views[${index}].incremental.fullEvery' "rate(1 day)" --stack ${stack.name} && pulumi up --stack ${stack.name}`,
        },
      ];
    }
    if (facts.fold === null && facts.relkind === "m" && isConfigured) {
      return [
        {
          name: "not-maintained",
          grade: "will hurt",
          view: name,
          what: `stack ${stack.name} has it as maintained incrementally, and it is a materialized view`,
          why: "Every run computes it whole.",
          remedy: `npm run incremental -- apply --view ${shellName(view)}`,
        },
      ];
    }
    return [];
  });
}
