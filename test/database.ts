import { randomBytes } from "node:crypto";
import { Client, escapeIdentifier, type ClientConfig } from "pg";
import type { DatabaseSettings } from "../handler/settings";
import type { LocalPostgres, MajorVersion } from "../local/postgres/postgres";
import { migrate } from "../migrations/runner";
import { ALL_MIGRATIONS } from "../migrations/sets";
import { testServer } from "./servers";

/** What a test's database starts as: with all migrations applied, or with nothing in it. */
export type Template = "migrated" | "empty";

/** A database that one `describe` has for itself. Its members can be used from its `before` hooks on. */
export interface TestDatabase {
  readonly name: string;
  /** A postgres:// URL with the superuser and its password. */
  readonly url: string;
  readonly server: LocalPostgres;
  /** Connection options for the superuser. */
  options(): ClientConfig;
  /** Opens a connection that is closed after the `describe`. */
  connect(options?: ClientConfig): Promise<Client>;
  /** The database as the handler's settings name it. */
  databaseSettings(): DatabaseSettings;
}

/**
 * Gives the surrounding `describe` a database of its own, cloned from a template on the test run's server, and
 * drops it afterwards. Call it in the body of `describe`.
 */
export function useDatabase(wanted: { majorVersion?: MajorVersion; template?: Template } = {}): TestDatabase {
  const database = new ClonedDatabase();
  before(async function () {
    this.timeout(60_000);
    await database.create(await testServer(wanted.majorVersion ?? 18), wanted.template ?? "migrated");
  });
  after(async function () {
    this.timeout(60_000);
    await database.drop();
  });
  return database;
}

class ClonedDatabase implements TestDatabase {
  readonly name = `test_${randomBytes(6).toString("hex")}`;
  readonly #clients: Client[] = [];
  #server: LocalPostgres | undefined;

  get server(): LocalPostgres {
    if (!this.#server)
      throw new Error("The database does not exist before the hooks of its describe have run.");
    return this.#server;
  }

  get url(): string {
    const { user, password, host, port } = this.server;
    return `postgres://${user}:${password}@${host}:${port}/${this.name}`;
  }

  options(): ClientConfig {
    return optionsFor(this.server, this.name);
  }

  async connect(options: ClientConfig = {}): Promise<Client> {
    const client = new Client({ ...this.options(), ...options });
    // Tests cut connections on purpose; an idle client without a listener would end the run.
    client.on("error", () => undefined);
    await client.connect();
    this.#clients.push(client);
    return client;
  }

  databaseSettings(): DatabaseSettings {
    const { host, port, user, passwordFile } = this.server;
    return {
      host,
      port: String(port),
      name: this.name,
      user,
      auth: "password",
      passwordFile,
      tls: "disable",
    };
  }

  async create(server: LocalPostgres, template: Template): Promise<void> {
    this.#server = server;
    const templateName = await templateOn(server, template);
    await runOn(
      server,
      `CREATE DATABASE ${escapeIdentifier(this.name)} TEMPLATE ${escapeIdentifier(templateName)}`,
    );
  }

  async drop(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.end().catch(() => undefined)));
    // FORCE: a test may have left sessions on purpose, for one a refresh whose client was killed.
    await runOn(this.server, `DROP DATABASE IF EXISTS ${escapeIdentifier(this.name)} WITH (FORCE)`);
  }
}

const migratedTemplates = new WeakMap<LocalPostgres, Promise<string>>();

async function templateOn(server: LocalPostgres, template: Template): Promise<string> {
  if (template === "empty") return "template0";
  let building = migratedTemplates.get(server);
  if (!building) {
    building = buildMigratedTemplate(server);
    migratedTemplates.set(server, building);
  }
  return building;
}

async function buildMigratedTemplate(server: LocalPostgres): Promise<string> {
  const name = "template_migrated";
  await runOn(server, `CREATE DATABASE ${name} TEMPLATE template0`);
  await migrate(optionsFor(server, name), { directories: ALL_MIGRATIONS });
  return name;
}

/** Runs one statement in the server's maintenance database. */
async function runOn(server: LocalPostgres, statement: string): Promise<void> {
  const client = new Client(optionsFor(server, "postgres"));
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

function optionsFor(server: LocalPostgres, database: string): ClientConfig {
  const { host, port, user, password } = server;
  return { host, port, user, password, database, ssl: false };
}
