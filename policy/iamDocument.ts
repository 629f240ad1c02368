/** What is too wide in an IAM policy document. Pure: text in, problems out. */

/** One statement that allows too much. */
export interface WideGrant {
  /** The statement's Sid, or its place in the list. */
  statement: string;
  problem: string;
}

/** Log streams of one group: Lambda names them, so their names cannot be known. */
const LOG_STREAMS = /^arn:aws[a-z-]*:logs:[^*?:]*:[^*?:]*:log-group:[^*?:]+:(?:\*|log-stream:\*)$/;

interface Statement {
  Sid?: unknown;
  Effect?: unknown;
  Action?: unknown;
  NotAction?: unknown;
  Resource?: unknown;
  NotResource?: unknown;
}

/** Every wildcard of the statements that allow something. A document that is not one is a problem too. */
export function wideGrants(document: string): WideGrant[] {
  let statements: Statement[];
  try {
    const { Statement: given } = JSON.parse(document) as { Statement?: Statement | Statement[] };
    statements = listOf(given);
  } catch {
    return [{ statement: "document", problem: "is not JSON, so what it allows cannot be read" }];
  }
  return statements.flatMap((statement, index) => {
    if (statement.Effect !== "Allow") return [];
    const name =
      typeof statement.Sid === "string" && statement.Sid !== "" ? statement.Sid : `statement ${index + 1}`;
    return problemsOf(statement).map((problem) => ({ statement: name, problem }));
  });
}

function problemsOf(statement: Statement): string[] {
  const actions = listOf(statement.Action).map(String);
  const resources = listOf(statement.Resource).map(String);
  return [
    ...(statement.NotAction === undefined ? [] : ["allows everything but some actions (NotAction)"]),
    ...(statement.NotResource === undefined ? [] : ["allows everything but some resources (NotResource)"]),
    ...actions.filter(hasWildcard).map((action) => `allows the actions ${action}`),
    ...resources
      .filter((resource) => hasWildcard(resource) && !LOG_STREAMS.test(resource))
      .map((resource) => `allows resources ${resource}`),
  ];
}

function hasWildcard(text: string): boolean {
  return /[*?]/.test(text);
}

function listOf<Value>(value: Value | Value[] | undefined): Value[] {
  if (value === undefined || value === null) return [];
  return Array.isArray(value) ? value : [value];
}
