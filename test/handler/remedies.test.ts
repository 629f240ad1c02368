import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import path from "node:path";
import { promisify } from "node:util";
import { useDatabase } from "../database";
import { onlyFailure, onlyRefreshed, runViews, viewNamed } from "./harness";

describe("a remedy that is a command", () => {
  const database = useDatabase({ template: "empty" });

  it("gives an empty database the view that was missing", async () => {
    const jobProgress = viewNamed("job_progress");
    const { code, remedy } = onlyFailure(await runViews(database, [jobProgress]));
    assert.equal(code, "42P01");
    const [file = "", ...args] = remedy.split(" ");
    await promisify(execFile)(file, args, {
      cwd: path.join(__dirname, "..", ".."),
      env: { PATH: process.env.PATH, DATABASE_URL: database.url },
    });
    onlyRefreshed(await runViews(database, [jobProgress]));
  }).timeout(30_000);

  it("does not send anybody to the migrations for a view that none of them makes", async () => {
    const { remedy } = onlyFailure(await runViews(database, [viewNamed("elsewhere's")]));
    assert.ok(remedy.startsWith(`CREATE MATERIALIZED VIEW "public"."elsewhere's" AS SELECT …;  -- `), remedy);
    assert.ok(!remedy.includes("npm run migrate"), remedy);
  });
});
