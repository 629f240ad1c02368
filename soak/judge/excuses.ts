/** What a view may be for a while, because of a fault that was planted. All of it ends by rows of its history. */
import type { Client } from "pg";
import type { QualifiedName } from "../../handler/settings";
import { firstFullRun } from "./shown";

export class Excuses {
  /** It may be wrong until a full run with a higher id. */
  private wrongUntilFullAfter: number | undefined;
  /** That full run: what reads the view may be wrong until a refresh with a higher id. */
  private rightSince = 0;
  /** It may be newer than history says until a row with a higher id. */
  private unrecordedUntilAfter: number | undefined;

  constructor(
    private readonly view: QualifiedName,
    private readonly source?: Excuses,
  ) {}

  untilFullRun(afterId: number): void {
    this.wrongUntilFullAfter = afterId;
  }

  untilRecorded(afterId: number): void {
    this.unrecordedUntilAfter = afterId;
  }

  /** Whether what is shown may be wrong. @param id newest row of history that belongs to what is shown */
  async mayBeWrong(client: Client, id: number): Promise<boolean> {
    if (this.wrongUntilFullAfter !== undefined) {
      const full = await firstFullRun(client, this.view, this.wrongUntilFullAfter, id);
      if (full === undefined) return true;
      this.wrongUntilFullAfter = undefined;
      this.rightSince = full;
    }
    const { source } = this;
    return source !== undefined && (source.wrongUntilFullAfter !== undefined || id < source.rightSince);
  }

  mayBeUnrecorded(id: number): boolean {
    if (id > (this.unrecordedUntilAfter ?? Infinity)) this.unrecordedUntilAfter = undefined;
    return this.unrecordedUntilAfter !== undefined;
  }
}
