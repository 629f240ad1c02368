/** What writers know of their own transactions, outside of the database: when each began, and when it had returned. */

/** Epoch milliseconds of this machine. */
interface Claim {
  /** Before BEGIN was sent. */
  beganMs: number;
  /** When the answer to COMMIT had come; undefined while none has: nobody knows whether it committed. */
  returnedMs?: number;
}

export class Claims {
  /** Transactions whose COMMIT was answered. */
  committed = 0;
  private readonly ofWriter = new Map<number, Map<number, Claim>>();

  of(writer: number, number: number): Claim | undefined {
    return this.ofWriter.get(writer)?.get(number);
  }

  /** Those of a writer with a number above one, in the order of their numbers. */
  after(writer: number, number: number): [number, Claim][] {
    return [...(this.ofWriter.get(writer) ?? [])]
      .filter(([each]) => each > number)
      .sort(([one], [other]) => one - other);
  }

  /** A transaction that has been given this number; an earlier one that had been given it did not commit. */
  begin(writer: number, number: number, beganMs: number): void {
    const claims = this.ofWriter.get(writer) ?? new Map<number, Claim>();
    this.ofWriter.set(writer, claims);
    claims.set(number, { beganMs });
  }

  returned(writer: number, number: number, returnedMs: number): void {
    this.committed += 1;
    const claim = this.of(writer, number);
    if (claim !== undefined) claim.returnedMs = returnedMs;
  }

  /** Drops what nobody asks for any more: up to this number. */
  forget(writer: number, number: number): void {
    const claims = this.ofWriter.get(writer);
    for (const each of claims?.keys() ?? []) if (each <= number) claims?.delete(each);
  }
}
