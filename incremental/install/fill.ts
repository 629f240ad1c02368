/** SQL of the steps that bring rows: the fill, the fold before the swap, the swap, and what revert builds. */
import { escapeIdentifier, escapeLiteral } from "pg";
import { inSchema } from "../../handler/maintained";
import { qualifiedName, quotedName } from "../../handler/names";
import type { QualifiedName } from "../../handler/settings";
import type { Maintenance } from "../maintenance";
import type { Dependent } from "./dependents";
import { beforeRead, createAs, grantsOf, lockDown, replicaIdentity, temporaryNames } from "./dress";
import { asOfNow, historyRow, type HistoryFacts } from "./historyRow";
import { announce, newTable } from "./objects";
import type { Described } from "./relation";
import { type Original, type ViewState } from "./state";
import type { Step } from "./step";
import { locksOfSwap, swapStatements, type Swap } from "./swap";

/** SQLSTATE with which the swap says that what is left takes more than a fold. */
export const MORE_THAN_A_FOLD = "MRFUL";

/** The locks of a fold: no other fold beside it, and no TRUNCATE between its snapshot and its reading. */
export function foldLocks({ names }: Pick<Maintenance, "names">): string[] {
  return [
    `LOCK TABLE ${inSchema(names.lock)} IN EXCLUSIVE MODE`,
    `LOCK TABLE ${inSchema(names.query)} IN ACCESS SHARE MODE`,
  ];
}

/** TimeZone and its like as the fold has them: the same query gives the same rows. */
export function foldSettings({ names }: Pick<Maintenance, "names">): string {
  return `SELECT set_config(split_part(setting, '=', 1), substr(setting, strpos(setting, '=') + 1), true)
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace, unnest(p.proconfig) setting
 WHERE n.nspname = 'matview_refresh' AND p.proname = ${escapeLiteral(names.fold)} AND setting NOT LIKE 'search\\_path=%'`;
}

/** Everything as of one snapshot, whose changes are thereby done with. */
export function fillStep(maintenance: Maintenance, state: ViewState, original: Original): Step {
  const { names, logs, states, view } = maintenance;
  const table = newTable(maintenance);
  const { described } = original;
  return {
    title: `filling the table of ${qualifiedName(view)}`,
    role: state.maintainer,
    hasOneSnapshot: true,
    lockFirst: foldLocks(maintenance),
    statements: [
      foldSettings(maintenance),
      `DO $check$
DECLARE problem text := (SELECT broken FROM ${inSchema(names.fingerprint)}());
BEGIN
  IF problem IS NOT NULL THEN RAISE EXCEPTION 'the triggers are not as they have to be: %', problem; END IF;
END $check$`,
      ...logs.map(({ name }) => `DELETE FROM ${inSchema(name)}`),
      ...[...states].reverse().map(({ name }) => `TRUNCATE ${inSchema(name)}`),
      `DROP TABLE IF EXISTS ${inSchema(table.name)}`,
      ...createAs("r", table, described, `SELECT * FROM ${inSchema(names.query)}`),
      lockDown([table]),
      replicaIdentity("r", table),
      ...keyIndex(maintenance, described),
      ...beforeRead(table, described, temporaryNames(names.base)),
      ...states.flatMap(({ name, fill }) => [fill, `ANALYZE ${inSchema(name)}`]),
      `UPDATE ${inSchema(names.status)}
   SET phase = 'filled', original = ${escapeLiteral(JSON.stringify(original))}, last_full_at = now(),
       last_full_reason = 'made incremental',
       (shape, content) = (SELECT shape, content FROM ${inSchema(names.fingerprint)}())`,
    ],
    locks: logs.map(({ table: base }) => ({ relation: base, mode: "AccessShareLock" })),
  };
}

const FOREVER = "interval '100 years'";

/** Folds what has changed since the fill, in full where it must be, so that the swap has little left to do. */
export function catchUpStep(maintenance: Maintenance, state: ViewState): Step {
  return {
    title: `folding what has changed since the fill of ${qualifiedName(maintenance.view)}`,
    role: state.maintainer,
    hasOneSnapshot: true,
    lockFirst: foldLocks(maintenance),
    statements: [`SELECT * FROM ${inSchema(maintenance.names.fold)}(false, ${FOREVER}, true)`],
    locks: maintenance.logs.map(({ table }) => ({ relation: table, mode: "AccessShareLock" })),
  };
}

/** Nobody is kept waiting for a full run. */
function mustFold({ names }: Maintenance): string {
  return `DO $fold$
DECLARE done record;
BEGIN
  SELECT * INTO done FROM ${inSchema(names.fold)}(false, ${FOREVER}, false);
  IF done.kind IS DISTINCT FROM 'incremental' THEN
    RAISE EXCEPTION 'what changed in the end could not be folded: %', coalesce(done.reason, done.kind)
      USING ERRCODE = '${MORE_THAN_A_FOLD}', HINT = 'Fold again, then swap.';
  END IF;
END $fold$`;
}

/** The index by which the fold finds what it has to change, where no index of the view's own will do. */
function keyIndex(maintenance: Maintenance, { indexes }: Described): string[] {
  return hasKeyIndex(maintenance, indexes) ? [] : [createKeyIndex(maintenance, newTable(maintenance))];
}

function hasKeyIndex({ restrictionKey }: Maintenance, indexes: Described["indexes"]): boolean {
  return (
    restrictionKey.length === 0 ||
    indexes.some(
      ({ leading }) =>
        leading.length >= restrictionKey.length &&
        leading.slice(0, restrictionKey.length).every((column) => restrictionKey.includes(column)),
    )
  );
}

function createKeyIndex({ restrictionKey, names }: Maintenance, table: QualifiedName): string {
  const columns = restrictionKey.map(escapeIdentifier).join(", ");
  return `CREATE INDEX ${escapeIdentifier(keyIndexName(names))} ON ${quotedName(table)} (${columns})`;
}

/** The index of another restriction key than before, on the published table; none where one is there that will do. */
export function keyIndexSteps(maintenance: Maintenance, state: ViewState, published: Described): Step[] {
  const { view, names } = maintenance;
  if (hasKeyIndex(maintenance, published.indexes)) return [];
  const name = keyIndexName(names);
  const isThere = published.indexes.some((index) => index.name === name);
  return [
    {
      title: `making the index of the restriction key of ${qualifiedName(view)}`,
      role: state.maintainer,
      statements: [
        ...(isThere ? [`DROP INDEX ${quotedName({ schema: view.schema, name })}`] : []),
        createKeyIndex(maintenance, view),
      ],
      locks: [{ relation: view, mode: isThere ? "AccessExclusiveLock" : "ShareRowExclusiveLock" }],
    },
  ];
}

/** It goes with the table. */
export const keyIndexName = ({ base }: Maintenance["names"]): string => `${base}__key`;

/**
 * Folds what is left, under the lock of a refresh, so that no reader sees older rows than before; then the table takes
 * the name of the materialized view, which goes.
 */
export function swapStep(
  maintenance: Maintenance,
  state: ViewState,
  facts: { original: Original; dependents: Dependent[]; history: HistoryFacts },
): Step {
  const { names, view } = maintenance;
  const { described } = facts.original;
  const swap: Swap = {
    old: described,
    parkedName: `${names.base}__old`,
    dependents: facts.dependents,
    next: { kind: "r", at: newTable(maintenance), owner: state.maintainer },
    like: described,
    names: temporaryNames(names.base),
    grants: readersOf(described, state.maintainer),
  };
  return {
    title: `putting the table in the place of ${qualifiedName(view)}`,
    role: state.maintainer,
    hasOneSnapshot: true,
    refreshLockOf: { schema: view.schema, name: view.name, oid: described.oid },
    lockFirst: foldLocks(maintenance),
    statements: [
      mustFold(maintenance),
      ...swapStatements(swap, state.maintainer),
      maintenance.createFold,
      ...announce(maintenance, state),
      `UPDATE ${inSchema(names.status)} SET phase = 'maintained', original = ${escapeLiteral(JSON.stringify(facts.original))}`,
      ...historyRow(facts.history, view, {
        refreshType: "full",
        reason: "made incremental",
        asOf: asOfNow(
          facts.history,
          maintenance.logs.map(({ table }) => table),
        ),
      }),
    ],
    locks: [
      ...locksOfSwap(swap),
      ...maintenance.logs.map(({ table }) => ({ relation: table, mode: "AccessShareLock" }) as const),
    ],
  };
}

/** Who may read goes on reading, a former owner too; all other privileges would let somebody write. */
function readersOf(described: Described, owner: string): Swap["grants"] {
  const formerOwner = { grantee: described.owner, privilege: "SELECT", isGrantable: false };
  return [
    ...(described.owner === owner ? [] : [formerOwner]),
    ...grantsOf(described).filter(({ privilege, grantee }) => privilege === "SELECT" && grantee !== owner),
  ];
}
