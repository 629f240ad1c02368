import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { cpus, release, tmpdir, totalmem, type } from "node:os";
import { join } from "node:path";
import type { ClientConfig } from "pg";
import { bundleHandler, type Bundle } from "../components/bundle";
import { makePlan } from "../components/plan/plan";
import { parseSettings } from "../components/settings/parseSettings";
import { toEnvironment } from "../handler/settings";
import {
  createFunctionLogin,
  databaseSettings,
  serverVersion,
  startEmbeddedDatabase,
  withClient,
  writePasswordFile,
} from "../local/postgres/database";
import type { FunctionConfiguration } from "../local/lambda/lambdaFunction";
import { fill } from "../local/workload/workload";
import { migrate } from "../migrations/runner";
import { ALL_MIGRATIONS } from "../migrations/sets";

/** A server of the bench's own with a filled database, and the function that refreshes it. */
export interface Bed {
  /** As the superuser. */
  connection: ClientConfig;
  /** The superuser's password in the form psql reads, for PGPASSFILE. */
  passFile: string;
  /** Of the function as it is without settings: it refreshes public.job_progress and reads its statistics. */
  configuration: FunctionConfiguration;
  /** Of one that refreshes some view and reads no statistics. */
  configurationOf(view: string): FunctionConfiguration;
  /** Of one with the settings given, as they stand in a stack's configuration. */
  configurationFor(settings: Record<string, unknown>): FunctionConfiguration;
  bundle: Bundle;
  /** Such as `18.4`. */
  serverVersion: string;
  /** Empties the scanner's tables, fills them with so many objects, and refreshes the view once. */
  refill(objects: number): Promise<void>;
  stop(): Promise<void>;
}

/** Starts a server in a temporary folder and bundles the function as it is deployed. */
export async function makeBed(): Promise<Bed> {
  const folder = await mkdtemp(join(tmpdir(), "matview-refresh-bench-"));
  const { connection, server } = await startEmbeddedDatabase(join(folder, "server"), false, () => undefined);
  const stopServer = async (): Promise<void> => {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await migrate(connection, { directories: ALL_MIGRATIONS });
    const login = await createFunctionLogin(connection);
    const secret = await writePasswordFile(login.password);
    const passFile = join(folder, "pgpass");
    await writeFile(passFile, `*:*:*:*:${server.password}\n`, { mode: 0o600 });
    const bundle = await bundleHandler("handler/index.ts", join(folder, "bundle"));
    const database = databaseSettings(connection, login.user, secret.file, { tls: "disable" });
    const configurationFor = (given: Record<string, unknown>): FunctionConfiguration => {
      const { group, views, settings } = makePlan(parseSettings(given, "local"));
      const { timeoutSeconds, memoryMb, runtime, historyRetentionDays } = settings;
      return {
        ...{ name: "bench", bundleFile: bundle.file, timeoutSeconds, memoryMb, runtime, region: "us-east-1" },
        environment: toEnvironment({ group, views, logFormat: "json", historyRetentionDays, database }),
      };
    };
    return {
      connection,
      passFile,
      bundle,
      serverVersion: await withClient(connection, serverVersion),
      configuration: configurationFor({}),
      configurationOf: (view) => configurationFor({ views: [{ name: view }] }),
      configurationFor,
      refill: (objects) => refill(connection, objects),
      stop: async () => {
        secret.remove();
        await stopServer();
      },
    };
  } catch (error) {
    await stopServer();
    throw error;
  }
}

async function refill(connection: ClientConfig, objects: number): Promise<void> {
  await withClient(connection, async (client) => {
    await client.query("TRUNCATE public.jobs, public.job_objects RESTART IDENTITY");
    await fill(client, objects, () => undefined);
    await client.query("REFRESH MATERIALIZED VIEW public.job_progress");
    // What the fill left to write is written now and not in the middle of a measurement.
    await client.query("CHECKPOINT");
  });
}

/** What the figures were measured on. */
export function describeMachine(version: string): string {
  const memoryGb = Math.round(totalmem() / 2 ** 30);
  return (
    `${cpus()[0]?.model ?? "unknown processor"}, ${cpus().length} cores, ${memoryGb} GB, ` +
    `${type()} ${release().split("-")[0]}; Node ${process.versions.node}, PostgreSQL ${version}`
  );
}
