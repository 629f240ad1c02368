/** Brings the materialized view back as it was, from whatever state an apply or a revert was left in. */
import { escapeLiteral } from "pg";
import type { Session } from "../handler/connect";
import { FOLD_COMMENT, MAINTENANCE_SCHEMA, inSchema } from "../handler/maintained";
import { qualifiedName, quotedName, shellWord } from "../handler/names";
import { IncrementalFailure } from "./failure";
import { readDependents, type Dependent, type Obstacle } from "./install/dependents";
import { beforeRead, createAs, grantsOf, lockDown, temporaryNames } from "./install/dress";
import { foldSettings, keyIndexName } from "./install/fill";
import { ofReplication, throwAll } from "./install/hindrances";
import { historyRow, readHistory, type HistoryFacts } from "./install/historyRow";
import { catalogRows, describeRelation, type Described } from "./install/relation";
import { removeSteps } from "./install/remove";
import { runStep, runSteps, type Patience } from "./install/runner";
import {
  actAs,
  isPublished,
  isQueryGone,
  ours,
  readState,
  type Status,
  type ViewState,
} from "./install/state";
import type { Step } from "./install/step";
import { locksOfSwap, swapStatements, type Swap } from "./install/swap";
import { readTriggers } from "./install/triggers";
import type { QualifiedName } from "../handler/settings";

/**
 * `untouched`: nothing of incremental maintenance was there. `kept`: the query is gone, and the table stays as an
 * ordinary one. `gone`: there was neither view nor table, and all else was taken away.
 */
export type Reverted = "reverted" | "untouched" | "kept" | "gone";

/** What {@link revert} comes to from that state. */
export function endOfRevert(state: ViewState): Reverted {
  if (state.objects.length === 0) return "untouched";
  const kind = state.relation?.kind ?? "";
  if (!["m", "r"].includes(kind)) return "gone";
  return kind === "r" && isQueryGone(state) ? "kept" : "reverted";
}

/**
 * Where the query is gone, the published table stays with its rows and everything else goes.
 * @throws IncrementalFailure, with nothing changed, where something hangs on the table that cannot be moved.
 */
export async function revert(session: Session, view: QualifiedName, patience: Patience): Promise<Reverted> {
  const state = await readState(session, view);
  if (state.objects.length === 0) return "untouched";
  if (!state.mayAct) {
    throw new IncrementalFailure(
      `${qualifiedName(view)} is maintained by ${state.maintainer}, and ${state.currentUser} may not act as that role`,
      actAs(state.maintainer, state.isMaintainerSuperuser, state.currentUser),
    );
  }
  await assertRevertible(session, state);
  for (const step of await bringBackSteps(session, state)) await runStep(session, step, patience);
  const left = await readState(session, view);
  await runSteps(session, removeSteps(left, await readTriggers(session, left)), patience);
  return endOfRevert(state);
}

/** @throws IncrementalFailure, with nothing changed, within a blue/green switch, or where another maintained view reads it. */
export async function assertRevertible(session: Session, state: ViewState): Promise<void> {
  throwAll(await ofReplication(session));
  if (state.relation?.kind !== "r") return;
  const readers = await readersOf(session, state.relation.oid, state.names.base);
  const [first] = readers;
  if (first === undefined) return;
  throw new IncrementalFailure(
    `${qualifiedName(state.view)} is read by ${readers.join(", ")}, which its triggers tell what changed: revert ${first} first`,
    `npm run incremental -- revert --view ${shellWord(first)}`,
  );
}

/**
 * Names of other maintained views that log this one's changes or read it, as their folds' comments have them. One that
 * is half made has no comment, and is named by its objects.
 */
async function readersOf(session: Session, oid: number, base: string): Promise<string[]> {
  const rows = await catalogRows<{ name: string }>(
    session,
    `WITH ours AS (SELECT oid FROM pg_namespace WHERE nspname = '${MAINTENANCE_SCHEMA}'),
     bases AS (
       SELECT regexp_replace(p.proname, '__log_[0-9]+_write$', '') AS base
         FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN ours ON ours.oid = p.pronamespace
        WHERE t.tgrelid = ${oid}
       UNION
       SELECT regexp_replace(v.relname, '__query$', '')
         FROM pg_depend d JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
         JOIN pg_class v ON v.oid = r.ev_class JOIN ours ON ours.oid = v.relnamespace
        WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = ${oid} AND v.relname ~ '__query$'
          AND v.relname !~ '__(leaf|layer)_[0-9]+_query$'
     )
     SELECT coalesce((SELECT substr(obj_description(p.oid, 'pg_proc'), ${FOLD_COMMENT.length + 1})
                        FROM pg_proc p JOIN ours ON ours.oid = p.pronamespace WHERE p.proname = base || '__fold'),
                     base) AS "name"
       FROM bases WHERE base <> ${escapeLiteral(base)} ORDER BY 1`,
  );
  return rows.map(({ name }) => name);
}

/**
 * The steps that put the materialized view in the table's place; none where it is there, or nothing is. Where the query
 * is gone, the one that lets no fold run any more.
 */
export async function bringBackSteps(session: Session, state: ViewState): Promise<Step[]> {
  const { relation, status, view } = state;
  if (relation?.kind !== "r" || status === undefined) return [];
  if (!isPublished(state)) {
    throw new IncrementalFailure(
      `${qualifiedName(view)} is a table whose columns are not those of its query: not the one that was maintained`,
      `ALTER TABLE ${quotedName(view)} RENAME TO …;  -- then run this command again`,
    );
  }
  if (isQueryGone(state)) return [pauseStep(state)];
  const table = (await describeRelation(session, view)) as Described;
  const { dependents, obstacles } = await readDependents(session, relation.oid);
  refuse(view, dependents, obstacles);
  const history = await readHistory(session, view, state.maintainer);
  const query = await queryOf(session, state);
  const like = likeBefore(state, status, table);
  return [
    pauseStep(state),
    buildStep(state, like, query),
    swapBackStep(state, { status, table, like, dependents, history }),
  ];
}

function refuse(view: QualifiedName, dependents: Dependent[], obstacles: Obstacle[]): void {
  const stuck = [
    ...obstacles.map(({ what }) => what),
    ...dependents
      .filter(({ mayBeReplaced }) => !mayBeReplaced)
      .map(({ kind, ...name }) => `${kind} ${qualifiedName(name)}`),
  ];
  if (stuck.length === 0) return;
  throw new IncrementalFailure(
    `${stuck.join(", ")} cannot be moved from the table to the materialized view`,
    `drop it, run this command, and create it again on ${qualifiedName(view)}`,
  );
}

/**
 * Tables were renamed since, or columns: the query's view follows, the text of the time of apply does not. PostgreSQL
 * writes it as after a dump and restore: `varchar IN (…)` with its casts inside of the list.
 */
async function queryOf(session: Session, { names }: ViewState): Promise<string> {
  const [row] = await catalogRows<{ query: string }>(
    session,
    `SELECT rtrim(pg_get_viewdef(c.oid), '; ') AS "query" FROM pg_class c
      WHERE c.relname = ${escapeLiteral(names.query)} AND c.relnamespace = 'matview_refresh'::regnamespace`,
  );
  if (row === undefined) throw new IncrementalFailure(`the view ${inSchema(names.query)} is gone`);
  return row.query;
}

/** As it was, but with what somebody has given the table since: indexes, statistics, comments. */
function likeBefore({ names }: ViewState, { original }: Status, table: Described): Described {
  const { owner, options, accessMethod, replicaIdentity } = original.described;
  const indexes = table.indexes.filter(({ name }) => name !== keyIndexName(names));
  return { ...table, kind: "m", owner, options, accessMethod, replicaIdentity, indexes };
}

/** No fold from here on: the rows that readers see must not be newer than those that the view is built of. */
function pauseStep({ names, maintainer, view }: ViewState): Step {
  return {
    title: `pausing ${qualifiedName(view)}`,
    role: maintainer,
    lockFirst: [`LOCK TABLE ${inSchema(names.lock)} IN EXCLUSIVE MODE`],
    statements: [`UPDATE ${inSchema(names.status)} SET paused = true, phase = 'reverting'`],
    locks: [],
  };
}

function buildStep({ names, maintainer, view }: ViewState, like: Described, query: string): Step {
  const restored = ours(`${names.base}__restored`);
  return {
    title: `building the materialized view ${qualifiedName(view)}`,
    role: maintainer,
    statements: [
      foldSettings({ names }),
      `DROP MATERIALIZED VIEW IF EXISTS ${inSchema(restored.name)}`,
      ...createAs("m", restored, like, query),
      lockDown([restored]),
      ...beforeRead(restored, like, temporaryNames(names.base)),
      `UPDATE ${inSchema(names.status)} SET original = jsonb_set(original, '{rebuiltAt}', to_jsonb(now()))`,
    ],
    locks: [],
  };
}

function swapBackStep(
  { names, maintainer, view }: ViewState,
  facts: {
    status: Status;
    table: Described;
    like: Described;
    dependents: Dependent[];
    history: HistoryFacts;
  },
): Step {
  const { table, like, dependents, history } = facts;
  const swap: Swap = {
    old: table,
    parkedName: `${names.base}__old`,
    dependents,
    next: { kind: "m", at: ours(`${names.base}__restored`), owner: like.owner },
    like,
    names: temporaryNames(names.base),
    grants: grantsBefore(facts.status.original.described, table),
  };
  const status = inSchema(names.status);
  return {
    title: `putting the materialized view in the place of the table ${qualifiedName(view)}`,
    role: maintainer,
    refreshLockOf: { schema: view.schema, name: view.name, oid: table.oid },
    lockFirst: [`LOCK TABLE ${inSchema(names.lock)} IN EXCLUSIVE MODE`],
    statements: [
      ...swapStatements(swap, maintainer),
      ...historyRow(history, view, {
        refreshType: "regular",
        reason: "no longer incremental",
        asOf: `(SELECT (original ->> 'rebuiltAt')::timestamptz FROM ${status})`,
      }),
    ],
    locks: locksOfSwap(swap),
  };
}

/**
 * Reading as it is granted now, all else as it was. Who owns the table could not be granted what he had been, and who
 * owned the view needs no grant any more.
 */
function grantsBefore(original: Described, table: Described): Swap["grants"] {
  return [
    ...grantsOf(table).filter(
      ({ privilege, grantee }) => privilege === "SELECT" && grantee !== original.owner,
    ),
    ...grantsOf(original).filter(
      ({ privilege, grantee }) => privilege !== "SELECT" || grantee === table.owner,
    ),
  ];
}
