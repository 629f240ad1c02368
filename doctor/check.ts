/** How a check is run: by itself, so that one that cannot be answered hides no other. */
import { escapeIdentifier } from "pg";
import type { Session } from "../handler/connect";
import type { Findings, NotSeen } from "./finding";
import { LONGEST_LOOK_MS, readOnly, type Reader } from "./reader";
import type { Scope } from "./scope";

/** A question about the database: read what is there, then judge it without asking again. */
export interface Check {
  /** What is not known where it cannot be answered: `the locks on it`. */
  about: string;
  /** Whether it opens its own transactions, or asks something else than the database. */
  isOutside?: true;
  run(reader: Reader, scope: Scope): Promise<Findings>;
}

/** A check from its reading and its judgement, which is pure. */
export function check<Facts>(
  about: string,
  read: (reader: Reader, scope: Scope) => Promise<Facts>,
  judge: (facts: Facts, scope: Scope) => Findings | Findings["findings"],
): Check {
  return {
    about,
    async run(reader, scope) {
      const judged = judge(await read(reader, scope), scope);
      return Array.isArray(judged) ? { findings: judged, notSeen: [] } : judged;
    },
  };
}

/**
 * Runs the checks one after the other. One that may not look, or not soon enough, is told as not seen and hides no other.
 * @throws the connection's error where it is lost.
 */
export async function runChecks(session: Session, checks: Check[], scope: Scope): Promise<Findings> {
  const all: Findings = { findings: [], notSeen: [] };
  for (const each of checks) {
    const { findings, notSeen } = await runCheck(session, each, scope);
    all.findings.push(...findings);
    all.notSeen.push(...notSeen);
  }
  return all;
}

async function runCheck(session: Session, each: Check, scope: Scope): Promise<Findings> {
  try {
    const reader: Reader = { session, rows: (sql, values) => session.query(sql, values) };
    if (each.isOutside) return await each.run(reader, scope);
    return await readOnly(session, LONGEST_LOOK_MS, (inside) => each.run(inside, scope));
  } catch (error) {
    if (session.lost) throw error;
    return { findings: [], notSeen: [whyNotSeen(error, each.about, scope)] };
  }
}

/**
 * Goes on after what may fail by itself, for one view of many: undefined, with the reason among `notSeen`.
 * @param asked what is asked; `grant`: what would let it be seen, where a right is what is missing.
 */
export async function look<Result>(
  reader: Reader,
  scope: Scope,
  notSeen: NotSeen[],
  { what, view, grant }: { what: string; view?: string; grant?: string },
  read: () => Promise<Result>,
): Promise<Result | undefined> {
  return aside(reader, read, (error) => {
    const seen = whyNotSeen(error, what, scope, grant);
    notSeen.push({ ...seen, ...(view === undefined ? {} : { view }) });
  });
}

/** Not there, not allowed, locked, or too slow: no fault of the question. */
const UNANSWERED = new Set(["42P01", "42501", "55P03", "57014"]);

/** The same for what only adds to a finding, so that nobody has to be told that it was not seen. */
export async function lookQuietly<Result>(
  reader: Reader,
  read: () => Promise<Result>,
): Promise<Result | undefined> {
  return aside(reader, read, (error) => {
    if (!UNANSWERED.has((error as { code?: string }).code ?? "")) throw error;
  });
}

async function aside<Result>(
  { session }: Reader,
  read: () => Promise<Result>,
  tell: (error: unknown) => void,
): Promise<Result | undefined> {
  await session.query("SAVEPOINT look");
  try {
    return await read();
  } catch (error) {
    if (session.lost) throw error;
    tell(error);
    return undefined;
  } finally {
    if (!session.lost) await session.query("ROLLBACK TO SAVEPOINT look");
  }
}

function whyNotSeen(error: unknown, what: string, { user }: Scope, grant?: string): NotSeen {
  const { code, message } = error as { code?: string; message: string };
  const because: Record<string, [why: string, remedy: string]> = {
    "42501": [
      `${user} may not read it: ${message}`,
      grant ?? `GRANT pg_read_all_data TO ${escapeIdentifier(user)};  -- or a narrower right`,
    ],
    "57014": [
      `it took more than ${LONGEST_LOOK_MS / 1_000} s`,
      "npm run doctor  # at a time when the database has less to do",
    ],
    "55P03": ["it is locked just now", "npm run doctor  # when the lock is gone"],
  };
  const [why, remedy] = because[code ?? ""] ?? [
    `${message}${code === undefined ? "" : ` (${code})`}`,
    "npm run doctor -- --json  # and report it: the doctor should have seen this",
  ];
  return { what, why, remedy };
}
