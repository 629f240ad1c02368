/** Transactions as plain text, so that what a command does and what it prints as migration files are the same. */
import { escapeIdentifier, escapeLiteral } from "pg";
import type { QualifiedName } from "../../handler/settings";

/** One statement, run by another role than that of its step where it says so. */
export interface Statement {
  sql: string;
  role?: string;
}

/** What a step has to wait for, and so what others may keep from it. */
export interface LockWanted {
  relation: QualifiedName;
  mode: "AccessShareLock" | "ShareRowExclusiveLock" | "AccessExclusiveLock";
}

/** One transaction. Whoever runs it may run it again after it failed. */
export interface Step {
  /** What it does, for people: `filling public.totals`. */
  title: string;
  role: string;
  /** With one snapshot for all of it; READ COMMITTED otherwise. */
  hasOneSnapshot?: boolean;
  /** LOCK statements: they come first, since all others fix the snapshot. */
  lockFirst?: string[];
  statements: (string | Statement)[];
  locks: LockWanted[];
  /** The relation whose refreshes must not run meanwhile: their advisory lock is held around the transaction. */
  refreshLockOf?: QualifiedName & { oid: number };
}

/** Settings every step runs with. A server's or a role's own statement_timeout is not meant for a fill. */
const SETTINGS = `SET LOCAL search_path = pg_catalog;
SET LOCAL statement_timeout = 0;
SET LOCAL idle_in_transaction_session_timeout = 0;
SET LOCAL check_function_bodies = off`;

/** The whole transaction, BEGIN and COMMIT included. */
export function transactionOf(step: Step, lockTimeoutMs: number): string {
  const parts = [
    `BEGIN ISOLATION LEVEL ${step.hasOneSnapshot ? "REPEATABLE READ" : "READ COMMITTED"} READ WRITE`,
    SETTINGS,
    `SET LOCAL lock_timeout = ${escapeLiteral(`${lockTimeoutMs}ms`)}`,
    setRole(step.role),
    ...(step.lockFirst ?? []),
  ];
  let role = step.role;
  for (const each of step.statements) {
    const statement = typeof each === "string" ? { sql: each } : each;
    const wanted = statement.role ?? step.role;
    if (wanted !== role) parts.push(setRole(wanted));
    role = wanted;
    parts.push(withoutEnd(statement.sql));
  }
  return `${[...parts, "COMMIT"].join(";\n")};\n`;
}

/** A role may be set that the session has the rights of, whichever is set already. */
function setRole(role: string): string {
  return `SET LOCAL ROLE ${escapeIdentifier(role)}`;
}

/** A statement without the semicolon that may end it. */
export function withoutEnd(sql: string): string {
  return sql.replace(/[\s;]+$/, "");
}
