/** Gives a maintained view what is generated for it now, without a new fill: one full run takes the changes over. */
import { escapeLiteral } from "pg";
import { inSchema } from "../../handler/maintained";
import type { Session } from "../../handler/connect";
import { qualifiedName } from "../../handler/names";
import type { QualifiedName } from "../../handler/settings";
import { IncrementalFailure } from "../failure";
import type { Maintenance, TableLog } from "../maintenance";
import { foldLocks, keyIndexSteps } from "./fill";
import { announce, createLog, createState, generatedBy, protect } from "./objects";
import { describeRelation } from "./relation";
import { runStep, runSteps, type Patience } from "./runner";
import { ours, readState, type Generated, type Status, type ViewState } from "./state";
import type { Step } from "./step";
import { dropStaleSteps, readTriggers, triggerSteps } from "./triggers";

/** Also brings back a view whose revert was broken off before the materialized view was in place. */
export async function upgrade(
  session: Session,
  maintenance: Maintenance,
  { state, roleOf }: { state: ViewState; roleOf: (relation: QualifiedName) => string },
  patience: Patience,
): Promise<void> {
  const { status } = state;
  if (status === undefined) throw new IncrementalFailure(`${qualifiedName(state.view)} is not maintained`);
  // Before the functions are replaced: one that writes another table's log would take each write for one that it cannot
  // log. From here on a trigger is missing, and folds run in full.
  await runSteps(
    session,
    dropStaleSteps(await readTriggers(session, state), maintenance.logs, state),
    patience,
  );
  const now = await readState(session, state.view);
  await runStep(session, regenerateStep(maintenance, now, status), patience);
  const there = await readTriggers(session, await readState(session, state.view));
  await runSteps(session, triggerSteps(maintenance.logs, there, roleOf), patience);
  const published = await describeRelation(session, state.view);
  if (published !== undefined) {
    await runSteps(session, keyIndexSteps(maintenance, state, published), patience);
  }
  await runStep(session, fullRunStep(maintenance, state, status), patience);
}

/**
 * Functions are replaced as they are; a log or a state only where it would be another table. From here to the full run
 * an empty shape lets every fold run in full, since changes were dropped with their log.
 */
function regenerateStep(maintenance: Maintenance, state: ViewState, status: Status): Step {
  const { names, logs, view } = maintenance;
  const before = status.original.generated;
  const after = generatedBy(maintenance);
  const isNew = (name: string): boolean => before.logs[name] !== after.logs[name];
  const original = { ...status.original, generated: after };
  return {
    title: `making anew what maintains ${qualifiedName(view)}`,
    role: state.maintainer,
    lockFirst: [`LOCK TABLE ${inSchema(names.lock)} IN EXCLUSIVE MODE`],
    statements: [
      `DROP MATERIALIZED VIEW IF EXISTS ${inSchema(`${names.base}__restored`)}`,
      ...logs.flatMap((log) =>
        isNew(log.name)
          ? [`DROP TABLE IF EXISTS ${inSchema(log.name)}`, ...createLog(log)]
          : [log.createFunction],
      ),
      ...replaceStates(maintenance, state, before, after),
      ...dropFormerLogs(maintenance, state),
      ...dropFunctions(state),
      maintenance.createFingerprint,
      maintenance.createFold,
      ...protect(maintenance, state),
      ...announce(maintenance, state),
      `UPDATE ${inSchema(names.status)}
   SET generator_version = ${maintenance.generatorVersion}, phase = 'maintained', shape = '',
       original = ${escapeLiteral(JSON.stringify(original))}`,
    ],
    locks: [
      ...logs.map(({ table }) => ({ relation: table, mode: "AccessShareLock" }) as const),
      ...logs
        .filter(({ name }) => isNew(name) && name in before.logs)
        .map(({ name }) => ({ relation: ours(name), mode: "AccessExclusiveLock" }) as const),
    ],
  };
}

/** Of tables that left the query. Their triggers are gone. */
function dropFormerLogs({ logs }: Maintenance, { objects, names }: ViewState): string[] {
  const isFormer = (name: string, isOfNow: (log: TableLog) => boolean): boolean =>
    name.startsWith(`${names.base}__log_`) && !logs.some(isOfNow);
  return objects.flatMap(({ name, kind }) => {
    if (kind === "trigger function" && isFormer(name, (log) => log.function === name)) {
      return [`DROP FUNCTION ${inSchema(name)}`];
    }
    if (kind === "table" && isFormer(name, (log) => log.name === name))
      return [`DROP TABLE ${inSchema(name)}`];
    return [];
  });
}

/** A function of another version may have other arguments, and then would stay beside the new one. */
function dropFunctions({ objects }: ViewState): string[] {
  const names = objects.filter(({ kind }) => kind === "function").map(({ name }) => inSchema(name));
  return names.length === 0 ? [] : [`DROP FUNCTION ${names.join(", ")}`];
}

function replaceStates(
  { states }: Maintenance,
  { objects }: ViewState,
  before: Generated,
  after: Generated,
): string[] {
  if (before.states === after.states) return [];
  const old = objects.filter(({ name }) => /__(leaf|layer)_\d+(_query)?$/.test(name));
  const namesOf = (kind: "view" | "table"): string =>
    old
      .filter((each) => each.kind === kind)
      .map(({ name }) => inSchema(name))
      .join(", ");
  return [
    ...(namesOf("view") === "" ? [] : [`DROP VIEW ${namesOf("view")}`]),
    ...(namesOf("table") === "" ? [] : [`DROP TABLE ${namesOf("table")}`]),
    ...states.flatMap(createState),
  ];
}

/** What was dropped is no drift: the counts stay as they were. Somebody's pause stays too. */
function fullRunStep(maintenance: Maintenance, state: ViewState, status: Status): Step {
  const { names, view } = maintenance;
  const table = inSchema(names.status);
  const wasPaused = status.phase === "maintained" && status.paused;
  return {
    title: `running ${qualifiedName(view)} in full`,
    role: state.maintainer,
    hasOneSnapshot: true,
    lockFirst: foldLocks(maintenance),
    statements: [
      `UPDATE ${table} SET paused = false, (shape, content) = (SELECT shape, content FROM ${inSchema(names.fingerprint)}())`,
      `DO $full$
DECLARE done record;
BEGIN
  SELECT * INTO done FROM ${inSchema(names.fold)}(true, interval '100 years', true);
  IF done.kind IS DISTINCT FROM 'full' THEN RAISE EXCEPTION 'the full run ended as % (%)', done.kind, done.reason; END IF;
END $full$`,
      `UPDATE ${table} SET paused = ${wasPaused}, last_full_reason = 'apply was run again',
       drift = ${status.drift ?? "NULL"}, drift_at = ${status.driftAt === null ? "NULL" : escapeLiteral(status.driftAt)}`,
    ],
    locks: maintenance.logs.map(({ table: base }) => ({ relation: base, mode: "AccessShareLock" })),
  };
}
