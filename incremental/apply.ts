/** Makes a materialized view incremental, in three phases, each of which can be broken off and gone on with. */
import { isDeepStrictEqual } from "node:util";
import type { Session } from "../handler/connect";
import { qualifiedName } from "../handler/names";
import type { QualifiedName } from "../handler/settings";
import { IncrementalFailure } from "./failure";
import type { Dependent } from "./install/dependents";
import { catchUpStep, fillStep, MORE_THAN_A_FOLD, swapStep } from "./install/fill";
import { assertPossible, judge, type Circumstances } from "./install/hindrances";
import { generatedBy, loggingStep } from "./install/objects";
import { describeRelation, type Described } from "./install/relation";
import { removeSteps } from "./install/remove";
import { runStep, runSteps, type Patience } from "./install/runner";
import { isQueryGone, readState, type Original, type ViewState } from "./install/state";
import { readTriggerRights, readTriggers, triggerRoles, triggerSteps } from "./install/triggers";
import { upgrade } from "./install/upgrade";
import type { Maintenance } from "./maintenance";

/** `made`: it is maintained now. `upgraded`: it was, and has been given what is generated now. */
export type Applied = "made" | "upgraded";

/** More changes that cannot be folded than this, each just before a swap, are no accident. */
const MOST_SWAPS = 10;

/**
 * Goes on wherever an earlier call was broken off.
 * @throws IncrementalFailure, with nothing changed where the view cannot be swapped; the server's error otherwise.
 */
export async function apply(
  session: Session,
  maintenance: Maintenance,
  patience: Patience,
): Promise<Applied> {
  const { view } = maintenance;
  const circumstances = await judge(session, view);
  assertPossible(circumstances);
  const roleOf = triggerRoles(
    await readTriggerRights(session, maintenance.logs, circumstances.state),
    circumstances.state,
  );
  if (circumstances.state.relation?.kind === "r") {
    await upgrade(session, maintenance, { state: circumstances.state, roleOf }, patience);
    return "upgraded";
  }
  if (circumstances.history.exists && circumstances.history.writer === undefined) {
    patience.report(
      "  the age of the view is not known until its next refresh: nobody here may write history",
    );
  }
  await startLogging(session, maintenance, { ...circumstances, roleOf }, patience);
  await fillAndSwap(session, maintenance, patience);
  return "made";
}

/** Phase a. What an earlier version, or an earlier shape of the tables, has left unfinished is begun anew. */
async function startLogging(
  session: Session,
  maintenance: Maintenance,
  { state: found, dependents, roleOf }: Circumstances & { roleOf: (relation: QualifiedName) => string },
  patience: Patience,
): Promise<void> {
  let state = found;
  if (!isUnderWay(state, maintenance)) {
    await runSteps(session, removeSteps(state, await readTriggers(session, state)), patience);
    state = await readState(session, maintenance.view);
    const described = await describedView(session, maintenance);
    const original = originalOf(maintenance, described, dependents);
    await runStep(session, loggingStep(maintenance, state, original), patience);
    state = await readState(session, maintenance.view);
  }
  const there = await readTriggers(session, state);
  await runSteps(session, triggerSteps(maintenance.logs, there, roleOf), patience);
}

function isUnderWay(state: ViewState, maintenance: Maintenance): boolean {
  const { status } = state;
  if (isQueryGone(state) || status === undefined || !["logging", "filled"].includes(status.phase))
    return false;
  return isDeepStrictEqual(status.original.generated, generatedBy(maintenance));
}

async function describedView(session: Session, { view }: Maintenance): Promise<Described> {
  const described = await describeRelation(session, view);
  if (described?.kind !== "m") throw new IncrementalFailure(`${qualifiedName(view)} was replaced meanwhile`);
  return described;
}

/** Phases b and c. */
async function fillAndSwap(session: Session, maintenance: Maintenance, patience: Patience): Promise<void> {
  for (let tries = 1; ; tries++) {
    const circumstances = await judge(session, maintenance.view);
    assertPossible(circumstances);
    const { state, dependents, history } = circumstances;
    const described = await describedView(session, maintenance);
    const original = originalOf(maintenance, described, dependents);
    if (state.status?.phase !== "filled" || !isFilledLike(state.status.original, original)) {
      await runStep(session, fillStep(maintenance, state, original), patience);
    }
    try {
      await runStep(session, catchUpStep(maintenance, state), patience);
      await runStep(session, swapStep(maintenance, state, { original, dependents, history }), patience);
      return;
    } catch (error) {
      // A TRUNCATE, or a flood of changes, between the two.
      if ((error as { code?: string }).code !== MORE_THAN_A_FOLD || tries === MOST_SWAPS) throw error;
      patience.report(`  ${(error as Error).message}`);
    }
  }
}

/** What revert will need, as it is now. */
export function originalOf(
  maintenance: Maintenance,
  described: Described,
  dependents: Dependent[],
): Original {
  return {
    view: maintenance.view,
    described,
    dependents: dependents.map(({ schema, name }) => ({ schema, name })),
    generated: generatedBy(maintenance),
  };
}

/** Whether what was built with the fill is what the view has now. */
function isFilledLike(then: Original, now: Original): boolean {
  const built = ({ described: { oid, indexes, statistics, options, columns, query } }: Original): string =>
    JSON.stringify([
      [oid, options, query, statistics.map(({ schema, name, what }) => [schema, name, what])],
      indexes.map(({ name, kind, rest }) => [name, kind, rest]),
      columns.map(({ name }) => name),
    ]);
  return built(then) === built(now);
}
