import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Client } from "pg";
import { makePlan } from "../../components/plan/plan";
import { parseSettings } from "../../components/settings/parseSettings";
import { createFunctionLogin } from "../../local/postgres/database";
import type { Run } from "../../soak/bed/bed";
import { startFunction, type SoakFunction } from "../../soak/bed/functionBed";
import { startWire } from "../../soak/bed/wire";
import type { TestDatabase } from "../database";

/** Wire and function on a test's database, with two views of which one reads the other. */
export interface SmallBed {
  wire: Awaited<ReturnType<typeof startWire>>;
  fn: SoakFunction;
  /** As the superuser, past the wire. */
  client: Client;
  /** Delivers the next tick. */
  tick(): Promise<Run[]>;
  /** Sessions of the function, by state. */
  sessions(): Promise<string[]>;
  stop(): Promise<void>;
}

const VIEWS = ["soak.balance", "soak.summary"];

/** Starts them; the two views are made if they are missing. */
export async function startSmallBed(
  database: TestDatabase,
  timeoutSeconds = 8,
  names = VIEWS,
): Promise<SmallBed> {
  const folder = await mkdtemp(join(tmpdir(), "matview-refresh-soak-"));
  const client = await database.connect();
  const login = await createFunctionLogin(database.options());
  await client.query(`
    CREATE SCHEMA IF NOT EXISTS soak;
    GRANT USAGE ON SCHEMA soak TO matview_refresher;
    CREATE MATERIALIZED VIEW IF NOT EXISTS soak.balance AS SELECT 1 AS account, 10 AS sum;
    CREATE UNIQUE INDEX IF NOT EXISTS balance_account ON soak.balance (account);
    CREATE MATERIALIZED VIEW IF NOT EXISTS soak.summary AS SELECT account AS writer, sum FROM soak.balance;
    CREATE UNIQUE INDEX IF NOT EXISTS summary_writer ON soak.summary (writer);
    GRANT SELECT, MAINTAIN ON soak.balance, soak.summary TO matview_refresher;`);
  const wire = await startWire({ folder, primaryPort: () => database.server.port });
  const views = names.map((name) => ({ name }));
  const settings = { views, groupName: "soak", refreshRate: "rate(1 minute)", timeoutSeconds };
  const plan = makePlan(parseSettings(settings, "local"));
  const fn = await startFunction({ plan, wire, database: database.name, login, folder });
  let ticks = 0;
  return {
    wire,
    fn,
    client,
    tick() {
      ticks += 1;
      return fn.deliver(ticks, Date.UTC(2026, 10, 23) + ticks * 60_000);
    },
    async sessions() {
      const { rows } = await client.query<{ state: string }>(
        "SELECT state FROM pg_stat_activity WHERE application_name = 'matview-refresh' AND datname = $1",
        [database.name],
      );
      return rows.map(({ state }) => state);
    },
    async stop() {
      await fn.stop();
      await wire.stop();
      await rm(folder, { recursive: true });
    },
  };
}
