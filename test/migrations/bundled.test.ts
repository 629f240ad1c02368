import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { build } from "esbuild";
import { useDatabase } from "../database";

describe("the migration runner in a bundle", () => {
  const database = useDatabase({ template: "empty" });
  let folder: string;

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "matview-refresh-bundle-"));
  });

  after(() => rm(folder, { recursive: true, force: true }));

  it("applies files it was given, away from the project and its packages", async () => {
    const runner = path.join(__dirname, "..", "..", "migrations", "runner");
    const entry = path.join(folder, "entry.ts");
    await writeFile(
      entry,
      `import { migrate } from ${JSON.stringify(runner)};
       const files = [{ name: "001_bundled.sql", sql: "CREATE TABLE bundled (a int)" }];
       migrate(JSON.parse(process.env.CONNECTION ?? ""), { files }).then((result) => console.log(JSON.stringify(result)));`,
    );
    const outfile = path.join(folder, "bundle.js");
    const { warnings } = await build({
      entryPoints: [entry],
      bundle: true,
      platform: "node",
      target: "node20",
      outfile,
      external: ["pg-native"],
      logLevel: "silent",
    });
    assert.deepEqual(warnings, []);
    const { stdout } = await promisify(execFile)(process.execPath, [outfile], {
      cwd: folder,
      env: { CONNECTION: JSON.stringify(database.options()) },
    });
    const result = JSON.parse(stdout) as { applied: { name: string }[] };
    assert.deepEqual(
      result.applied.map(({ name }) => name),
      ["001_bundled.sql"],
    );
    const client = await database.connect();
    const { rows } = await client.query<{ n: number }>("SELECT count(*)::int AS n FROM bundled");
    assert.deepEqual(rows, [{ n: 0 }]);
  });
});
