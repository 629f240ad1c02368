/** What a command of incremental maintenance cannot do, and what would help. */
export class IncrementalFailure extends Error {
  override readonly name = "IncrementalFailure";
  constructor(
    readonly problem: string,
    /** SQL or a command. */
    readonly remedy?: string,
  ) {
    super(remedy === undefined ? problem : `${problem}\n  To fix it: ${remedy}`);
  }
}
