import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const root = resolve(__dirname, "..", "..");

/** Both on one folder, one after the other: the second start is the quicker for it. */
describe("npm start, as it is typed", function () {
  this.timeout(60_000);
  let folder: string;
  let npm: ChildProcess;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "matview-refresh-npm-"));
  });
  afterEach(() => {
    // Only what a failing test has left.
    if (processesMentioning(folder) !== "") endGroup(npm, "SIGKILL");
  });
  after(() => rm(folder, { recursive: true, force: true }));

  /** Resolves when the run waits for its first tick. */
  async function start(): Promise<{ ended: Promise<number | null>; output: () => string }> {
    const options = ["--data", folder, "--objects", "150", "--load", "off"];
    npm = spawn("npm", ["start", "--", ...options], {
      cwd: root,
      // A process group of its own, as a terminal gives it.
      detached: true,
      env: { ...process.env, CI: "true", DATABASE_URL: undefined },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const ended = once(npm, "close").then(([code]) => code as number | null);
    let text = "";
    const ready = new Promise<void>((resolve) => {
      for (const stream of [npm.stdout, npm.stderr]) {
        stream?.setEncoding("utf8").on("data", (chunk: string) => {
          text += chunk;
          if (/Ctrl-C stops/.test(text)) resolve();
        });
      }
    });
    await Promise.race([ready, ended.then((code) => assert.fail(`ended with ${code}:\n${text}`))]);
    return { ended, output: () => text };
  }

  for (const [what, stop] of [
    ["a SIGTERM to npm", () => npm.kill("SIGTERM")],
    ["Ctrl-C, which reaches the whole process group", () => endGroup(npm, "SIGINT")],
  ] as const) {
    it(`ends cleanly on ${what}`, async () => {
      const { ended, output } = await start();
      stop();
      assert.equal(await ended, 0, output());
      assert.match(output(), /Stopping \(SIG(TERM|INT)\)[\s\S]*Worst staleness/);
      assert.equal(processesMentioning(folder), "");
      const log = await readFile(join(folder, "server.log"), "utf8");
      assert.match(log, /received fast shutdown request[\s\S]*database system is shut down\n$/);
      assert.doesNotMatch(log, /immediate shutdown|was not properly shut down/);
    });
  }
});

function endGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  process.kill(-(child.pid as number), signal);
}

/** Lines of `ps` that name the folder: npm, the run and the server do. */
function processesMentioning(text: string): string {
  const lines = execFileSync("ps", ["-eo", "pid,stat,args"], { encoding: "utf8" }).split("\n");
  return lines.filter((line) => line.includes(text)).join("\n");
}
