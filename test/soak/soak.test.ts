import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import type { SoakResult } from "../../soak/report";

const root = resolve(__dirname, "..", "..");

/** The command, with its output and exit code. */
async function soak(...options: string[]): Promise<{ code: number; output: string }> {
  const command = ["-r", "tsx/cjs", "soak/main.ts", ...options];
  try {
    const { stdout } = await promisify(execFile)(process.execPath, command, { cwd: root });
    return { code: 0, output: stdout };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, output: stdout + stderr };
  }
}

describe("a short soak", function () {
  this.timeout(300_000);
  let folder: string;
  before(async () => (folder = await mkdtemp(join(tmpdir(), "matview-refresh-soak-test-"))));
  after(() => rm(folder, { recursive: true }));

  for (const mode of ["full", "incremental"]) {
    it(`${mode}: every promise holds through faults of all kinds`, async () => {
      const file = join(folder, `${mode}.json`);
      const { code, output } = await soak("--ticks", "30", "--seed", "7", "--mode", mode, "--json", file);
      assert.equal(code, 0, output);
      const [result] = JSON.parse(await readFile(file, "utf8")) as SoakResult[];
      assert.ok(result !== undefined && result.ticks === 30 && result.violations.length === 0);
      assert.ok(result.faults.filter(({ struck }) => struck > 0).length >= 4, output);
      const { looks, cuts, transactions, historyRows } = result.judge;
      assert.ok(
        looks > 60 && cuts > 30 && transactions > 300 && historyRows > 30,
        JSON.stringify(result.judge),
      );
      assert.ok(result.faults.filter(({ exitCodes }) => exitCodes !== undefined).length >= 1, output);
      assert.match(output, /^Promises broken +0$/m);
    });
  }

  it("names what there is where a fault is unknown, and exits with 2", async () => {
    const { code, output } = await soak("--faults", "earthquake");
    assert.equal(code, 2);
    assert.match(output, /no such fault: earthquake\. Groups: server, network.* Faults: .*connection cut/);
  });
});
