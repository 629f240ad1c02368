/** Takes away everything that maintains a view, and nothing else. */
import { qualifiedName } from "../../handler/names";
import { MAINTENANCE_SCHEMA } from "../../handler/maintained";
import type { Session } from "../../handler/connect";
import { catalogRows } from "./relation";
import { inSchema, type ViewState } from "./state";
import type { Step } from "./step";
import { dropTriggerSteps, type Triggered } from "./triggers";

/** Triggers first, table by table; the status goes last, so that what is broken off is known to be unfinished. */
export function removeSteps(state: ViewState, triggers: Triggered[]): Step[] {
  const drop = (what: string, kind: ViewState["objects"][number]["kind"]): string[] => {
    const names = state.objects.filter((each) => each.kind === kind).map(({ name }) => inSchema(name));
    return names.length === 0 ? [] : [`DROP ${what} ${names.join(", ")}`];
  };
  const statements = [
    ...drop("FUNCTION", "function"),
    ...drop("VIEW", "view"),
    ...drop("MATERIALIZED VIEW", "matview"),
    ...drop("TABLE", "table"),
  ];
  if (state.objects.length === 0) return [];
  return [
    ...dropTriggerSteps(triggers, state),
    {
      title: `dropping what maintained ${qualifiedName(state.view)}`,
      role: state.maintainer,
      statements,
      locks: [],
    },
  ];
}

/** The schema goes with the last view, where whoever is here owns it. */
export async function dropEmptySchemaStep(session: Session, role: string): Promise<Step | undefined> {
  const rows = await catalogRows(
    session,
    `SELECT FROM pg_namespace n
      WHERE n.nspname = '${MAINTENANCE_SCHEMA}' AND pg_has_role(n.nspowner, 'USAGE')
        AND NOT EXISTS (SELECT FROM pg_depend WHERE refclassid = 'pg_namespace'::regclass AND refobjid = n.oid)`,
  );
  if (rows.length === 0) return undefined;
  return {
    title: `dropping the empty schema ${MAINTENANCE_SCHEMA}`,
    role,
    statements: [`DROP SCHEMA ${MAINTENANCE_SCHEMA}`],
    locks: [],
  };
}
