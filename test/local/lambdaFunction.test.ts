import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { LambdaFunction, type FunctionConfiguration } from "../../local/lambda/lambdaFunction";

/** A handler that does what its event asks for; it stands for the bundle wherever a run must go wrong. */
const misbehaving = `
let runs = 0;
exports.handler = async (event, context) => {
  runs += 1;
  if (event.print) { console.log(event.print); console.error("stderr " + event.print); }
  if (event.beat) { setInterval(() => console.log("beat"), event.beat); await new Promise(() => {}); }
  if (event.sleepMs) await new Promise((resolve) => setTimeout(resolve, event.sleepMs));
  if (event.fail) throw new TypeError(event.fail);
  if (event.exit !== undefined) process.exit(event.exit);
  if (event.spin) for (;;) {}
  if (event.reject) { Promise.reject(new Error("floating")); await new Promise(() => {}); }
  if (event.heapMb) { const kept = []; for (;;) kept.push(new Array(1e5).fill(kept.length)); }
  if (event.bufferMb) globalThis.kept = Buffer.alloc(event.bufferMb * 1024 * 1024, 1);
  if (event.hang) await new Promise(() => {});
  return {
    runs, pid: process.pid, env: process.env, argv: process.argv, execArgv: process.execArgv,
    remainingMs: context.getRemainingTimeInMillis(), context, date: new Date(0), nothing: undefined,
  };
};`;

interface Answer {
  runs: number;
  pid: number;
  env: Record<string, string>;
  argv: string[];
  execArgv: string[];
  remainingMs: number;
  context: Record<string, unknown>;
}

describe("the function's processes", () => {
  let folder: string;
  let running: LambdaFunction[] = [];
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "matview-refresh-lambda-"));
    await writeFile(join(folder, "index.js"), misbehaving);
  });
  afterEach(async () => {
    await Promise.all(running.map((one) => one.stop()));
    running = [];
  });
  after(() => rm(folder, { recursive: true }));

  function configuration(overrides: Partial<FunctionConfiguration> = {}): FunctionConfiguration {
    return {
      name: "matview-refresh-test",
      bundleFile: join(folder, "index.js"),
      timeoutSeconds: 10,
      memoryMb: 256,
      environment: { MATVIEW_GROUP: "test" },
      region: "us-east-1",
      runtime: "nodejs24.x",
      ...overrides,
    };
  }
  function launch(overrides: Partial<FunctionConfiguration> = {}): { fn: LambdaFunction; lines: string[] } {
    const lines: string[] = [];
    const fn = new LambdaFunction(configuration(overrides), (line, requestId) =>
      lines.push(`${requestId === undefined ? "none" : "run"}: ${line}`),
    );
    running.push(fn);
    return { fn, lines };
  }

  it("keeps a process warm for the next run", async () => {
    const { fn } = launch();
    const first = await fn.invoke({});
    const second = await fn.invoke({});
    assert.equal(first.outcome, "succeeded");
    assert.ok(first.initMs !== undefined && first.initMs > 0, "the first run is a cold start");
    assert.equal(second.initMs, undefined);
    assert.equal(second.pid, first.pid);
    assert.equal((second.value as Answer).runs, 2);
  });

  it("gives a run that arrives during another a process of its own", async () => {
    const { fn } = launch();
    const [slow, quick] = await Promise.all([fn.invoke({}), fn.invoke({})]);
    assert.notEqual(slow.pid, quick.pid);
    assert.equal(fn.pids.length, 2);
    const third = await fn.invoke({});
    assert.ok([slow.pid, quick.pid].includes(third.pid), "both stay warm");
  });

  it("shows the run nothing of this machine's environment", async () => {
    process.env.MATVIEW_TEST_SECRET = "do-not-show";
    try {
      const { fn } = launch();
      const answer = (await fn.invoke({})).value as Answer;
      assert.doesNotMatch(JSON.stringify(answer), /do-not-show/);
      assert.deepEqual(
        Object.keys(answer.env).filter((key) => !/^(AWS_|_HANDLER$|LAMBDA_TASK_ROOT$|TZ$|LANG$)/.test(key)),
        ["MATVIEW_GROUP"],
      );
      assert.deepEqual(
        answer.execArgv,
        ["--max-old-space-size=256"],
        "no loader of this process is taken over",
      );
    } finally {
      delete process.env.MATVIEW_TEST_SECRET;
    }
  });

  it("passes what Lambda passes and returns the answer as JSON does", async () => {
    const { fn } = launch({ timeoutSeconds: 7 });
    const invocation = await fn.invoke({});
    const answer = invocation.value as Answer & { date: unknown };
    assert.ok(answer.remainingMs > 0 && answer.remainingMs <= 7000, `${answer.remainingMs} ms left`);
    assert.equal(answer.context.awsRequestId, invocation.requestId);
    assert.equal(answer.context.functionName, "matview-refresh-test");
    assert.equal(answer.context.memoryLimitInMB, "256");
    assert.match(
      String(answer.context.invokedFunctionArn),
      /^arn:aws:lambda:us-east-1:\d{12}:function:matview-refresh-test$/,
    );
    assert.equal(answer.date, "1970-01-01T00:00:00.000Z");
    assert.ok(!("nothing" in answer));
  });

  it("has every printed line before the run counts as over", async () => {
    const { fn, lines } = launch();
    for (let run = 0; run < 20; run += 1) await fn.invoke({ print: `line ${run}` });
    const printed = lines.filter((line) => line.startsWith("run: line"));
    assert.deepEqual(
      printed,
      Array.from({ length: 20 }, (_, run) => `run: line ${run}`),
    );
    assert.equal(lines.filter((line) => line.startsWith("run: stderr line")).length, 20);
    assert.equal(lines.length, 40);
  });

  it("reports a thrown error as Lambda does and keeps the process", async () => {
    const { fn } = launch();
    const failed = await fn.invoke({ fail: "no such view" });
    assert.equal(failed.outcome, "failed");
    assert.equal(failed.error?.errorType, "TypeError");
    assert.equal(failed.error?.errorMessage, "no such view");
    assert.equal((await fn.invoke({})).pid, failed.pid);
  });

  it("kills a run at its timeout, also one that never yields, and replaces the process", async () => {
    for (const event of [{ sleepMs: 60_000 }, { spin: true }]) {
      const { fn } = launch({ timeoutSeconds: 1 });
      const timedOut = await fn.invoke(event);
      assert.equal(timedOut.outcome, "timedOut");
      assert.equal(timedOut.error?.errorMessage, "Task timed out after 1.00 seconds");
      const next = await fn.invoke({});
      assert.equal(next.outcome, "succeeded");
      assert.notEqual(next.pid, timedOut.pid);
      assert.equal(isAlive(timedOut.pid), false);
    }
  });

  it("pauses a run past its timeout, which ends it only after it has gone on for a moment", async () => {
    const { fn, lines } = launch({ timeoutSeconds: 1 });
    // It counts its own ticks, so that what it prints after the pause tells that it went on.
    const running = fn.invoke({ beat: 50 });
    await until(() => lines.length > 3);
    const [paused] = fn.busy;
    paused?.pause();
    await until(() => stateOf(paused?.pid) === "T");
    const ended = await Promise.race([running, sleep(1_500, "still there")]);
    assert.equal(ended, "still there");
    const before = lines.length;
    const resumed = performance.now();
    paused?.resume();
    assert.equal((await running).outcome, "timedOut");
    assert.ok(performance.now() - resumed >= 990, "it has a moment");
    assert.ok(lines.length > before + 3, "it went on");
    assert.deepEqual(fn.busy, []);
  });

  it("lets a run that was paused for less than its time end by itself", async () => {
    const { fn } = launch();
    const running = fn.invoke({ sleepMs: 200 });
    fn.busy[0]?.pause();
    fn.busy[0]?.resume();
    assert.equal((await running).outcome, "succeeded");
    assert.equal((await fn.invoke({})).outcome, "succeeded");
  });

  it("reports a process that ended and replaces it", async () => {
    const { fn } = launch();
    const crashed = await fn.invoke({ exit: 3 });
    assert.equal(crashed.outcome, "crashed");
    assert.equal(crashed.error?.errorMessage, "Runtime exited with error: exit status 3");
    const floating = await fn.invoke({ reject: true });
    assert.equal(floating.outcome, "crashed", "an unhandled rejection ends the process");
    assert.equal((await fn.invoke({})).outcome, "succeeded");
  });

  it("ends a run that outgrows its memory, on the heap and beside it", async () => {
    const heap = await launch({ memoryMb: 128, timeoutSeconds: 25 }).fn.invoke({ heapMb: 1 });
    assert.equal(heap.outcome, "crashed");
    assert.match(heap.error?.errorMessage ?? "", /signal: (aborted|killed)|exit status 134/);
    for (const hang of [false, true]) {
      const buffer = await launch({ memoryMb: 128 }).fn.invoke({ bufferMb: 200, hang });
      assert.equal(buffer.outcome, "crashed");
      assert.match(
        buffer.error?.errorMessage ?? "",
        /^Runtime exited with error: memory limit of 128 MB exceeded, signal: killed$/,
      );
    }
  });

  it("says why a bundle cannot be loaded", async () => {
    await writeFile(join(folder, "broken.js"), "require('./not-in-the-bundle');");
    const { fn } = launch({ bundleFile: join(folder, "broken.js") });
    const invocation = await fn.invoke({});
    assert.equal(invocation.outcome, "crashed");
    assert.equal(invocation.error?.errorType, "Runtime.InitError");
    assert.match(invocation.error?.errorMessage ?? "", /Cannot find module/);
  });

  it("leaves no process behind when it is stopped, in the middle of a run or of a start", async () => {
    const { fn } = launch();
    const { pid } = await fn.invoke({});
    const inFlight = fn.invoke({ sleepMs: 60_000 });
    const starting = fn.invoke({});
    await fn.stop();
    assert.equal((await inFlight).outcome, "crashed");
    const late = await starting;
    for (const stopped of [pid, late.pid].filter((one) => one > 0)) assert.equal(isAlive(stopped), false);
    assert.deepEqual(fn.pids, []);
    assert.equal((await fn.invoke({})).outcome, "crashed", "a stopped function starts nothing");
  });
});

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(10);
}

/** Of a process on Linux: `T` where it is stopped; elsewhere it is taken for stopped. */
function stateOf(pid: number | undefined): string | undefined {
  if (process.platform !== "linux") return "T";
  return /\) (\w) /.exec(readFileSync(`/proc/${pid}/stat`, "utf8"))?.[1];
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
