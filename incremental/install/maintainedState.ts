/** The state of a view that is maintained, for the commands that work on such alone. */
import type { Session } from "../../handler/connect";
import { qualifiedName } from "../../handler/names";
import type { QualifiedName } from "../../handler/settings";
import { IncrementalFailure } from "../failure";
import { actAs, isPublished, readState, type Status, type ViewState } from "./state";

export type MaintainedState = ViewState & {
  status: Status;
  relation: NonNullable<ViewState["relation"]>;
};

/** @throws IncrementalFailure where it is not maintained, or its maintaining role is out of reach. */
export async function maintainedState(session: Session, view: QualifiedName): Promise<MaintainedState> {
  const state = await readState(session, view);
  const { status, relation, maintainer, currentUser } = state;
  if (!state.mayAct && state.objects.length > 0) {
    throw new IncrementalFailure(
      `${qualifiedName(view)} is maintained by ${maintainer}, and ${currentUser} may not act as that role`,
      actAs(maintainer, state.isMaintainerSuperuser, currentUser),
    );
  }
  if (status === undefined || relation === undefined || !isPublished(state)) {
    throw new IncrementalFailure(
      `${qualifiedName(view)} is not maintained`,
      `npm run incremental -- apply --view ${qualifiedName(view)}`,
    );
  }
  return { ...state, status, relation };
}
