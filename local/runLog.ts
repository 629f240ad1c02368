/**
 * Shortens what a run repeats: every further attempt of one run that fails for the same reason is shown without
 * the reason. Nothing else is changed about the handler's lines.
 */
export class RunLog {
  private readonly lastReasons = new Map<string, string>();

  /** @param requestId the run that printed the line */
  shorten(line: string, requestId: string | undefined): string {
    const attempt = /^(\[.*?\] Attempt \d+ failed, trying again): (.*)$/.exec(line);
    if (attempt === null || requestId === undefined) return line;
    const [, beginning = "", reason = ""] = attempt;
    const isRepeated = this.lastReasons.get(requestId) === reason;
    this.lastReasons.set(requestId, reason);
    return isRepeated ? `${beginning} (same reason)` : line;
  }

  /** The run is over. */
  forget(requestId: string): void {
    this.lastReasons.delete(requestId);
  }
}
