import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { escapeIdentifier, type Client } from "pg";
import { parse, stringify } from "yaml";
import { judgeTls } from "../../doctor/checks/certificate";
import type { Scope } from "../../doctor/scope";
import { makePlan } from "../../components/plan/plan";
import { parseSettings } from "../../components/settings/parseSettings";
import { useDatabase } from "../database";
import { useRole } from "../handler/roles";
import { makeCertificate, startTlsRelay } from "../tlsRelay";
import { apply, assertGone, found, look, runMain, urlOf } from "./examined";

const RUN = `INSERT INTO matview_refresh_history
  (view_schema, view_name, view_oid, outcome, refresh_type, as_of, started_at, finished_at, duration_seconds, sqlstate, run_id)
  SELECT 'public', 'job_progress', 'job_progress'::regclass`;

for (const majorVersion of [18, 15] as const) {
  describe(`doctor with a stack on PostgreSQL ${majorVersion}`, function () {
    this.timeout(60_000);
    const database = useDatabase({ majorVersion });
    const user = useRole(database);
    let client: Client;
    let folder = "";

    before(async () => {
      client = await database.connect();
      folder = await mkdtemp(path.join(tmpdir(), "matview-refresh-doctor-"));
      await client.query(`GRANT matview_refresher TO ${escapeIdentifier(user.name)}`);
      await runMain("refresh", [], { DATABASE_URL: urlOf(database) });
    });
    after(() => rm(folder, { recursive: true }));

    const FAR = { host: "db.example.com", name: "scanner", resourceId: "cluster-ABCDEFGHIJKLMNOPQRSTUVWXYZ" };
    /** Runs of so many seconds, a minute apart. */
    const runs = (seconds: number, count = 30): Promise<unknown> =>
      client.query(`DELETE FROM matview_refresh_history; ${RUN}, 'refreshed', 'concurrent', t - interval '1s' * ${seconds},
        t - interval '1s' * ${seconds}, t, ${seconds}, NULL, 'r' || g
        FROM (SELECT g, now() - interval '1 minute' * (${count} - g) AS t FROM generate_series(1, ${count}) g) x`);

    /** The settings after the remedy, which is a command of Pulumi's, has been carried out on them. */
    function configured(settings: Record<string, unknown>, remedy: string): Record<string, unknown> {
      const [, key = "", quoted, plain] =
        /^pulumi config set (\w+) (?:"([^"]*)"|(\S+)) --stack prod/.exec(remedy) ?? [];
      assert.notEqual(key, "", remedy);
      return { ...settings, [key]: quoted ?? plain };
    }

    for (const [name, seconds, settings] of [
      ["timeout", 70, { timeoutSeconds: 60, refreshRate: "rate(2 minutes)" }],
      ["timeout", 55, { timeoutSeconds: 60, refreshRate: "rate(2 minutes)" }],
      ["rate", 50, { timeoutSeconds: 100, refreshRate: "rate(30 seconds)" }],
    ] as const) {
      it(`${name}: runs of ${seconds} s with ${JSON.stringify(settings)}; gone with the setting that is named`, async () => {
        await runs(seconds);
        const examined = await look(database, { settings });
        const { grade, remedy } = found(examined, name);
        assert.equal(grade, name === "timeout" && seconds > 60 ? "will fail" : "will hurt");
        const better = configured(settings, remedy);
        assertGone(await look(database, { settings: better }), name);
      });
    }

    it("promise: kept now, and not an hour ago; gone with the one that is named", async () => {
      await client.query(`DELETE FROM matview_refresh_history; ${RUN}, 'refreshed', 'concurrent', t, t, t, 1, NULL, 'r' || g
        FROM (SELECT g, now() - interval '1 minute' * g AS t FROM generate_series(200, 1, -1) g WHERE g NOT BETWEEN 90 AND 150) x`);
      const settings = { timeoutSeconds: 60, refreshRate: "rate(1 minute)" };
      const { remedy, what } = found(await look(database, { settings }), "promise");
      assert.match(what, /older than the promised 9 min, up to 6\d s|up to 1 h|up to 6\d min/);
      assertGone(await look(database, { settings: configured(settings, remedy) }), "promise");
    });

    it("timeout: runs that were ended by it", async () => {
      await client.query(
        `DELETE FROM matview_refresh_history; ${RUN}, 'failed', NULL, NULL, now(), now(), 58, '57014', 'r' || g FROM generate_series(1, 4) g`,
      );
      const examined = await look(database, { settings: { refreshRate: "rate(5 minutes)" } });
      assert.match(found(examined, "timeout").what, /^4 of the runs .* were ended by their time, 60 s$/);
      assert.equal(found(examined, "failing").grade, "will fail");
    });

    it("late: no run comes any more", async () => {
      await client.query(
        `DELETE FROM matview_refresh_history; ${RUN}, 'refreshed', 'concurrent', t, t, t, 1, NULL, 'r' FROM (SELECT now() - interval '2 hours' AS t) x`,
      );
      const { remedy, what } = found(await look(database, { settings: {} }), "late");
      assert.match(what, /^its data is 2 h old, and the stack promises \d+ min$/);
      assert.match(remedy, /^aws events enable-rule --name matview-refresh-job-progress /);
    });

    it("nothing above 'worth knowing' where a stack and its database are well", async () => {
      await runs(0.1);
      const { findings, notSeen } = await look(database, { settings: {}, role: user.name });
      assert.deepEqual(
        findings.filter(({ grade }) => grade !== "worth knowing"),
        [],
      );
      assert.deepEqual(notSeen, []);
    });

    it("role-missing, iam-not-possible and iam-not-granted; then nothing of the role is left", async () => {
      await runs(0.1);
      const settings = { database: { ...FAR, user: `missing_${user.name}`, auth: "iam" } };
      const asked = { settings, role: settings.database.user };
      const missing = found(await look(database, asked), "role-missing");
      await client.query("CREATE ROLE rds_iam");
      try {
        await apply(missing.remedy, database, client);
        const after = await look(database, asked);
        for (const name of ["role-missing", "iam-not-granted", "may-not-refresh"]) assertGone(after, name);
        await client.query(`REVOKE rds_iam FROM ${escapeIdentifier(asked.role)}`);
        const { remedy } = found(await look(database, asked), "iam-not-granted");
        await apply(remedy, database, client);
        assertGone(await look(database, asked), "iam-not-granted");
      } finally {
        await client.query(`DROP ROLE IF EXISTS ${escapeIdentifier(asked.role)}, rds_iam`);
      }
      found(await look(database, { settings, role: user.name }), "iam-not-possible");
    });

    it("role-may-not-log-in, may-not-connect, password-expired and connection-limit", async () => {
      const name = escapeIdentifier(user.name);
      await client.query(`ALTER ROLE ${name} NOLOGIN VALID UNTIL '2020-01-01' CONNECTION LIMIT 0;
        REVOKE CONNECT ON DATABASE ${database.name} FROM PUBLIC`);
      const asked = { role: user.name };
      const examined = await look(database, asked);
      const names = ["role-may-not-log-in", "may-not-connect", "password-expired", "connection-limit"];
      for (const each of names) {
        assert.equal(found(examined, each).grade, "will fail");
        await apply(found(examined, each).remedy, database, client);
      }
      const after = await look(database, asked);
      for (const each of names) assertGone(after, each);
      const login = await database.connect({ user: user.name, password: user.password });
      await login.query("SELECT 1");
    });

    it("certificate-untrusted by the command; with the file it names nothing is left of it", async () => {
      const certificate = await makeCertificate();
      const relay = await startTlsRelay(database.server.port, certificate);
      try {
        const file = path.join(folder, "ca.pem");
        await writeFile(file, certificate.cert);
        const url = `postgres://postgres:${database.server.password}@127.0.0.1:${relay.port}/${database.name}`;
        const doctor = async (query: string) => {
          const run = await runMain("doctor", ["--json"], { DATABASE_URL: `${url}?${query}` });
          const { findings } = JSON.parse(run.stdout) as {
            findings: { name: string; what: string; remedy: string }[];
          };
          return { exitCode: run.exitCode, names: findings.map(({ name }) => name), findings };
        };
        const refused = await doctor("sslmode=verify-full");
        assert.deepEqual([refused.exitCode, refused.names], [1, ["connection"]]);
        assert.match(refused.findings[0]?.remedy ?? "", /PGSSLROOTCERT=ca\.pem/);
        const trusted = await doctor(`sslmode=verify-full&sslrootcert=${file}`);
        assert.equal(trusted.exitCode, 0);
        assert.ok(!trusted.names.some((name) => name.startsWith("certificate")), trusted.names.join());
      } finally {
        await relay.close();
      }
    });

    it("no-tls and certificate-untrusted for a stack, whose function takes no other", async () => {
      const stack = {
        views: ["public.job_progress"],
        database: { ...FAR, host: "127.0.0.1", user: user.name, auth: "iam" },
      };
      await writeFile(
        path.join(folder, "Pulumi.prod.yaml"),
        stringify({
          config: Object.fromEntries(
            Object.entries(stack).map(([key, value]) => [`matview-refresh:${key}`, value]),
          ),
        }),
      );
      assert.ok(parse("a: 1"));
      const relay = await startTlsRelay(database.server.port, await makeCertificate());
      const names = async (port: number, mode: string): Promise<string[]> => {
        const url = `postgres://postgres:${database.server.password}@127.0.0.1:${port}/${database.name}?sslmode=${mode}`;
        const { stdout, stderr } = await runMain(
          "doctor",
          ["--json", "--stack", "prod"],
          { DATABASE_URL: url },
          folder,
        );
        assert.notEqual(stdout, "", stderr);
        const { findings } = JSON.parse(stdout) as { findings: { name: string; grade: string }[] };
        return findings.filter(({ grade }) => grade === "will fail").map(({ name }) => name);
      };
      try {
        assert.ok((await names(database.server.port, "disable")).includes("no-tls"));
        assert.ok((await names(relay.port, "require")).includes("certificate-untrusted"));
      } finally {
        await relay.close();
      }
    });
  });
}

describe("doctor, certificates", () => {
  const plan = makePlan(parseSettings({}, "local"));
  const scope = {
    address: "db:5432/x",
    connection: { host: "db", port: 5432, isTlsAsked: true },
    stack: { name: "prod", plan },
  } as Scope;
  const day = 86_400_000;
  const nowMs = Date.UTC(2026, 10, 27);
  const facts = {
    offersTls: true,
    error: undefined,
    validToMs: nowMs + 400 * day,
    issuer: "Some CA",
    host: "db",
  };
  const names = (more: Partial<Parameters<typeof judgeTls>[0]>): string[] =>
    judgeTls({ ...facts, ...more }, scope, nowMs).findings.map(({ name, grade }) => `${name}: ${grade}`);

  it("judges one that is right, ends soon, has ended, is another host's, or is unknown", () => {
    assert.deepEqual(names({}), []);
    assert.deepEqual(names({ validToMs: nowMs + 20 * day }), ["certificate-expires: will hurt"]);
    assert.deepEqual(names({ error: "CERT_HAS_EXPIRED" }), ["certificate-expired: will fail"]);
    assert.deepEqual(names({ error: "ERR_TLS_CERT_ALTNAME_INVALID" }), ["certificate-host: will fail"]);
    assert.deepEqual(names({ error: "SELF_SIGNED_CERT_IN_CHAIN" }), ["certificate-untrusted: will fail"]);
  });

  it("does not accuse RDS of a CA that this machine lacks and the function has", () => {
    const error = "SELF_SIGNED_CERT_IN_CHAIN";
    const { findings, notSeen } = judgeTls(
      { ...facts, error, issuer: "Amazon RDS us-east-1 Root CA RSA2048 G1" },
      scope,
      nowMs,
    );
    assert.deepEqual([findings.length, notSeen.length], [0, 1]);
  });
});
