/** What a failure is, whether another try can help, and what to do: from SQLSTATE and facts, never from messages. */
import { DatabaseError } from "pg";
import type { Blocker } from "./blockers";
import { CredentialsError } from "./credentials";
import {
  CONNECTION_RULES,
  SQLSTATE_RULES,
  type FailureContext,
  type FailureKind,
  type Rule,
} from "./remedies";

/** The server's own words. They may quote a row: for a terminal, never for a log or a table. */
interface ServerWords {
  message: string;
  detail?: string | undefined;
  hint?: string | undefined;
}

/** The parts of a failure, none of which holds a password or a token, and none but `server` a row's value. */
interface FailureParts {
  kind: FailureKind;
  /** SQLSTATE, or the errno or TLS code where the server never spoke. */
  code: string;
  problem: string;
  /** A command or SQL that can be run as it stands. */
  remedy: string;
  /** The configured view, qualified; absent for a failure of the whole run. */
  view?: string | undefined;
  /** Whether it had used up its time: nothing else has been found wrong with it. */
  isOutOfTime?: boolean;
  /** Who held the lock that was waited for; absent where the failure was another. */
  blockers?: Blocker[] | undefined;
  /** Set in an attended run alone. */
  server?: ServerWords | undefined;
}

/** A refresh, or a whole run, that failed. Its message has the view, the code and the remedy. */
export class RefreshFailure extends Error implements FailureParts {
  override readonly name = "RefreshFailure";
  declare readonly kind: FailureKind;
  declare readonly code: string;
  declare readonly problem: string;
  declare readonly remedy: string;
  declare readonly view?: string | undefined;
  declare readonly isOutOfTime?: boolean;
  declare readonly blockers?: Blocker[] | undefined;
  declare readonly server?: ServerWords | undefined;

  constructor(parts: FailureParts) {
    const subject = parts.view === undefined ? "" : `${parts.view}: `;
    const codeName = isSqlstate(parts.code) ? `SQLSTATE ${parts.code}` : parts.code;
    super(`${subject}${parts.problem} (${codeName}). To fix it: ${parts.remedy}`);
    Object.assign(this, parts);
  }

  /** The SQLSTATE for the history table; null where the server never gave one. */
  get sqlstate(): string | null {
    return isSqlstate(this.code) ? this.code : null;
  }
}

/** Errnos have no digits, and one that is five letters long (EPIPE) must not pass for a SQLSTATE. */
const isSqlstate = (code: string): boolean => /^(?=.*\d)[0-9A-Z]{5}$/.test(code);

/*
 * SQLSTATE classes whose messages name objects, limits or causes. Any other may quote what is in a row: a cast that
 * failed (22), and syntax and names too (42, 3F, 0A), which texts in rows have where a query parses them (to_tsquery,
 * a cast to regclass).
 */
const CLASSES_WITHOUT_ROW_VALUES = new Set(["08", "25", "28", "40", "53", "54", "55", "57", "58"]);

/**
 * Division by zero, arguments of logarithm, power and substring, LIMIT and OFFSET: fixed texts of the server. And
 * rights, which are of objects that there are.
 */
const CODES_WITHOUT_ROW_VALUES = new Set(["22012", "2201E", "2201F", "22011", "2201W", "2201X", "42501"]);

/** The server's function that raises what a function of the view says, under whatever SQLSTATE that chooses. */
const RAISED_BY_A_FUNCTION = "exec_stmt_raise";

/** Classes that another try may get past, beside the codes that have a rule of their own. */
const TRANSIENT_CLASSES = new Set(["08", "40"]);

/** Turns whatever was thrown into a failure of `context.view`. A failure that is one already stays as it is. */
export function classify(error: unknown, context: FailureContext): RefreshFailure {
  if (error instanceof RefreshFailure) return error;
  if (error instanceof DatabaseError && error.code !== undefined)
    return fromServer(error, error.code, context);
  if (error instanceof CredentialsError) return fromCredentials(error, context);
  return fromConnection(error, context);
}

/** What a standby is to a refresh, whichever SQLSTATE its refusal had. */
export function takesNoWrites(context: FailureContext): RefreshFailure {
  return build(SQLSTATE_RULES["25006"] ?? CONNECTION_RULES.unexpected, "25006", context);
}

function fromServer(error: DatabaseError, sqlstate: string, context: FailureContext): RefreshFailure {
  const sqlClass = sqlstate.slice(0, 2);
  const isHarmless =
    error.routine !== RAISED_BY_A_FUNCTION &&
    (CLASSES_WITHOUT_ROW_VALUES.has(sqlClass) || CODES_WITHOUT_ROW_VALUES.has(sqlstate));
  const message = isHarmless ? error.message : "its message may quote a row and is not recorded";
  const fallback: Rule = {
    kind: TRANSIENT_CLASSES.has(sqlClass) ? "transient" : "permanent",
    problem: () => `the refresh failed: ${message}`,
    remedy: ({ viewSql, maintained }) =>
      maintained === undefined
        ? `REFRESH MATERIALIZED VIEW ${viewSql ?? "…"};  -- shows the server's full error`
        : `npm run refresh -- --view ${maintained.shellName}  # shows the server's full error`,
  };
  const { constraint, detail, hint } = error;
  const server = context.attended === true ? { message: error.message, detail, hint } : undefined;
  const rule = context.isInsideQuery === true ? fallback : (SQLSTATE_RULES[sqlstate] ?? fallback);
  return build(rule, sqlstate, { ...context, message, constraint }, server);
}

function fromCredentials(error: CredentialsError, context: FailureContext): RefreshFailure {
  const rule = error.isTransient ? CONNECTION_RULES.credentialsLater : CONNECTION_RULES.credentials;
  return build(SQLSTATE_RULES[error.code] ?? rule, error.code, { ...context, message: error.message });
}

function fromConnection(error: unknown, context: FailureContext): RefreshFailure {
  const { code, message } = error as NodeJS.ErrnoException;
  if (!(error instanceof Error)) return fromConnection(new Error(String(error)), context);
  // The client reports a connection that ended under it as a plain Error without a code.
  if (code === undefined) {
    const rule = context.connectionLost ? CONNECTION_RULES.lost : CONNECTION_RULES.unexpected;
    return build(rule, context.connectionLost ? "ECONNRESET" : error.name, { ...context, message });
  }
  return build(connectionRule(code, context), code, { ...context, message });
}

function connectionRule(code: string, context: FailureContext): Rule {
  if (code === "ENOTFOUND") return CONNECTION_RULES.unknownHost;
  if (code === "ENOENT" && !context.connected) return CONNECTION_RULES.missingFile;
  if (code === "TLS_NOT_OFFERED") return CONNECTION_RULES.noTls;
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") return CONNECTION_RULES.wrongHost;
  if (code === "CERT_HAS_EXPIRED") return CONNECTION_RULES.expired;
  if (/^(ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_)/.test(code))
    return CONNECTION_RULES.certificate;
  if (!context.connected) return CONNECTION_RULES.unreachable;
  return code === "ETIMEDOUT" ? CONNECTION_RULES.silent : CONNECTION_RULES.lost;
}

function build(rule: Rule, code: string, context: FailureContext, server?: ServerWords): RefreshFailure {
  return new RefreshFailure({
    kind: rule.kind,
    code,
    problem: rule.problem(context),
    remedy: rule.remedy(context),
    view: context.view,
    isOutOfTime: code === "57014" && context.timedOutAfterSeconds !== undefined,
    blockers: context.blockers,
    server,
  });
}
