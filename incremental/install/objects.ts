/** SQL of everything that maintains a view, from the schema to the triggers. */
import { createHash } from "node:crypto";
import { escapeIdentifier, escapeLiteral } from "pg";
import { qualifiedName, quotedName } from "../../handler/names";
import type { QualifiedName } from "../../handler/settings";
import { MAINTENANCE_SCHEMA, REFRESHER, inSchema } from "../../handler/maintained";
import type { Maintenance, StateTable, TableLog } from "../maintenance";
import { lockDown } from "./dress";
import { ours, type Generated, type Original, type ViewState } from "./state";
import type { Statement, Step } from "./step";

/** The schema, made by whoever may, and open to the maintaining role and to the refresher. */
function schemaStatements({ schema, currentUser, maintainer, hasRefresher }: ViewState): Statement[] {
  const grant = (what: string, whom: string): string =>
    `GRANT ${what} ON SCHEMA ${MAINTENANCE_SCHEMA} TO ${escapeIdentifier(whom)}`;
  const isOwn = maintainer === currentUser;
  return [
    ...(schema.exists ? [] : [`CREATE SCHEMA IF NOT EXISTS ${MAINTENANCE_SCHEMA}`]),
    ...(schema.maintainerMayCreate || isOwn ? [] : [grant("USAGE, CREATE", maintainer)]),
    ...(hasRefresher && !schema.refresherMayUse && (schema.mayGrant || !schema.exists)
      ? [grant("USAGE", REFRESHER)]
      : []),
  ].map((sql) => ({ sql, role: currentUser }));
}

const hash = (...parts: string[]): string =>
  createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 16);

/** What is compared to find out whether tables have to be made anew. */
export function generatedBy(maintenance: Maintenance): Generated {
  const { logs, states, generatorVersion, createFold, createFingerprint } = maintenance;
  return {
    logs: Object.fromEntries(logs.map((log) => [log.name, hash(log.createTable)])),
    states: hash(...states.flatMap(({ name, querySql, create }) => [name, querySql, ...create])),
    functions: hash(
      `${generatorVersion}`,
      createFold,
      createFingerprint,
      ...logs.flatMap(({ createFunction, triggers }) => [createFunction, ...triggers.map(({ sql }) => sql)]),
    ),
  };
}

/**
 * The fold under another name of the table that it writes: the materialized view has its own until the swap.
 * @throws where the fold does not write to the view by its quoted name.
 */
export function retarget({ createFold, view }: Maintenance, table: QualifiedName): string {
  const parts = createFold.split(quotedName(view));
  if (parts.length < 2)
    throw new Error(`the fold of ${qualifiedName(view)} does not name it as ${quotedName(view)}`);
  return parts.join(quotedName(table));
}

/** Where the published table stands until it takes the view's place. */
export function newTable({ names }: Pick<Maintenance, "names">): QualifiedName {
  return ours(`${names.base}__new`);
}

/** All but the triggers. The view itself is not touched. */
export function loggingStep(maintenance: Maintenance, state: ViewState, original: Original): Step {
  const { names, logs, states, view } = maintenance;
  return {
    title: `making what logs the changes of ${qualifiedName(view)}`,
    role: state.maintainer,
    statements: [
      ...schemaStatements(state),
      `CREATE VIEW ${inSchema(names.query)} AS\n${original.described.query}`,
      `CREATE TABLE ${inSchema(names.lock)} ()`,
      `CREATE TABLE ${inSchema(names.status)} (
  generator_version int NOT NULL, phase text NOT NULL CHECK (phase IN ('logging', 'filled', 'maintained', 'reverting')),
  paused boolean NOT NULL, applied_at timestamptz, last_full_at timestamptz, last_full_reason text,
  drift bigint, drift_at timestamptz, shape text, content text, original jsonb NOT NULL
)`,
      `INSERT INTO ${inSchema(names.status)} (generator_version, phase, paused, applied_at, drift, original)
VALUES (${maintenance.generatorVersion}, 'logging', false, now(), 0, ${escapeLiteral(JSON.stringify(original))})`,
      ...logs.flatMap(createLog),
      ...states.flatMap(createState),
      fullIdentity(names.status),
      maintenance.createFingerprint,
      retarget(maintenance, newTable(maintenance)),
      ...protect(maintenance, state),
    ],
    locks: logs.map(({ table }) => ({ relation: table, mode: "AccessShareLock" })),
  };
}

export function createLog(log: TableLog): string[] {
  return [log.createTable, fullIdentity(log.name), log.createFunction];
}

export function createState(state: StateTable): string[] {
  return [
    `CREATE VIEW ${inSchema(state.query)} AS\n${state.querySql}`,
    ...state.create,
    fullIdentity(state.name),
  ];
}

/** Without one, a publication FOR ALL TABLES would let every fold fail. */
function fullIdentity(table: string): string {
  return `ALTER TABLE ${inSchema(table)} REPLICA IDENTITY FULL`;
}

/** Nobody but the owner may use any of it, but for what a refresher needs before the swap. */
export function protect({ names, logs, states }: Maintenance, { hasRefresher }: ViewState): string[] {
  const relations = [
    ...[names.query, names.lock, names.status],
    ...logs.map(({ name }) => name),
    ...states.flatMap(({ name, query }) => [name, query]),
  ];
  const functions = [names.fold, names.changes, names.fingerprint, ...logs.map((log) => log.function)];
  return [
    lockDown(relations.map(ours), functions.map(ours)),
    ...(hasRefresher
      ? [
          `GRANT SELECT ON ${inSchema(names.query)}, ${inSchema(names.status)} TO ${REFRESHER}`,
          `GRANT UPDATE ON ${inSchema(names.lock)} TO ${REFRESHER}`,
        ]
      : []),
  ];
}

/** Tells everybody that the view is maintained, and lets the refresher fold. */
export function announce({ names, view }: Maintenance, { hasRefresher }: ViewState): string[] {
  return [
    `DO $comment$ BEGIN
  EXECUTE format('COMMENT ON FUNCTION %I.%I(boolean, interval, boolean) IS %L', '${MAINTENANCE_SCHEMA}', ${escapeLiteral(names.fold)},
    format('matview-refresh: folds %I.%I', ${escapeLiteral(view.schema)}, ${escapeLiteral(view.name)}));
END $comment$`,
    ...(hasRefresher
      ? [`GRANT EXECUTE ON FUNCTION ${inSchema(names.fold)}(boolean, interval, boolean) TO ${REFRESHER}`]
      : []),
  ];
}
