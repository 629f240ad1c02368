/** Takes away everything that maintains a view, and nothing else: the schema is that of the migrations too. */
import { inSchema } from "../../handler/maintained";
import { qualifiedName } from "../../handler/names";
import { type ViewState } from "./state";
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
