/** What a refresh would do, asked without changing anything. */
import { readFacts, type ViewFacts } from "./catalog";
import type { Connector, Session } from "./connect";
import type { Deadline } from "./deadline";
import { suggestIndex } from "./diagnose";
import { classify, takesNoWrites } from "./failure";
import { assertRefreshable, chooseMode, type Mode } from "./mode";
import { qualifiedName, quotedName } from "./names";
import { orderViews, readDependencies } from "./order";
import type { FailedView } from "./refresh";
import type { ViewSettings } from "./settings";

/** The refresh one view would get. */
export interface Preview {
  view: ViewSettings;
  outcome: "planned";
  mode: Mode;
  facts: ViewFacts;
}

/**
 * Asks the catalog about every view, in the order in which a run would take them. Failures are among the results.
 * @throws RefreshFailure when the database cannot be reached or asked.
 */
export async function previewRun(
  connector: Connector,
  views: ViewSettings[],
  deadline: Deadline,
): Promise<(Preview | FailedView)[]> {
  const base = { address: connector.address, auth: connector.auth };
  let session: Session | undefined;
  try {
    session = await connector.open(deadline);
    await session.query("BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY");
    const ordered = orderViews(views, await readDependencies(session, views));
    const previews: (Preview | FailedView)[] = [];
    for (const view of ordered) previews.push(await previewView(session, view, base));
    await session.query("ROLLBACK");
    return previews;
  } catch (error) {
    throw classify(error, {
      ...base,
      connected: session !== undefined,
      connectionLost: session?.lost ?? false,
    });
  } finally {
    await session?.close();
  }
}

async function previewView(
  session: Session,
  view: ViewSettings,
  base: { address: string; auth: string },
): Promise<Preview | FailedView> {
  const facts = await readFacts(session, view);
  const context = {
    ...base,
    connected: true,
    connectionLost: false,
    view: qualifiedName(view),
    viewSql: quotedName(view),
  };
  try {
    if (facts.inRecovery) throw takesNoWrites(context);
    assertRefreshable(view, facts);
    const mode = chooseMode(view, facts, await suggestIndex(session, facts));
    return { view, outcome: "planned", mode, facts };
  } catch (error) {
    const failure = classify(error, { ...context, connectionLost: session.lost });
    return { view, outcome: "failed", failure, stalenessSeconds: undefined };
  }
}
