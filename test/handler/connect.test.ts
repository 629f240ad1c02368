import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { rootCertificates } from "node:tls";
import { escapeLiteral, type Client } from "pg";
import type { DatabaseSettings } from "../../handler/settings";
import { verifiedTls } from "../../handler/tls";
import { useDatabase } from "../database";
import { makeCertificate, startTlsRelay, type Certificate, type TlsRelay } from "../tlsRelay";
import { useEnvironment } from "./environment";
import { onlyFailure, onlyRefreshed, runViews, until, viewNamed } from "./harness";
import { useRole } from "./roles";
import { startSecretsManager, type SecretsManager } from "./secretsManager";

const view = viewNamed("v");
const dummyCredentials = {
  AWS_ACCESS_KEY_ID: "AKIAEXAMPLE",
  AWS_SECRET_ACCESS_KEY: "aws-secret-of-the-test",
  AWS_REGION: "eu-central-1",
};

describe("TLS", () => {
  const database = useDatabase();
  const role = useRole(database);
  let directory: string;
  let certificate: Certificate;
  let caFile: string;
  let relay: TlsRelay;
  let overTls: Partial<DatabaseSettings>;

  before(async () => {
    directory = await mkdtemp(path.join(tmpdir(), "matview-refresh-tls-"));
    certificate = await makeCertificate();
    caFile = path.join(directory, "ca.pem");
    await writeFile(caFile, certificate.cert);
    relay = await startTlsRelay(database.server.port, certificate);
    overTls = { port: String(relay.port), tls: "verify-full" };
    await (await database.connect()).query("CREATE MATERIALIZED VIEW v AS SELECT 1 AS id");
  });
  after(async () => {
    await relay.close();
    await rm(directory, { recursive: true });
  });

  it("refuses a certificate of an unknown CA, and says how to know it", async () => {
    const failure = onlyFailure(await runViews(database, [view], { database: overTls }));
    assert.deepEqual([failure.code, failure.kind], ["DEPTH_ZERO_SELF_SIGNED_CERT", "permanent"]);
    assert.match(
      failure.remedy,
      /^curl -o ca\.pem https:\/\/truststore\.pki\.rds\.amazonaws\.com\/global\/global-bundle\.pem && export PGSSLROOTCERT=/,
    );
    assert.match(failure.remedy, /MATVIEW_DATABASE_CA_FILE/);
  });

  it("takes it once its CA is added", async () => {
    onlyRefreshed(await runViews(database, [view], { database: { ...overTls, caFile } }));
  });

  it("refuses another host's certificate, though its CA is known", async () => {
    const database_ = { ...overTls, caFile, host: "localhost" };
    const failure = onlyFailure(await runViews(database, [view], { database: database_ }));
    assert.equal(failure.code, "ERR_TLS_CERT_ALTNAME_INVALID");
    assert.doesNotMatch(failure.remedy, /ca\.pem/);
  });

  it("refuses one that has expired, be it the server's or that of a bundle, and says what to do of either", async () => {
    const expired = await makeCertificate(new Date(Date.now() - 86_400_000));
    const expiredFile = path.join(directory, "expired.pem");
    await writeFile(expiredFile, expired.cert);
    const expiredRelay = await startTlsRelay(database.server.port, expired);
    const way = { ...overTls, port: String(expiredRelay.port), caFile: expiredFile };
    const failure = onlyFailure(await runViews(database, [view], { database: way }));
    await expiredRelay.close();
    assert.deepEqual([failure.code, failure.kind], ["CERT_HAS_EXPIRED", "permanent"]);
    assert.match(failure.problem, /has expired$/);
    assert.match(failure.remedy, /^curl -o ca\.pem .*modify-db-instance --ca-certificate-identifier/);
  });

  it("is not given up when the server has none", async () => {
    const failure = onlyFailure(await runViews(database, [view], { database: { tls: "verify-full" } }));
    assert.deepEqual([failure.code, failure.kind], ["TLS_NOT_OFFERED", "permanent"]);
    assert.match(failure.remedy, /^export PGSSLMODE=disable/);
  });

  describe("beside a CA file", () => {
    useEnvironment(() => ({ NODE_EXTRA_CA_CERTS: path.join(directory, "extra.pem") }));

    it("keeps the public roots, and those Node was given", async () => {
      await writeFile(path.join(directory, "extra.pem"), "the CAs of RDS, as Lambda names them");
      const ca = verifiedTls(caFile).ca as string[];
      assert.ok(rootCertificates.every((root) => ca.includes(root)));
      assert.ok(ca.includes(certificate.cert) && ca.includes("the CAs of RDS, as Lambda names them"));
      assert.deepEqual(verifiedTls(), { rejectUnauthorized: true, minVersion: "TLSv1.2" });
      assert.equal(verifiedTls(caFile).rejectUnauthorized, true);
    });
  });

  it("names a CA file that is not there", async () => {
    const missing = { ...overTls, caFile: path.join(directory, "missing.pem") };
    const failure = onlyFailure(await runViews(database, [view], { database: missing }));
    assert.deepEqual([failure.code, failure.kind], ["ENOENT", "permanent"]);
    assert.match(failure.problem, /missing\.pem/);
  });

  describe("with IAM", () => {
    const tokens: string[] = [];
    let client: Client;
    let hbaFile: string;
    let hba: string;
    let iamRelay: TlsRelay;
    useEnvironment(() => dummyCredentials);

    /** Waits until the server has read its files again. */
    async function reload(): Promise<void> {
      const { rows } = await client.query<{ loaded: string }>("SELECT pg_conf_load_time()::text AS loaded");
      await client.query("SELECT pg_reload_conf()");
      await until(client, "SELECT pg_conf_load_time()::text <> $1", [rows[0]?.loaded]);
    }

    before(async () => {
      client = await database.connect();
      hbaFile = (await client.query<{ hba_file: string }>("SHOW hba_file")).rows[0]?.hba_file ?? "";
      hba = await readFile(hbaFile, "utf8");
      // As RDS does for IAM: the token travels in clear inside TLS, and the server compares it.
      await writeFile(hbaFile, `host all ${role.name} 127.0.0.1/32 password\n${hba}`);
      await reload();
      await client.query(`ALTER MATERIALIZED VIEW v OWNER TO ${role.name}`);
      iamRelay = await startTlsRelay(database.server.port, certificate, async (token) => {
        tokens.push(token);
        await client.query(`ALTER ROLE ${role.name} PASSWORD ${escapeLiteral(token)}`);
      });
    });
    after(async () => {
      await iamRelay.close();
      await writeFile(hbaFile, hba);
      await reload();
      await client.query("ALTER MATERIALIZED VIEW v OWNER TO CURRENT_USER");
    });

    it("logs in with a token signed for this host, port and user, and logs none of it", async () => {
      const settings = {
        ...overTls,
        port: String(iamRelay.port),
        caFile,
        auth: "iam" as const,
        user: role.name,
      };
      const run = await runViews(database, [view], { database: settings });
      onlyRefreshed(run);
      assert.equal(tokens.length, 1);
      const [token = ""] = tokens;
      const url = new URL(`https://${token}`);
      assert.equal(url.host, `127.0.0.1:${iamRelay.port}`);
      assert.equal(url.searchParams.get("DBUser"), role.name);
      assert.equal(url.searchParams.get("Action"), "connect");
      assert.match(
        url.searchParams.get("X-Amz-Credential") ?? "",
        /^AKIAEXAMPLE\/\d{8}\/eu-central-1\/rds-db\/aws4_request$/,
      );
      const signature = url.searchParams.get("X-Amz-Signature") ?? "";
      assert.match(signature, /^[0-9a-f]{64}$/);
      assert.ok(!run.lines.join().includes(signature));
    });
  });
});

describe("a secret", () => {
  const database = useDatabase();
  const role = useRole(database);
  let secrets: SecretsManager;
  before(async () => {
    secrets = await startSecretsManager();
    const client = await database.connect();
    await client.query(
      `CREATE MATERIALIZED VIEW v AS SELECT 1 AS id; ALTER MATERIALIZED VIEW v OWNER TO ${role.name}`,
    );
  });
  after(() => secrets.close());
  useEnvironment(() => ({ ...dummyCredentials, AWS_ENDPOINT_URL_SECRETS_MANAGER: secrets.url }));

  const secretArn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:db-AbCdEf";
  const run = async () =>
    runViews(database, [view], { database: { auth: "secret", secretArn, tls: "disable" } });
  const secretOf = (password: string): string =>
    JSON.stringify({ username: role.name, password, engine: "postgres" });

  it("is fetched once a run", async () => {
    secrets.answers = [secretOf(role.password)];
    onlyRefreshed(await run());
    onlyRefreshed(await run());
    assert.deepEqual(secrets.requested, [secretArn, secretArn]);
  });

  it("is fetched once more when the server refuses it: it was rotated in between", async () => {
    secrets.requested.length = 0;
    secrets.answers = [secretOf("password-before-rotation"), secretOf(role.password)];
    const rotated = await run();
    onlyRefreshed(rotated);
    assert.equal(secrets.requested.length, 2);
    assert.ok(!rotated.lines.join().includes("password-before-rotation"));
  });

  it("that stays wrong is a permanent failure, fetched twice and never shown", async () => {
    secrets.requested.length = 0;
    secrets.answers = [secretOf("password-that-is-wrong")];
    const refused = await run();
    const failure = onlyFailure(refused);
    assert.deepEqual([failure.code, failure.kind], ["28P01", "permanent"]);
    assert.match(failure.remedy, /^aws secretsmanager get-secret-value/);
    assert.equal(secrets.requested.length, 2);
    assert.ok(!`${failure.stack} ${refused.lines.join()}`.includes("password-that-is-wrong"));
  });

  it("that is no JSON of RDS's shape is not quoted", async () => {
    secrets.answers = ["a-bare-password"];
    const failure = onlyFailure(await run());
    assert.equal(failure.problem, "the database secret is not JSON with username and password");
    assert.ok(!failure.message.includes("a-bare-password"));
  });

  for (const [status, type] of [
    [400, "ThrottlingException"],
    [500, "InternalServiceError"],
    [503, "SomethingUnheardOf"],
  ] as const) {
    it(`is asked for again when the answer is ${type}`, async () => {
      secrets.answers = [secretOf(role.password)];
      // The SDK itself asks twice.
      secrets.refusals = [1, 2].map(() => ({ status, type }));
      const refused = await run();
      onlyRefreshed(refused);
      const retry = refused.lines.find((line) => line.includes("trying again")) ?? "";
      assert.ok(retry.includes(`the database secret could not be fetched (${type})`), retry);
    });
  }

  it("that no answer brings is given up in time, and is nobody's lack of rights", async () => {
    const silent = createServer(() => undefined);
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const url = process.env.AWS_ENDPOINT_URL_SECRETS_MANAGER;
    process.env.AWS_ENDPOINT_URL_SECRETS_MANAGER = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const failure = onlyFailure(
      await runViews(database, [view], {
        database: { auth: "secret", secretArn, tls: "disable" },
        timeoutMs: 1_000,
      }),
    );
    process.env.AWS_ENDPOINT_URL_SECRETS_MANAGER = url;
    silent.close();
    assert.equal(failure.kind, "transient");
  });

  it("that may not be read is told with the name of AWS's refusal", async () => {
    secrets.answers = [];
    const failure = onlyFailure(await run());
    assert.deepEqual([failure.code, failure.kind], ["AccessDeniedException", "permanent"]);
    assert.match(failure.remedy, /^aws sts get-caller-identity/);
  });
});
