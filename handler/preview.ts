/** What a refresh would do, asked without changing anything. */
import { limitOf, setLimit, type Budget } from "./budget";
import { readFacts, type FoldFacts, type ViewFacts } from "./catalog";
import type { Connector, Session } from "./connect";
import { findNullKeys, suggestIndex } from "./diagnose";
import { classify, takesNoWrites } from "./failure";
import {
  assertRefreshable,
  chooseFoldMode,
  chooseMode,
  pausedReason,
  type Mode,
  type RefreshableFacts,
} from "./mode";
import { qualifiedName, quotedName } from "./names";
import { orderViews, readDependencies, sourcesByReader } from "./order";
import type { FailedView } from "./outcome";
import type { FailureContext } from "./remedies";
import type { ViewSettings } from "./settings";

/** The refresh one view would get. */
interface Preview {
  view: ViewSettings;
  outcome: "planned";
  mode: Mode;
  facts: ViewFacts;
  /** What makes the refresh dearer than it need be, or keeps it from being done. */
  warning?: string;
}

const LONGEST_LOOK_MS = 5_000;

/**
 * Asks the catalog about every view, in the order in which a run would take them. Failures are among the results.
 * @throws RefreshFailure when the database cannot be reached or asked.
 */
export async function previewRun(
  connector: Connector,
  views: ViewSettings[],
  budget: Budget,
  forceFull = false,
): Promise<(Preview | FailedView)[]> {
  const { address, auth, user } = connector;
  const base = { address, auth, user };
  let session: Session | undefined;
  try {
    session = await connector.open(budget);
    await session.query("BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY");
    const { dependencies } = await readDependencies(session.query.bind(session), views);
    const ordered = orderViews(views, sourcesByReader(dependencies));
    const previews: (Preview | FailedView)[] = [];
    for (const view of ordered) previews.push(await previewView(session, view, base, forceFull));
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
  base: Pick<FailureContext, "address" | "auth" | "user">,
  forceFull: boolean,
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
    const { fold } = facts;
    const mode =
      fold === null ? chooseMode(view, facts, await suggestIndex(session, facts)) : chooseFoldMode(forceFull);
    const warning =
      fold !== null
        ? await look(session, () => warnOfPause(session, view, fold))
        : mode.type === "concurrent" && facts.viewReadable
          ? await look(session, () => warnOfNullKeys(session, facts))
          : undefined;
    return { view, outcome: "planned", mode, facts, ...(warning === undefined ? {} : { warning }) };
  } catch (error) {
    const failure = classify(error, { ...context, connectionLost: session.lost });
    return { view, outcome: "failed", failure, stalenessSeconds: undefined };
  }
}

async function warnOfNullKeys(session: Session, facts: RefreshableFacts): Promise<string | undefined> {
  const columns = await findNullKeys(session, facts);
  if (columns.length === 0) return undefined;
  return `its unique key holds NULL (${columns.join(", ")}), and every concurrent refresh deletes and inserts such rows`;
}

async function warnOfPause(
  session: Session,
  view: ViewSettings,
  { status }: FoldFacts,
): Promise<string | undefined> {
  const [row] = await session.query<{ paused: boolean }>(`SELECT paused FROM ${status}`);
  return row?.paused === true ? pausedReason(view) : undefined;
}

/** What is found; undefined where it cannot be read, or not soon enough. */
async function look(session: Session, find: () => Promise<string | undefined>): Promise<string | undefined> {
  await session.query(`SAVEPOINT look; ${setLimit(limitOf(LONGEST_LOOK_MS))}`);
  try {
    return await find();
  } catch (error) {
    if (session.lost) throw error;
    return undefined;
  } finally {
    if (!session.lost) await session.query("ROLLBACK TO SAVEPOINT look");
  }
}
