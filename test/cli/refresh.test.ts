import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { ConnectionFaults, connectionFromEnvironment } from "../../cli/connection";
import { Budget } from "../../handler/budget";
import { useDatabase } from "../database";
import { ITEMS, maintain, TOTALS } from "../handler/maintainedView";
import { makeCertificate, startTlsRelay } from "../tlsRelay";

/** Runs the subcommand in a process of its own, with no variable but PATH and the ones given. */
async function refresh(environment: Record<string, string>, ...args: string[]) {
  const command = path.join(__dirname, "..", "..", "cli", "refresh");
  const program =
    `const { Command } = require("commander");` +
    `void new Command().addCommand(require(${JSON.stringify(command)}).refreshCommand()).parseAsync();`;
  const child = spawn(
    process.execPath,
    ["-r", require.resolve("tsx/cjs"), "-e", program, "--", "refresh", ...args],
    { env: { PATH: process.env.PATH, ...environment }, cwd: path.join(__dirname, "..", "..") },
  );
  let [stdout, stderr] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const [exitCode] = (await once(child, "close")) as [number];
  return { exitCode, stdout, stderr };
}

describe("refresh by hand", function () {
  this.timeout(20_000);
  const database = useDatabase();

  it("prints the lines of the function's log and exits with 0", async () => {
    const { exitCode, stdout, stderr } = await refresh({ DATABASE_URL: database.url });
    assert.equal(stderr, "");
    assert.equal(exitCode, 0);
    assert.match(
      stdout,
      /Connecting to database\.\.\.\n.* Refreshing job_progress materialized view\.\.\.\n.* ✓ Refresh completed in /,
    );
  });

  it("takes the RDS_ variables, and prints JSON alone on stdout", async () => {
    const { host, port, user, password } = database.server;
    const { exitCode, stdout } = await refresh(
      {
        RDS_PROXY_ENDPOINT: host,
        RDS_PORT: String(port),
        RDS_USERNAME: user,
        RDS_PASSWORD: password,
        RDS_DATABASE: database.name,
      },
      "--json",
    );
    assert.equal(exitCode, 0);
    const body = JSON.parse(stdout) as Record<string, unknown>;
    assert.deepEqual([body.success, body.refresh_type], [true, "concurrent"]);
  });

  it("says what it would do, and does not do it", async () => {
    const client = await database.connect();
    await client.query(`CREATE SCHEMA s; CREATE MATERIALIZED VIEW s."a.b" AS SELECT 1 AS id WITH NO DATA`);
    const { exitCode, stdout } = await refresh(
      { DATABASE_URL: database.url },
      ...["--dry-run", "--view", "job_progress", "--view", 's."a.b"'],
    );
    assert.equal(exitCode, 0);
    assert.equal(
      stdout,
      "job_progress would be refreshed (concurrent): unique index job_progress_job_id_idx (job_id)\n" +
        "s.a.b would be refreshed (regular): the view has never been populated, so nobody can read it yet\n",
    );
    await assert.rejects(client.query(`SELECT FROM s."a.b"`), { code: "55000" });
  });

  it("warns of NULLs in the key, whose rows every refresh writes anew", async () => {
    const client = await database.connect();
    await client.query(`
      CREATE MATERIALIZED VIEW s.keyed AS SELECT g AS a, nullif(g, 2) AS "b c", nullif(g, 3) AS d FROM generate_series(1, 3) g;
      CREATE UNIQUE INDEX keyed_idx ON s.keyed (a, "b c") INCLUDE (d)`);
    const dryRun = ["--dry-run", "--view", "s.keyed"];
    const { exitCode, stdout } = await refresh({ DATABASE_URL: database.url }, ...dryRun);
    assert.equal(exitCode, 0);
    const [, warning] = stdout.split("\n");
    assert.equal(
      warning,
      '  Warning: its unique key holds NULL ("b c"), and every concurrent refresh deletes and inserts such rows',
    );
    // What the warning says is so: the row is another one after a refresh that changed nothing.
    const rows = async () =>
      (await client.query<{ at: string }>("SELECT ctid::text AS at FROM s.keyed ORDER BY a")).rows;
    const before = await rows();
    await client.query("REFRESH MATERIALIZED VIEW CONCURRENTLY s.keyed");
    const changed = (await rows()).map(({ at }, index) => at !== before[index]?.at);
    assert.deepEqual(changed, [false, true, false]);
    const asJson = await refresh({ DATABASE_URL: database.url }, "--json", ...dryRun);
    const [view] = (JSON.parse(asJson.stdout) as { views: { warning?: string }[] }).views;
    assert.ok(view?.warning !== undefined && warning?.endsWith(view.warning));
    const silent = await refresh({ DATABASE_URL: database.url }, "--dry-run", "--json");
    assert.ok(!silent.stdout.includes("warning"));
  });

  it("folds what changed into a maintained view, computes it anew with --full, and says before which it will be", async () => {
    const client = await database.connect();
    await client.query(ITEMS);
    await maintain(client, TOTALS);
    await client.query("UPDATE items SET n = 0 WHERE id = 1");
    const run = (...args: string[]) => refresh({ DATABASE_URL: database.url }, "--view", "totals", ...args);
    assert.equal(
      (await run("--dry-run")).stdout,
      "totals would be refreshed (incremental): changes are folded by matview_refresh.public__totals__fold\n",
    );
    assert.equal(
      (await run("--dry-run", "--full")).stdout,
      "totals would be refreshed (full): it was asked for\n",
    );
    const planned = JSON.parse((await run("--dry-run", "--json")).stdout) as {
      views: Record<string, unknown>[];
    };
    assert.deepEqual([planned.views[0]?.refresh_type, planned.views[0]?.reason], ["incremental", undefined]);
    assert.match(
      (await run()).stdout,
      /✓ Refresh completed in \d\.\d{3}s \(incremental, 2 changes, 1 row\)\n/,
    );
    const { stdout } = await run("--full", "--json");
    const { duration_seconds: _, ...body } = JSON.parse(stdout) as Record<string, unknown>;
    assert.deepEqual(body, {
      ...{ success: true, refresh_type: "full", statistics: { total_rows: 3 } },
      ...{ changes: 0, changed_rows: 0, drift: 0, reason: "it was asked for" },
    });
    const whole = await refresh({ DATABASE_URL: database.url }, "--full");
    assert.match(whole.stdout, /✓ Refresh completed in \d\.\d\ds \(concurrent\)\n/);
  });

  it("exits with 1 and the remedy when it fails", async () => {
    const failed = await refresh({ DATABASE_URL: database.url }, "--view", "nothing");
    assert.equal(failed.exitCode, 1);
    assert.match(
      failed.stdout,
      /✗ Refresh failed: public\.nothing: .*SQLSTATE 42P01.*To fix it: CREATE MATERIALIZED VIEW /,
    );
    const asJson = await refresh({ DATABASE_URL: database.url }, "--json", "--dry-run", "--view", "nothing");
    assert.equal(asJson.exitCode, 1);
    assert.equal((JSON.parse(asJson.stdout) as { code: string }).code, "42P01");
  });

  it("shows the server's own words, with detail and hint, to whoever asked", async () => {
    const client = await database.connect();
    await client.query(`
      CREATE FUNCTION public.complain() RETURNS integer LANGUAGE plpgsql AS $$ BEGIN
        RAISE EXCEPTION 'row 7 is odd' USING DETAIL = 'Its total is 3.', HINT = 'Correct it.'; END $$;
      CREATE MATERIALIZED VIEW complaining AS SELECT public.complain() AS n WITH NO DATA`);
    const failed = await refresh({ DATABASE_URL: database.url }, "--view", "complaining");
    assert.match(
      failed.stdout,
      /The server said: row 7 is odd\n {2}Detail: Its total is 3\.\n {2}Hint: Correct it\.\n/,
    );
    const asJson = await refresh({ DATABASE_URL: database.url }, "--json", "--view", "complaining");
    assert.deepEqual((JSON.parse(asJson.stdout) as { server: unknown }).server, {
      ...{ message: "row 7 is odd", detail: "Its total is 3.", hint: "Correct it." },
    });
  });

  it("gives up soon where nobody ever answered, and says a reason once before the last", async () => {
    const { exitCode, stdout } = await refresh(
      { DATABASE_URL: "postgres://nobody@127.0.0.1:1/nothing" },
      "--timeout",
      "300",
    );
    assert.equal(exitCode, 1);
    const retries = stdout.split("\n").filter((line) => line.includes("trying again"));
    assert.ok(retries.length >= 3 && retries.length <= 10, stdout);
    assert.match(retries[0] ?? "", /Attempt 1 failed, trying again: .*ECONNREFUSED.*To fix it: pg_isready/);
    for (const retry of retries.slice(1))
      assert.match(retry, /Attempt \d+ failed, trying again \(same reason\)$/);
    assert.match(stdout, /✗ Refresh failed: .*ECONNREFUSED.*To fix it: pg_isready/);
  }).timeout(40_000);

  it("exits with 2 for bad usage, with every fault and its remedy", async () => {
    const { exitCode, stderr } = await refresh({
      RDS_PROXY_ENDPOINT: "proxy",
      PGSSLMODE: "yes",
      PGSERVICE: "x",
    });
    assert.equal(exitCode, 2);
    for (const fault of [
      /^RDS_USERNAME is not set: export /m,
      /^RDS_PASSWORD is not set: export /m,
      /sslmode "yes"/,
      /unset PGSERVICE/,
    ]) {
      assert.match(stderr, fault);
    }
    assert.equal((await refresh({ DATABASE_URL: database.url }, "--colour")).exitCode, 2);
    assert.equal((await refresh({ DATABASE_URL: database.url }, "--view", "a.b.c")).exitCode, 2);
  });
});

describe("the connection of a command by hand", () => {
  const database = useDatabase();
  let directory: string;
  before(async () => {
    directory = await mkdtemp(path.join(tmpdir(), "matview-refresh-cli-"));
  });
  after(() => rm(directory, { recursive: true }));

  function faults(environment: Record<string, string>): string[] {
    try {
      connectionFromEnvironment(environment);
      return [];
    } catch (error) {
      assert.ok(error instanceof ConnectionFaults);
      return error.faults;
    }
  }

  /** Logs in and says whether the session came over TLS, as far as the relay in front of the server knows. */
  async function canConnect(environment: Record<string, string>): Promise<string> {
    try {
      const session = await connectionFromEnvironment(environment).open(new Budget(5_000));
      const [row] = await session.query<{ name: string }>("SELECT current_database() AS name");
      await session.close();
      return row?.name ?? "";
    } catch (error) {
      return (error as { code?: string }).code ?? (error as Error).message;
    }
  }

  const pg = (): Record<string, string> => ({
    PGHOST: database.server.host,
    PGPORT: String(database.server.port),
    PGUSER: database.server.user,
    PGDATABASE: database.name,
  });

  it("needs something that says which database, and never quotes a URL", () => {
    assert.match(faults({})[0] ?? "", /RDS_PROXY_ENDPOINT=.*\n.*DATABASE_URL=.*\n.*PGHOST=/);
    const [fault = ""] = faults({ DATABASE_URL: "mysql://me:secret@host/d" });
    assert.ok(fault.startsWith("DATABASE_URL is not a URL") && !fault.includes("secret"));
    assert.equal(
      faults({ DATABASE_URL: database.url, RDS_PROXY_ENDPOINT: "a", RDS_USERNAME: "b", RDS_PASSWORD: "c" })
        .length,
      1,
    );
    assert.match(faults({ PGHOST: "h", PGSSLMODE: "verify-ca" })[0] ?? "", /PGSSLROOTCERT/);
  });

  it("takes the password from the file libpq takes it from, unless others may read it", async () => {
    const file = path.join(directory, "pgpass");
    await writeFile(
      file,
      `# comment\nother:*:*:*:no\n*:${database.server.port}:*:${database.server.user}:${database.server.password}\n`,
    );
    process.env.PGPASSFILE = file;
    try {
      await chmod(file, 0o600);
      assert.equal(await canConnect(pg()), database.name);
      await chmod(file, 0o644);
      assert.equal(await canConnect(pg()), "28P01");
    } finally {
      delete process.env.PGPASSFILE;
    }
  });

  it("means by sslmode what libpq means", async () => {
    const certificate = await makeCertificate();
    const caFile = path.join(directory, "ca.pem");
    await writeFile(caFile, certificate.cert);
    const relay = await startTlsRelay(database.server.port, certificate);
    const plain = { ...pg(), PGPASSWORD: database.server.password };
    const overTls = { ...plain, PGPORT: String(relay.port) };
    const localhost = { ...overTls, PGHOST: "localhost" };
    const untrusted = "DEPTH_ZERO_SELF_SIGNED_CERT";
    const noTls = "TLS_NOT_OFFERED";
    const [mode, ca] = [(PGSSLMODE: string) => ({ PGSSLMODE }), { PGSSLROOTCERT: caFile }];
    const expected: [Record<string, string>, string][] = [
      [{ ...plain }, database.name],
      [{ ...plain, ...mode("disable") }, database.name],
      [{ ...plain, ...mode("allow") }, database.name],
      [{ ...plain, ...mode("prefer") }, database.name],
      [{ ...plain, ...mode("require") }, noTls],
      [{ ...plain, ...mode("verify-full") }, noTls],
      [{ ...overTls, ...mode("prefer") }, database.name],
      [{ ...overTls, ...mode("require") }, database.name],
      [{ ...overTls, ...mode("verify-full") }, untrusted],
      [{ ...overTls, ...mode("verify-full"), ...ca }, database.name],
      [{ ...overTls, ...ca }, database.name],
      [{ ...localhost, ...mode("verify-full"), ...ca }, "ERR_TLS_CERT_ALTNAME_INVALID"],
      [{ ...localhost, ...mode("verify-ca"), ...ca }, database.name],
      [{ ...localhost, ...mode("require"), ...ca }, database.name],
    ];
    for (const [environment, result] of expected) {
      assert.equal(await canConnect(environment), result, JSON.stringify({ ...environment, PGPASSWORD: "" }));
    }
    await relay.close();
  });
});
