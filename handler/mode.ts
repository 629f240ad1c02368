/** Which refresh the facts allow. Pure: facts in, decision out. */
import { escapeIdentifier } from "pg";
import type { ViewFacts } from "./catalog";
import { RefreshFailure } from "./failure";
import { qualifiedName, quotedName, shellName } from "./names";
import { LIST_VIEWS, makeTheView } from "./remedies";
import type { ViewSettings } from "./settings";

/**
 * Of a materialized view: `concurrent` leaves readers alone; `regular` locks them out while it runs. Of a maintained
 * one: `incremental` folds what changed, `full` computes it anew. Both leave readers alone.
 */
export type RefreshType = "concurrent" | "regular" | "incremental" | "full";

/** How a view will be refreshed, and why not in the better way. */
export interface Mode {
  type: RefreshType;
  /** Why a regular refresh or a full run, without the view's name; absent for a concurrent or incremental one. */
  reason?: string;
  /** Whether the reason is one that an administrator can take away, and how. */
  remedy?: string;
}

/** The relation is there, is a materialized or maintained view, and the current user may refresh it. */
export type RefreshableFacts = ViewFacts & { oid: number; sqlName: string };

/**
 * Refuses what REFRESH would refuse, with the SQLSTATE the server would give and a remedy it would not.
 * @throws RefreshFailure 3F000, 42P01, 0A000, 42809 or 42501.
 */
export function assertRefreshable(view: ViewSettings, facts: ViewFacts): asserts facts is RefreshableFacts {
  const name = qualifiedName(view);
  const refuse = (code: string, problem: string, remedy: string): never => {
    throw new RefreshFailure({ kind: "permanent", code, problem, remedy, view: name });
  };
  if (!facts.schemaExists) refuse("3F000", "the view's schema does not exist", LIST_VIEWS);
  if (!facts.mayUseSchema) {
    const grant = `GRANT USAGE ON SCHEMA ${escapeIdentifier(view.schema)} TO ${escapeIdentifier(facts.currentUser)};`;
    refuse("42501", `role ${facts.currentUser} may not use the view's schema`, grant);
  }
  if (facts.oid === null) {
    const remedy = makeTheView({ view: name, viewSql: quotedName(view) });
    refuse("42P01", "the materialized view does not exist", remedy);
  }
  if (facts.relkind === "v") refuse("42809", "it is a plain view, not a materialized one", LIST_VIEWS);
  if (facts.fold !== null) {
    const { missingRights } = facts.fold;
    if (missingRights.length === 0) return;
    // Reading the view is for its statistics alone, and granted along with the rest.
    const rights = facts.viewReadable ? missingRights : [...missingRights, `SELECT ON ${facts.sqlName}`];
    const user = escapeIdentifier(facts.currentUser);
    const grants = rights.map((right) => `GRANT ${right} TO ${user};`).join(" ");
    refuse("42501", `role ${facts.currentUser} may not fold changes into it`, grants);
  }
  if (facts.relkind !== "m") {
    const problem = "it is a table, not a materialized view, and no fold of its owner maintains it";
    refuse("0A000", problem, `${LIST_VIEWS}; maintained ones: npm run incremental -- list`);
  }
  if (!facts.mayRefresh) {
    refuse(
      "42501",
      `role ${facts.currentUser} may not refresh it; its owner is ${facts.owner}`,
      permissionRemedy(facts),
    );
  }
}

/** MAINTAIN exists since 17; before it only the owner's rights will do. */
function permissionRemedy(facts: ViewFacts): string {
  return facts.serverVersion >= 170_000
    ? `GRANT MAINTAIN ON ${facts.sqlName} TO ${escapeIdentifier(facts.currentUser)};`
    : `GRANT ${escapeIdentifier(facts.owner)} TO ${escapeIdentifier(facts.currentUser)};`;
}

/**
 * @param indexRemedy SQL that would make a concurrent refresh possible, where there is no usable index.
 * @throws RefreshFailure when only a plain refresh would work, readers would be blocked, and the settings forbid it.
 */
export function chooseMode(
  view: ViewSettings,
  facts: RefreshableFacts,
  indexRemedy: string | undefined,
): Mode {
  if (!facts.populated)
    return { type: "regular", reason: "the view has never been populated, so nobody can read it yet" };
  const obstacle = concurrentObstacle(facts, indexRemedy);
  if (obstacle === undefined) return { type: "concurrent" };
  if (!view.allowBlocking) {
    throw new RefreshFailure({
      kind: "permanent",
      code: obstacle.code,
      problem: `a concurrent refresh is impossible (${obstacle.reason}) and allowBlocking is false`,
      remedy: obstacle.remedy,
      view: qualifiedName(view),
    });
  }
  return { type: "regular", reason: obstacle.reason, remedy: obstacle.remedy };
}

/** What a fold is asked for. It may find that changes alone will not do: its own answer says what it did. */
export function chooseFoldMode(forceFull: boolean): Mode {
  return forceFull ? { type: "full", reason: "it was asked for" } : { type: "incremental" };
}

/** Why a maintained view that is paused is left alone. */
export const pausedReason = (view: ViewSettings): string =>
  `it is paused: npm run incremental -- resume --view ${shellName(view)}`;

interface Obstacle {
  code: string;
  reason: string;
  remedy: string;
}

function concurrentObstacle(facts: RefreshableFacts, indexRemedy: string | undefined): Obstacle | undefined {
  if (facts.usableIndexes.length === 0) {
    const reason = "it has no unique index on plain columns without a WHERE clause";
    return {
      code: "55000",
      reason,
      remedy: indexRemedy ?? `CREATE UNIQUE INDEX CONCURRENTLY ON ${facts.sqlName} (…);`,
    };
  }
  if (facts.ownerMayCreateTemp) return undefined;
  return {
    code: "42501",
    reason: `its owner ${facts.owner} may not create temporary tables in database ${facts.database}`,
    remedy: `GRANT TEMPORARY ON DATABASE ${escapeIdentifier(facts.database)} TO ${escapeIdentifier(facts.owner)};`,
  };
}
