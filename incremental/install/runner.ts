/** Runs steps: each its own transaction, tried again while others hold what it needs, and told who they are. */
import { escapeLiteral } from "pg";
import pRetry, { AbortError } from "p-retry";
import { endBlocker, findBlockers, heldBy, refreshInFront, type Blocker } from "../../handler/blockers";
import type { Session } from "../../handler/connect";
import { IncrementalFailure } from "../failure";
import { transactionOf, type LockWanted, type Step } from "./step";
import { refreshLock } from "./swap";

/** How long the commands wait for others. */
export interface Patience {
  /** A lock that is waited for keeps the writers behind it: each try waits no longer. */
  lockTimeoutMs: number;
  /** All tries of one step together. */
  totalMs: number;
  /** Told of what is begun, and who is in the way. */
  report: (line: string) => void;
}

const PAUSE_AFTER_LOCK_MS = { first: 250, longest: 5_000 };
const ASKING_LIMIT_MS = 5_000;
/** A lock not had in time, a deadlock, a snapshot that is too old: another try may go well. */
const PASSING = new Set(["55P03", "40P01", "40001"]);

/**
 * Runs one step, as often as others are in the way of it and there is patience.
 * @throws IncrementalFailure that names who was in the way when the patience ended; any other error of the server.
 */
export async function runStep(session: Session, step: Step, patience: Patience): Promise<void> {
  patience.report(step.title);
  const endsAtMs = performance.now() + patience.totalMs;
  const lockTimeoutMs = await lockTimeoutOf(session, step, patience);
  let lastSaid = "";
  const say = ({ message }: InTheWay): void => {
    if (message !== lastSaid) patience.report(`  waiting: ${message}`);
    lastSaid = message;
  };
  const attempt = async (): Promise<void> => {
    if (step.refreshLockOf === undefined) return tryStep(session, step, lockTimeoutMs);
    // By the oid: the name is another relation's once the step is done.
    const key = refreshLock(String(step.refreshLockOf.oid));
    await takeAdvisoryLock(session, key, Math.max(1, endsAtMs - performance.now()), say);
    try {
      await tryStep(session, step, lockTimeoutMs);
    } finally {
      if (!session.lost) await session.query(`SELECT pg_catalog.pg_advisory_unlock(${key})`);
    }
  };
  await pRetry(attempt, {
    retries: Number.POSITIVE_INFINITY,
    minTimeout: PAUSE_AFTER_LOCK_MS.first,
    maxTimeout: PAUSE_AFTER_LOCK_MS.longest,
    randomize: true,
    shouldRetry: ({ error }) => error instanceof InTheWay && performance.now() < endsAtMs,
    onFailedAttempt: ({ error }) => {
      if (error instanceof InTheWay) say(error);
    },
  }).catch((error: unknown) => {
    if (!(error instanceof InTheWay)) throw error;
    throw new IncrementalFailure(`${step.title}: gave up waiting for ${error.message}`, error.remedy);
  });
}

/**
 * A reader who has locked in another order than a swap must never be the one whom the server cancels: the swap gives up
 * before the search for deadlocks begins.
 */
async function lockTimeoutOf(session: Session, step: Step, { lockTimeoutMs }: Patience): Promise<number> {
  if (step.refreshLockOf === undefined) return lockTimeoutMs;
  const [row] = await session.query<{ ms: number }>(
    `SELECT setting::int AS "ms" FROM pg_catalog.pg_settings WHERE name = 'deadlock_timeout'`,
  );
  return Math.max(50, Math.min(lockTimeoutMs, Math.floor((row?.ms ?? 1_000) * 0.9)));
}

/** Runs steps one after the other. */
export async function runSteps(session: Session, steps: Step[], patience: Patience): Promise<void> {
  for (const step of steps) await runStep(session, step, patience);
}

/** Somebody holds what the step needs. */
class InTheWay extends Error {
  constructor(
    message: string,
    readonly remedy: string | undefined,
  ) {
    super(message);
  }
}

async function tryStep(session: Session, step: Step, lockTimeoutMs: number): Promise<void> {
  try {
    await session.query(transactionOf(step, lockTimeoutMs));
  } catch (error) {
    if (session.lost) throw new AbortError(error as Error);
    await session.query("ROLLBACK");
    const { code } = error as { code?: string };
    if (!PASSING.has(code ?? "")) throw new AbortError(error as Error);
    throw inTheWay(error as Error, code === "55P03" ? await blockersOf(session, step) : []);
  }
}

/**
 * Takes its place in the queue: functions that only try to have the lock leave it to who waits, so that refreshes which
 * follow on each other do not keep it for ever.
 */
async function takeAdvisoryLock(
  session: Session,
  key: string,
  waitMs: number,
  say: (who: InTheWay) => void,
): Promise<void> {
  const [row] = await session.query<{ locked: boolean; oid: number }>(
    `SELECT pg_catalog.pg_try_advisory_lock(${key}) AS "locked", ((${key}) & 4294967295)::pg_catalog.oid AS "oid"`,
  );
  if (row?.locked === true) return;
  const blockers = await refreshInFront(session, ASKING_LIMIT_MS, row?.oid ?? 0);
  const who = new InTheWay(`another refresh of the view${heldBy(blockers)}`, endBlocker(blockers));
  say(who);
  try {
    await session.query(
      `BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = ${Math.ceil(waitMs)};
       SELECT pg_catalog.pg_advisory_lock(${key}); COMMIT`,
    );
  } catch (error) {
    if (session.lost) throw new AbortError(error as Error);
    await session.query("ROLLBACK");
    throw (error as { code?: string }).code === "55P03" ? who : error;
  }
}

function inTheWay(error: Error, blockers: Blocker[]): InTheWay {
  const [first] = blockers;
  if (first === undefined) return new InTheWay(`others (${error.message})`, undefined);
  // One that does its daily round is cancelled by the server for whoever waits; this one is not.
  const why = first.user === "autovacuum worker" ? ": it prevents wraparound and has to end first" : "";
  return new InTheWay(`a lock on ${first.relation}${heldBy(blockers)}${why}`, endBlocker(blockers));
}

async function blockersOf(session: Session, { locks }: Step): Promise<Blocker[]> {
  if (locks.length === 0) return [];
  return findBlockers(session, ASKING_LIMIT_MS, locks.map(conflictsWith).join(" OR "));
}

/** Modes that keep each of ours waiting. */
const CONFLICTS: Record<LockWanted["mode"], string[]> = {
  AccessShareLock: ["AccessExclusiveLock"],
  ShareRowExclusiveLock: [
    ...["RowExclusiveLock", "ShareUpdateExclusiveLock", "ShareLock", "ShareRowExclusiveLock"],
    ...["ExclusiveLock", "AccessExclusiveLock"],
  ],
  AccessExclusiveLock: [
    ...["AccessShareLock", "RowShareLock", "RowExclusiveLock", "ShareUpdateExclusiveLock", "ShareLock"],
    ...["ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock"],
  ],
};

function conflictsWith({ relation, mode }: LockWanted): string {
  const modes = CONFLICTS[mode].map(escapeLiteral).join();
  const { schema, name } = relation;
  return `(n.nspname = ${escapeLiteral(schema)} AND c.relname = ${escapeLiteral(name)} AND l.mode IN (${modes}))`;
}
