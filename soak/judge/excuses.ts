/** What a view may be for a while, because of a fault that was planted. All of it ends by rows of its history. */
import type { Client } from "pg";
import type { QualifiedName } from "../../handler/settings";
import { firstFullRun } from "./shown";

export class Excuses {
  /** It may be wrong until a full run with a higher id. */
  private wrongUntilFullAfter: number | undefined;
  /** It may be wrong until a refresh with a higher id, since what it reads was. */
  private wrongUntilAfter: number | undefined;
  /** It may be newer than history says until a row with a higher id. */
  private unrecordedUntilAfter: number | undefined;
  private readonly readers: Excuses[] = [];

  constructor(
    private readonly view: QualifiedName,
    private readonly source?: Excuses,
  ) {
    source?.readers.push(this);
  }

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
      for (const reader of this.readers) reader.wrongUntilAfter = full;
    }
    if (this.source?.wrongUntilFullAfter !== undefined || id <= (this.wrongUntilAfter ?? -1)) return true;
    this.wrongUntilAfter = undefined;
    return false;
  }

  mayBeUnrecorded(id: number): boolean {
    if (id > (this.unrecordedUntilAfter ?? Infinity)) this.unrecordedUntilAfter = undefined;
    return this.unrecordedUntilAfter !== undefined;
  }
}
