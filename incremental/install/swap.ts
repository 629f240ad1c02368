/** SQL of the moment in which one relation takes the name of another. */
import { escapeIdentifier, escapeLiteral } from "pg";
import { LOCK_NAMESPACE } from "../../handler/blockers";
import { quotedName } from "../../handler/names";
import type { QualifiedName } from "../../handler/settings";
import { lockDependents, replaceDependents, type Dependent } from "./dependents";
import {
  afterSwap,
  grantSql,
  lockDown,
  replicaIdentity,
  type RelationGrant,
  type TemporaryNames,
} from "./dress";
import type { Described } from "./relation";
import type { LockWanted, Statement } from "./step";

/** Both relations, and what the new one is to have. */
export interface Swap {
  /** Its name and schema are what the new one gets. */
  old: Described;
  /** The name under which the old one waits to be dropped. */
  parkedName: string;
  dependents: Dependent[];
  next: { kind: "m" | "r"; at: QualifiedName; owner: string };
  /** What the new one gets; by this its indexes were made under temporary names. */
  like: Described;
  names: TemporaryNames;
  grants: RelationGrant[];
}

/**
 * All by the maintaining role, which owns both or has the rights of who does. The locks are taken at the beginning, and
 * in the order in which readers take them: whoever reads one of the dependent views has locked it before the relation.
 */
export function swapStatements(swap: Swap, maintainer: string): (string | Statement)[] {
  const { old, next, like, dependents, names, grants, parkedName } = swap;
  const { schema, name } = old;
  const [oldKind, nextKind] = [kindSql(old.kind), kindSql(next.kind)];
  const arrived = { ...like, schema, name };
  return [
    ...lockDependents(dependents),
    `ALTER ${oldKind} ${quotedName(old)} RENAME TO ${escapeIdentifier(parkedName)}`,
    `ALTER ${nextKind} ${quotedName(next.at)} SET SCHEMA ${escapeIdentifier(schema)}`,
    `ALTER ${nextKind} ${quotedName({ schema, name: next.at.name })} RENAME TO ${escapeIdentifier(name)}`,
    ...replaceDependents(dependents),
    `DROP ${oldKind} ${quotedName({ schema, name: parkedName })}`,
    ...afterSwap(next.kind, arrived, names),
    ...(next.kind === "m" ? [replicaIdentity("m", arrived, like.replicaIdentity)] : []),
    ...(next.owner === maintainer ? [] : [giveAway(nextKind, old, next.owner)]),
    lockDown([{ schema, name }]),
    ...grantSql(old, grants),
  ];
}

/** The locks of {@link swapStatements}. */
export function locksOfSwap({ old, dependents }: Swap): LockWanted[] {
  const views = dependents.filter(({ kind }) => kind === "view");
  return [old, ...views].map(({ schema, name }) => ({
    relation: { schema, name },
    mode: "AccessExclusiveLock",
  }));
}

const kindSql = (kind: "m" | "r"): string => (kind === "m" ? "MATERIALIZED VIEW" : "TABLE");

/** A new owner must be allowed to create in the schema, though only at this moment. */
function giveAway(kind: string, { schema, name }: QualifiedName, owner: string): string {
  return `DO $give$
DECLARE
  may_create constant boolean := has_schema_privilege(${escapeLiteral(owner)}, ${escapeLiteral(schema)}, 'CREATE');
BEGIN
  IF NOT may_create THEN EXECUTE ${escapeLiteral(`GRANT CREATE ON SCHEMA ${escapeIdentifier(schema)} TO ${escapeIdentifier(owner)}`)}; END IF;
  EXECUTE ${escapeLiteral(`ALTER ${kind} ${quotedName({ schema, name })} OWNER TO ${escapeIdentifier(owner)}`)};
  IF NOT may_create THEN EXECUTE ${escapeLiteral(`REVOKE CREATE ON SCHEMA ${escapeIdentifier(schema)} FROM ${escapeIdentifier(owner)}`)}; END IF;
END
$give$`;
}

/**
 * The key of the advisory lock that a refresh of the relation holds: one refresh at a time, and no swap within one.
 * @param oid as SQL.
 */
export function refreshLock(oid: string): string {
  return `(${LOCK_NAMESPACE}::bigint << 32) | ${oid}::bigint`;
}
