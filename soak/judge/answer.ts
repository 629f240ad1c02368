/** What a run answered, as whoever called it reads it. */

/** What is said of one view. */
export interface ViewAnswer {
  /** `skipped` where it was not refreshed. */
  refresh_type: string;
  drift?: number | null;
}

/**
 * By `schema.name`: of several views each has its report, of one the answer is about it alone.
 * @param value what the handler returned; undefined where it did not.
 * @param views all that it may be about, `schema.name`.
 */
export function readAnswer(value: unknown, views: string[]): Map<string, ViewAnswer> {
  const text = (value as { body?: unknown } | undefined)?.body;
  if (typeof text !== "string") return new Map<string, ViewAnswer>();
  const body = JSON.parse(text) as ViewAnswer & { views?: ({ view: string } & ViewAnswer)[] };
  if (body.views !== undefined) return new Map(body.views.map((each) => [each.view, each] as const));
  const [only, ...others] = views;
  // A run by hand of one view of several does not say of which.
  return only !== undefined && others.length === 0 ? new Map([[only, body]]) : new Map<string, ViewAnswer>();
}
