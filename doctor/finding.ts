/** What the doctor finds: what is wrong, why it matters, and what puts it right. Plain data. */

/** How bad a finding is, the worst first. */
export const GRADES = ["will fail", "will hurt", "worth knowing"] as const;

/**
 * `will fail`: refreshes fail, or will at the next chance. `will hurt`: they go on, at a price that somebody pays.
 * `worth knowing`: nothing has to be done.
 */
export type Grade = (typeof GRADES)[number];

export interface Finding {
  /** Which kind it is: `may-not-refresh`. Stable, for scripts. */
  name: string;
  grade: Grade;
  /** The view that it is about, as `schema.name`; absent where it is about the server, the role or the stack. */
  view?: string;
  what: string;
  why: string;
  /** SQL or a command that can be run as it stands; after `--` or `#` stands what to think of before. */
  remedy: string;
}

/** A question that could not be answered: for want of a right, or of time. */
export interface NotSeen {
  /** What stays unknown, in words: `what other sessions do`. */
  what: string;
  view?: string;
  /** Why, and what lets it be seen. */
  why: string;
  remedy: string;
}

/** What one check came to. */
export interface Findings {
  findings: Finding[];
  notSeen: NotSeen[];
}

/** The worst on top; within a grade as the checks came. */
export function byGrade(findings: Finding[]): Finding[] {
  return GRADES.flatMap((grade) => findings.filter((finding) => finding.grade === grade));
}
