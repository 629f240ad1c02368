/** The migration function as it is deployed: its bundle with the files beside it, in a process of its own. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Client } from "pg";
import { bundleHandler } from "../../components/bundle";
import { toEnvironment } from "../../handler/settings";
import { LambdaFunction } from "../../local/lambda/lambdaFunction";
import type { Invocation } from "../../local/lambda/lambdaProcess";
import { MIGRATIONS_FOLDER, REFRESH_USER_VARIABLE } from "../../migrations/contract";
import { ALL_MIGRATIONS } from "../../migrations/sets";
import { useDatabase } from "../database";

const names = [
  "001_jobs.sql",
  "002_optimize_for_scale.sql",
  "003_refresh_history.sql",
  "004_refresher_role.sql",
  "005_job_objects_index.sql",
  "006_unknown_as_of.sql",
  "007_refresher_role.sql",
  "008_incremental.sql",
  "009_failure_detail.sql",
  "010_fast_freshness.sql",
];

describe("the migration function", () => {
  // Roles belong to the whole server, which other tests use too.
  const refreshUser = `refresh "user" ${randomBytes(4).toString("hex")}`;
  const quotedUser = `"${refreshUser.replaceAll('"', '""')}"`;
  let folder: string;
  let fn: LambdaFunction;
  let client: Client;

  // Before the hook that drops the database and closes its clients.
  after(async () => {
    await fn.stop();
    await client.query(`DROP ROLE IF EXISTS ${quotedUser}`);
    await client.query("DROP ROLE IF EXISTS rds_iam");
    await rm(folder, { recursive: true });
  });
  const database = useDatabase({ template: "empty" });

  before(async function () {
    this.timeout(60_000);
    folder = await mkdtemp(path.join(tmpdir(), "matview-refresh-migrate-"));
    const { file: bundleFile } = await bundleHandler("migrations/lambda.ts", folder);
    for (const directory of ALL_MIGRATIONS)
      await cp(directory, path.join(folder, MIGRATIONS_FOLDER), { recursive: true });
    const environment = toEnvironment({
      group: "job_progress",
      views: [{ schema: "public", name: "job_progress", allowBlocking: true }],
      database: database.databaseSettings(),
      logFormat: "json",
      historyRetentionDays: 30,
    });
    fn = new LambdaFunction({
      name: "matview-refresh-migrate",
      bundleFile,
      timeoutSeconds: 30,
      memoryMb: 256,
      environment: { ...environment, [REFRESH_USER_VARIABLE]: refreshUser },
      region: "us-east-1",
      runtime: "nodejs24.x",
    });
    client = await database.connect();
  });

  async function run(): Promise<Invocation> {
    return fn.invoke({ source: "pulumi-up" });
  }

  /** Groups the refresh user is in, and whether it may log in; undefined where it does not exist. */
  async function userOnServer(): Promise<{ login: boolean; groups: string[] } | undefined> {
    const { rows } = await client.query<{ login: boolean; groups: string[] }>(
      `SELECT u.rolcanlogin AS login,
              ARRAY(SELECT g.rolname::text FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
                    WHERE m.member = u.oid ORDER BY 1) AS groups
         FROM pg_roles u WHERE u.rolname = $1`,
      [refreshUser],
    );
    return rows[0];
  }

  it("migrates an empty database and makes the refresh user, who may refresh the view", async () => {
    const { outcome, value, error } = await run();
    assert.equal(outcome, "succeeded", error?.errorMessage);
    assert.deepEqual(value, { applied: names, alreadyApplied: [] });
    assert.deepEqual(await userOnServer(), { login: true, groups: ["matview_refresher"] });
    await client.query(`SET ROLE ${quotedUser}`);
    await client.query("REFRESH MATERIALIZED VIEW CONCURRENTLY public.job_progress");
    await client.query("RESET ROLE");
  });

  it("does nothing the second time", async () => {
    assert.deepEqual((await run()).value, { applied: [], alreadyApplied: names });
    assert.deepEqual(await userOnServer(), { login: true, groups: ["matview_refresher"] });
  });

  it("lets the user sign in by IAM where the server knows that, as RDS does", async () => {
    await client.query("CREATE ROLE rds_iam NOLOGIN");
    const { outcome, error } = await run();
    assert.equal(outcome, "succeeded", error?.errorMessage);
    assert.deepEqual(await userOnServer(), { login: true, groups: ["matview_refresher", "rds_iam"] });
  });

  it("throws what a failing migration says, so that the update fails, and keeps what came before", async () => {
    const failing = path.join(folder, MIGRATIONS_FOLDER, "099_failing.sql");
    await writeFile(failing, "CREATE TABLE half_done (a int);\nSELECT no_such_column FROM public.jobs;\n");
    const { outcome, error } = await run();
    assert.equal(outcome, "failed");
    assert.match(error?.errorMessage ?? "", /099_failing\.sql/);
    assert.match(error?.errorMessage ?? "", /no_such_column/);
    const { rows } = await client.query<{ jobs: string | null; half: string | null }>(
      "SELECT to_regclass('public.jobs')::text AS jobs, to_regclass('public.half_done')::text AS half",
    );
    assert.deepEqual(rows, [{ jobs: "jobs", half: null }]);
    await rm(failing);
    assert.equal((await run()).outcome, "succeeded");
  });
});
