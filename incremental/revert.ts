/** Brings the materialized view back as it was, from whatever state an apply or a revert was left in. */
import { escapeLiteral } from "pg";
import type { Session } from "../handler/connect";
import { qualifiedName, quotedName } from "../handler/names";
import { IncrementalFailure } from "./failure";
import { readDependents, type Dependent, type Obstacle } from "./install/dependents";
import { beforeRead, createAs, grantsOf, lockDown, temporaryNames } from "./install/dress";
import { foldSettings, keyIndexName } from "./install/fill";
import { historyRow, readHistory, type HistoryFacts } from "./install/historyRow";
import { catalogRows, describeRelation, type Described } from "./install/relation";
import { removeSteps } from "./install/remove";
import { runStep, runSteps, type Patience } from "./install/runner";
import { inSchema, isPublished, ours, readState, type Status, type ViewState } from "./install/state";
import type { Step } from "./install/step";
import { locksOfSwap, refreshLock, swapStatements, type Swap } from "./install/swap";
import { readTriggers } from "./install/triggers";
import type { QualifiedName } from "../handler/settings";

/** `untouched`: nothing of incremental maintenance was there. */
export type Reverted = "reverted" | "untouched";

/** @throws IncrementalFailure, with nothing changed, where something hangs on the table that cannot be moved. */
export async function revert(session: Session, view: QualifiedName, patience: Patience): Promise<Reverted> {
  const state = await readState(session, view);
  if (state.objects.length === 0) return "untouched";
  if (!state.mayAct) {
    throw new IncrementalFailure(
      `${qualifiedName(view)} is maintained by ${state.maintainer}, and ${state.currentUser} may not act as that role`,
    );
  }
  for (const step of await bringBackSteps(session, state)) await runStep(session, step, patience);
  const left = await readState(session, view);
  await runSteps(session, removeSteps(left, await readTriggers(session, left)), patience);
  return "reverted";
}

/** The steps that put the materialized view in the table's place; none where it is there, or nothing is. */
export async function bringBackSteps(session: Session, state: ViewState): Promise<Step[]> {
  const { relation, status, view } = state;
  if (relation?.kind !== "r" || status === undefined) return [];
  if (!isPublished(state)) {
    throw new IncrementalFailure(
      `${qualifiedName(view)} is a table whose columns are not those of its query: not the one that was maintained`,
      `ALTER TABLE ${quotedName(view)} RENAME TO …;  -- then run this command again`,
    );
  }
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
    advisoryLock: refreshLock(table.oid),
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
