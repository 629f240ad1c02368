import assert from "node:assert/strict";
import { reportJson, reportText, type Report } from "../../cli/doctorText";
import { judgeServer } from "../../doctor/checks/server";
import { readSetting } from "../../doctor/checks/limits";
import type { Finding } from "../../doctor/finding";
import type { Scope } from "../../doctor/scope";
import { bytesText, configCommand, secondsText } from "../../doctor/words";
import { runMain } from "./examined";

const long = "words that go on and on ".repeat(8).trim();
const finding = (more: Partial<Finding>): Finding => ({
  name: "a",
  grade: "will hurt",
  view: "public.sales",
  what: long,
  why: long,
  remedy: `SELECT ${"x, ".repeat(40)}y;  -- as it stands`,
  ...more,
});
const report: Report = {
  address: "db:5432/x",
  findings: [
    finding({ grade: "will fail" }),
    finding({}),
    finding({ view: "public.costs", remedy: "SELECT 2;" }),
    finding({ name: "b", view: undefined, grade: "worth knowing", what: "short" }),
  ],
  notSeen: [{ what: "what others do", why: long, remedy: "GRANT pg_read_all_stats TO me;" }],
};

describe("what the doctor prints", () => {
  const terminal = reportText(report, { isTTY: true, columns: 80 }, { LANG: "C.UTF-8", NO_COLOR: "1" });
  const piped = reportText(report, { isTTY: false, columns: 80 }, { LC_ALL: "C", FORCE_COLOR: "1" });

  it("wraps what is read to the terminal, and keeps what is copied on one line", () => {
    const lines = terminal.split("\n");
    const fixes = lines.filter((line) => line.startsWith("    fix  "));
    assert.equal(fixes.length, 5);
    assert.ok(fixes.includes(`    fix  ${report.findings[0]?.remedy}`));
    assert.ok(
      lines.filter((line) => !fixes.includes(line)).every((line) => line.length <= 80),
      terminal,
    );
  });

  it("says the same of several views once, the worst first", () => {
    assert.deepEqual(
      terminal.split("\n").filter((line) => /^[A-Z ]+$/.test(line) && line.trim() !== ""),
      ["WILL FAIL", "WILL HURT", "WORTH KNOWING", "NOT SEEN"],
    );
    assert.match(
      terminal,
      /▲ 2 views: words that[^]*public\.sales\n {4}fix[^]*public\.costs\n {4}fix {2}SELECT 2;/,
    );
    assert.match(terminal, /\n1 will fail, 2 will hurt, 1 worth knowing; 1 not seen\n$/);
  });

  it("is plain ASCII in a pipe whose locale is not UTF-8, one line for each text", () => {
    assert.ok(/^[\x20-\x7e\n]*$/.test(piped));
    assert.ok(piped.includes(`  x public.sales: ${long}\n    why  ${long}\n`));
  });

  it("is JSON with every part of every finding", () => {
    const { success, findings, not_seen } = JSON.parse(reportJson(report)) as {
      success: boolean;
      findings: Finding[];
      not_seen: unknown[];
    };
    assert.deepEqual([success, findings.length, not_seen.length], [false, 4, 1]);
    assert.deepEqual(Object.keys(findings[0] ?? {}), ["name", "grade", "view", "what", "why", "remedy"]);
  });

  it("exits with 2 for wrong options or no database, and with 1 and a finding when nothing answers", async function () {
    this.timeout(20_000);
    for (const args of [["--what"], ["--long", "soon"], ["--stack", "nowhere"]]) {
      assert.equal((await runMain("doctor", args, { PGHOST: "127.0.0.1" })).exitCode, 2, args.join(" "));
    }
    assert.equal((await runMain("doctor", [], {})).exitCode, 2);
    const { exitCode, stdout } = await runMain("doctor", [], { PGHOST: "127.0.0.1", PGPORT: "1" });
    assert.equal(exitCode, 1);
    assert.match(stdout, /could not connect to 127\.0\.0\.1:1[^]*fix {2}pg_isready/);
  });
});

describe("what the doctor reads", () => {
  it("units of settings", () => {
    assert.deepEqual(
      [
        readSetting("5min", "ms"),
        readSetting("250", "ms"),
        readSetting("1GB", "kB"),
        readSetting("-1kB", "kB"),
      ],
      [300_000, 250, 1_048_576, -1],
    );
    assert.deepEqual([readSetting("on", null), readSetting(null, "ms")], ["on", undefined]);
  });

  it("quantities as people write them", () => {
    assert.deepEqual([0.04, 5, 100, 252, 7_500, 100_000, 200_000].map(secondsText), [
      ...["0.04 s", "5.0 s", "100 s", "4 min 12 s", "2 h 5 min", "27 h 46 min", "2 d 7 h"],
    ]);
    assert.deepEqual([100, 2_048, 20_000_000, 3e9].map(bytesText), [
      "100 bytes",
      "2.0 kB",
      "19 MB",
      "2.8 GB",
    ]);
    assert.equal(
      configCommand("prod", "refreshRate", "rate(2 minutes)"),
      'pulumi config set refreshRate "rate(2 minutes)" --stack prod && pulumi up --stack prod',
    );
  });

  it("a standby, a COMMIT that waits for one, a version without fixes, and a server whose connections are taken", () => {
    const names = (facts: object, version: number): string[] =>
      judgeServer(
        {
          nowMs: Date.UTC(2026, 10, 27),
          isStandby: false,
          connections: 5,
          mostConnections: 97,
          autovacuum: true,
          lacksStandby: false,
          waitingForStandby: 0,
          ...facts,
        },
        { version: "x", serverVersion: version, address: "db:5432/x" } as Scope,
      ).map(({ name, grade }) => `${name}: ${grade}`);
    assert.deepEqual(names({}, 180_004), []);
    assert.deepEqual(names({ isStandby: true }, 180_004), ["standby: will fail"]);
    assert.deepEqual(names({ lacksStandby: true }, 180_004), ["synchronous-standby: will fail"]);
    assert.deepEqual(names({ waitingForStandby: 1 }, 180_004), ["synchronous-standby: will hurt"]);
    assert.deepEqual(names({ connections: 95 }, 150_018), ["connections: will hurt"]);
    assert.deepEqual(names({ autovacuum: false }, 130_022), [
      "server-version: worth knowing",
      "autovacuum-off: will hurt",
    ]);
    assert.deepEqual(names({}, 120_000), ["server-version: will fail"]);
  });
});
