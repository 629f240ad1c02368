import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { planText, verificationText } from "../../cli/incrementalText";
import { progressOn } from "../../cli/progress";
import { wrapped } from "../../cli/table";
import type { Verification } from "../../incremental/verify";
import { handmade } from "../incremental/handmade";

const view = { schema: "public", name: "totals" };
const orders = { schema: "public", name: "orders" };

describe("what the incremental commands print", () => {
  it("has lines that fit the terminal, and whole ones in a pipe", () => {
    const planned = { view, findings: [], maintenance: handmade(view, orders), owner: "app" };
    const lines = (columns: number, isTTY: boolean): string[] =>
      planText(planned, { columns, isTTY }).split("\n");
    assert.deepEqual(
      lines(60, true).filter((line) => line.length > 60),
      [],
    );
    assert.ok(lines(0, false).some((line) => line.length > 120));
    assert.equal(wrapped("  aa bb cc\nd", 7), "  aa bb\n    cc\nd");
    assert.equal(wrapped("one-word-too-long", 5), "one-word-too-long");
  });

  it("ends without a time on what all came to", () => {
    const written: string[] = [];
    const stream = new PassThrough() as unknown as NodeJS.WriteStream;
    Object.assign(stream, { isTTY: true, columns: 40, write: (text: string) => written.push(text) > 0 });
    const progress = progressOn(stream);
    progress.report("a step whose title is longer than the terminal is wide");
    progress.conclude("public.totals is as it was before apply");
    progress.done(true);
    assert.equal(written.at(-1), "public.totals is as it was before apply\n");
    assert.match(written.at(-2) ?? "", /✓.*is wide.*0\.0 s/);
    // What is written over has to be one line.
    assert.ok((written[0] ?? "").replaceAll(/[\r\u001B]|\[[0-9;]*[Km]/g, "").length <= 40);
  });

  it("says what to do about a difference, and what usually causes it", () => {
    const found: Verification = {
      ...{ fold: { kind: "incremental", reason: null, changes: 0 }, rows: 3 },
      ...{ missing: 1, extra: 0, different: 0, examples: [] },
    };
    const text = verificationText({ schema: "public", name: "Odd" }, found);
    assert.match(text, /npm run refresh -- --view 'public\."Odd"' --full/);
    assert.match(text, /session_replication_role = replica/);
    const refused = verificationText(view, {
      ...found,
      fold: { kind: "refused", reason: "truncated", changes: null },
    });
    assert.match(refused, /A full run is due/);
    assert.doesNotMatch(refused, /session_replication_role/);
  });
});
