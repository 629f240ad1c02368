import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { rootCertificates } from "node:tls";
import { connectionFromEnvironment, readTarget } from "../../cli/connection";
import { existingServer } from "../../cli/existingServer";

describe("the server of DATABASE_URL", () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "matview-refresh-existing-"));
  });
  after(async () => {
    delete process.env.PGPASSFILE;
    await rm(folder, { recursive: true, force: true });
  });

  const read = (environment: Record<string, string>): ReturnType<typeof existingServer> =>
    existingServer(readTarget(environment));
  const local = "postgres://me@127.0.0.1:5433/scanner";

  it("has its password from the URL, from PGPASSWORD or from the password file", async () => {
    const passwordFile = join(folder, "pgpass");
    await writeFile(passwordFile, "127.0.0.1:5433:scanner:me:from the file\n", { mode: 0o600 });
    process.env.PGPASSFILE = passwordFile;
    const url = local.replace("me@", "me:from%20the%20url@");
    const servers = await Promise.all([
      read({ DATABASE_URL: url, PGPASSWORD: "not this" }),
      read({ DATABASE_URL: local, PGPASSWORD: "from the variable" }),
      read({ DATABASE_URL: local }),
    ]);
    assert.deepEqual(
      servers.map(({ password }) => password),
      ["from the url", "from the variable", "from the file"],
    );
    const [{ connection }] = servers;
    assert.deepEqual(
      [connection.host, connection.port, connection.database, connection.user],
      ["127.0.0.1", 5433, "scanner", "me"],
    );
  });

  it("is verified, or on this machine", async () => {
    const PGSSLROOTCERT = join(folder, "ca.pem");
    await writeFile(PGSSLROOTCERT, rootCertificates[0] ?? "");
    const far = "postgres://me@db.example.com/scanner";
    assert.deepEqual((await read({ DATABASE_URL: local })).tls, { tls: "disable" });
    assert.deepEqual((await read({ DATABASE_URL: far })).tls, { tls: "verify-full" });
    assert.deepEqual((await read({ DATABASE_URL: far, PGSSLMODE: "require", PGSSLROOTCERT })).tls, {
      tls: "verify-full",
      caFile: PGSSLROOTCERT,
    });
    assert.deepEqual((await read({ DATABASE_URL: local, PGSSLMODE: "verify-full" })).tls, {
      tls: "verify-full",
    });
    await assert.rejects(read({ DATABASE_URL: far, PGSSLMODE: "disable" }), /without TLS.*verify-full/);
  });

  it("is refused for the reasons for which refresh and migrate refuse it", async () => {
    const refused: Record<string, string>[] = [
      { DATABASE_URL: `${local}?sslmode=verified` },
      { DATABASE_URL: "mysql://me:secret@127.0.0.1/scanner" },
      { DATABASE_URL: local, PGSSLMODE: "verify-ca" },
      { DATABASE_URL: local, PGSERVICE: "mine" },
    ];
    for (const environment of refused) {
      let message = "";
      assert.throws(
        () => connectionFromEnvironment(environment),
        (error: Error) => (message = error.message) !== "",
      );
      assert.doesNotMatch(message, /secret/);
      await assert.rejects(async () => read(environment), { name: "ConnectionFaults", message });
    }
  });
});
