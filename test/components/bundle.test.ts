import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { bundleHandler } from "../../components/bundle";

const run = promisify(execFile);
const projectRoot = path.join(__dirname, "..", "..");
const LARGEST_BYTES = 600_000;

describe("the bundle", () => {
  let directory: string;
  before(async () => {
    directory = await mkdtemp(path.join(tmpdir(), "matview-refresh-bundle-"));
  });
  after(() => rm(directory, { recursive: true }));

  it("is the same bytes from wherever it is built, to wherever it goes", async () => {
    const first = await bundleHandler("handler/index.ts", path.join(directory, "first"));
    const program =
      `require(${JSON.stringify(path.join(projectRoot, "components", "bundle"))})` +
      `.bundleHandler("handler/index.ts", ${JSON.stringify(path.join(directory, "elsewhere", "second"))})` +
      ".then((bundle) => console.log(bundle.sha256))";
    const tsx = require.resolve("tsx/cjs");
    const { stdout } = await run(process.execPath, ["-r", tsx, "-e", program], { cwd: directory });
    assert.equal(stdout.trim(), first.sha256);
    const content = await readFile(first.file);
    assert.equal(createHash("sha256").update(content).digest("hex"), first.sha256);
    assert.equal(content.byteLength, first.bytes);
  });

  it("is small, names no folder of this machine, and carries the SDK", async () => {
    const { file, bytes, metafile } = await bundleHandler("handler/index.ts", directory);
    assert.ok(bytes < LARGEST_BYTES, `${bytes} bytes`);
    const content = await readFile(file, "utf8");
    assert.ok(!content.includes(projectRoot) && !content.includes(directory));
    const inputs = Object.keys(metafile.inputs);
    assert.ok(inputs.every((input) => !path.isAbsolute(input)));
    for (const module of ["@aws-sdk/rds-signer", "@aws-sdk/client-secrets-manager", "pg"]) {
      assert.ok(
        inputs.some((input) => input.startsWith(`node_modules/${module}/`)),
        module,
      );
    }
  });

  it("needs nothing but Node, and exports the handler", async () => {
    const { file } = await bundleHandler("handler/index.ts", directory);
    const program = `console.log(typeof require(${JSON.stringify(file)}).handler)`;
    const { stdout } = await run(process.execPath, ["-e", program], { cwd: directory, env: {} });
    assert.equal(stdout.trim(), "function");
  });
});
