/** Two views, the tables that they read and the function's own run: as much of a soak as a fault of people needs. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { compileView } from "../../cli/compiler";
import { Budget } from "../../handler/budget";
import { connectorFor, Session } from "../../handler/connect";
import { throwFailures } from "../../handler/response";
import type { DatabaseSettings, ViewSettings } from "../../handler/settings";
import { apply } from "../../incremental/apply";
import type { Ambush, Bed, Mode, Phase, Run, WireConnection } from "../../soak/bed/bed";
import { Dice } from "../../soak/dice";
import type { Fault, Planted } from "../../soak/fault";
import type { TestDatabase } from "../database";
import { runViews } from "../handler/harness";
import { passwordFileWith, type TestRole } from "../handler/roles";

const VIEWS: ViewSettings[] = [
  { schema: "soak", name: "balance", allowBlocking: false, fullEverySeconds: 3_600 },
  { schema: "soak", name: "summary", allowBlocking: true, fullEverySeconds: 3_600 },
];

const TABLES = `
  CREATE SCHEMA soak;
  CREATE TABLE soak.writer (writer integer PRIMARY KEY, watermark bigint NOT NULL);
  CREATE TABLE soak.account (account integer PRIMARY KEY, writer integer NOT NULL, holder text NOT NULL);
  CREATE TABLE soak.entry (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account integer NOT NULL, amount bigint NOT NULL);
  INSERT INTO soak.writer SELECT w, 0 FROM generate_series(1, 2) w;
  INSERT INTO soak.account SELECT a, 1 + a % 2, 'holder ' || a FROM generate_series(1, 40) a;
  INSERT INTO soak.entry (account, amount) SELECT 1 + e % 40, e FROM generate_series(1, 400) e`;

const VIEWS_SQL = `
  CREATE MATERIALIZED VIEW soak.balance AS
    SELECT a.account, a.writer, a.holder, w.watermark, e.balance, e.entries
      FROM soak.account a JOIN soak.writer w ON w.writer = a.writer
      JOIN (SELECT account, sum(amount) AS balance, count(*) AS entries FROM soak.entry GROUP BY account) e
        ON e.account = a.account;
  CREATE UNIQUE INDEX balance_account ON soak.balance (account);
  CREATE MATERIALIZED VIEW soak.summary AS
    SELECT writer, sum(balance) AS balance, sum(entries) AS entries FROM soak.balance GROUP BY writer;
  CREATE UNIQUE INDEX summary_writer ON soak.summary (writer)`;

const GRANTS = "GRANT MAINTAIN, SELECT ON soak.balance, soak.summary TO matview_refresher";

/** One change of a writer, which concerns one account and its writer's watermark. */
const CHANGE = `
  INSERT INTO soak.entry (account, amount) VALUES (1, 1);
  UPDATE soak.writer SET watermark = watermark + 1 WHERE writer = 2`;

/** Rows that the views have and should not, and the other way round. */
const DIFFERENCE = `
  WITH balance AS (
    SELECT a.account, a.writer, a.holder, w.watermark, sum(e.amount) AS balance, count(*) AS entries
      FROM soak.account a JOIN soak.writer w ON w.writer = a.writer JOIN soak.entry e ON e.account = a.account
     GROUP BY a.account, a.writer, a.holder, w.watermark
  ), summary AS (SELECT writer, sum(balance) AS balance, sum(entries) AS entries FROM balance GROUP BY writer)
  SELECT (SELECT count(*) FROM ((TABLE soak.balance EXCEPT ALL TABLE balance) UNION ALL
                                (TABLE balance EXCEPT ALL TABLE soak.balance)) b)
       + (SELECT count(*) FROM ((TABLE soak.summary EXCEPT ALL TABLE summary) UNION ALL
                                (TABLE summary EXCEPT ALL TABLE soak.summary)) s) AS "rows"`;

/** A bed of which there is what these faults use; whatever else they would ask for is missing, and they fail. */
export class SmallBed {
  readonly bed: Bed;
  private readonly ambushes: { ambush: Ambush; sprung: number; isDisarmed: boolean }[] = [];
  private settings: Partial<DatabaseSettings> = {};
  private ticks = 0;

  private constructor(
    private readonly database: TestDatabase,
    role: TestRole,
    mode: Mode,
    folder: string,
  ) {
    this.settings = role.settings();
    const bed: Pick<Bed, "mode" | "folder" | "books" | "connect"> & {
      cluster: Pick<Bed["cluster"], "connection" | "execute">;
      wire: Pick<Bed["wire"], "ambush">;
      fn: Pick<Bed["fn"], "password" | "user">;
      writers: Pick<Bed["writers"], "transact">;
    } = {
      mode,
      folder,
      books: {
        views: VIEWS,
        tables: ["soak.writer", "soak.account", "soak.entry"],
        viewsSql: VIEWS_SQL,
      },
      connect: () => database.connect(),
      cluster: { connection: () => database.options(), execute: (sql) => this.execute(sql) },
      wire: { ambush: (ambush) => this.lay(ambush) },
      fn: {
        user: role.name,
        password: async (password) => {
          this.settings = { ...this.settings, ...(await passwordFileWith(password)) };
        },
      },
      writers: { transact: (kind, setUp) => this.transact(kind, setUp) },
    };
    this.bed = bed as Bed;
  }

  static async create(database: TestDatabase, role: TestRole, mode: Mode): Promise<SmallBed> {
    const folder = await mkdtemp(path.join(tmpdir(), "matview-refresh-soak-"));
    const small = new SmallBed(database, role, mode, folder);
    await small.execute(TABLES);
    await small.execute(VIEWS_SQL);
    await small.execute(`
      GRANT matview_refresher TO ${role.name};
      GRANT USAGE ON SCHEMA soak TO matview_refresher; ${GRANTS}`);
    if (mode === "incremental") await small.makeIncremental();
    return small;
  }

  async remove(): Promise<void> {
    await rm(this.bed.folder, { recursive: true, force: true });
  }

  private async makeIncremental(): Promise<void> {
    const session = await Session.open(this.database.options(), new Budget(60_000));
    // What a view is made incremental under has to be a table already.
    const [, summarySql = ""] = VIEWS_SQL.split(/(?=CREATE MATERIALIZED VIEW soak.summary)/);
    await this.execute("DROP MATERIALIZED VIEW soak.summary");
    for (const view of VIEWS) {
      if (view.name === "summary") await this.execute(`${summarySql}; ${GRANTS}`);
      const { maintenance, findings } = await compileView(session, view);
      assert.ok(maintenance, JSON.stringify(findings));
      await apply(session, maintenance, { lockTimeoutMs: 1_000, totalMs: 20_000, report: () => undefined });
    }
    await session.close();
  }

  async execute(sql: string): Promise<void> {
    const client = await this.database.connect();
    try {
      await client.query(sql);
    } finally {
      await client.end();
    }
  }

  /** Something to refresh, or to fold. Does not wait for who has locked a table. */
  async write(): Promise<void> {
    await this.execute(`SET lock_timeout = '100ms'; ${CHANGE}`).catch((error: { code?: string }) => {
      if (error.code !== "55P03") throw error;
    });
  }

  /** Rows in which the views differ from their queries. */
  async difference(): Promise<number> {
    const client = await this.database.connect();
    const { rows } = await client.query<{ rows: string }>(DIFFERENCE);
    await client.end();
    return Number(rows[0]?.rows);
  }

  /** A run of the function, as the soak would have it. Ambushes are sprung by what its session sends. */
  async run(timeoutMs = 8_000): Promise<Run> {
    const connector = connectorFor({ ...this.database.databaseSettings(), ...this.settings });
    const startedEpochMs = Date.now();
    const { outcomes, lines } = await runViews(this.database, VIEWS, {
      timeoutMs,
      connector: {
        ...connector,
        open: async (budget) => this.watched(await connector.open(budget)),
      },
    });
    const common = {
      requestId: "test",
      startedEpochMs,
      durationMs: Date.now() - startedEpochMs,
      pid: process.pid,
    };
    const run: Omit<Run, "invocation"> = {
      tick: ++this.ticks,
      kind: "tick",
      lines,
      metrics: [],
      endedEpochMs: Date.now(),
    };
    try {
      throwFailures(outcomes);
      return { ...run, invocation: { ...common, outcome: "succeeded" } };
    } catch (error) {
      const { name, message } = error as Error;
      return {
        ...run,
        invocation: { ...common, outcome: "failed", error: { errorType: name, errorMessage: message } },
      };
    }
  }

  /** What the wire does on the way, done where the session sends its statements. */
  private watched(session: Session): Session {
    const results = session.results.bind(session);
    session.results = async (text, values) => {
      const phase = phaseOf(text);
      await this.spring(phase, "before");
      const answer = await results(text, values);
      await this.spring(phase, "after");
      return answer;
    };
    return session;
  }

  private lay(ambush: Ambush): { readonly sprung: number; disarm(): void } {
    const laid = { ambush, sprung: 0, isDisarmed: false };
    this.ambushes.push(laid);
    return {
      get sprung() {
        return laid.sprung;
      },
      disarm: () => void (laid.isDisarmed = true),
    };
  }

  private async spring(phase: Phase, moment: Ambush["moment"]): Promise<void> {
    for (const laid of this.ambushes) {
      const { ambush, sprung, isDisarmed } = laid;
      const isMeant = ambush.phase === phase && ambush.moment === moment;
      if (!isMeant || isDisarmed || sprung >= (ambush.times ?? 1)) continue;
      laid.sprung += 1;
      await ambush.act(NO_CONNECTION);
    }
  }

  private async transact(kind: "truncate" | "day" | "reload", setUp = ""): Promise<void> {
    const load = (count: number): string =>
      `INSERT INTO soak.entry (account, amount) SELECT 1 + e % 40, e FROM generate_series(1, ${count}) e`;
    const work = {
      truncate: `TRUNCATE soak.entry; ${load(80)}`,
      day: `${load(30_000)}; UPDATE soak.account SET holder = holder || '.'`,
      reload: `DELETE FROM soak.entry WHERE account <= 10; ${load(120)}`,
    }[kind];
    await this.execute(`BEGIN; ${setUp}; ${work}; COMMIT`);
  }
}

/** As the wire tells them apart, as far as these faults ask. */
function phaseOf(text: string): Phase {
  if (/\bREFRESH MATERIALIZED VIEW\b|__fold"?\(/.test(text)) return "refresh";
  if (/INSERT INTO public\.matview_refresh_history/.test(text)) return "history";
  if (/^(ROLLBACK TO SAVEPOINT history; )?COMMIT$/.test(text)) return "commit";
  return /\bBEGIN\b/.test(text) ? "begin" : "other";
}

const noWire = (): never => assert.fail("no fault of people touches the connection");
const NO_CONNECTION: WireConnection = { cut: noWire, abandon: noWire, freeze: noWire, slow: noWire };

/** Codes that a failed run gives, as SQLSTATE or by name. */
export function codesOf({ invocation }: Run): string[] {
  const message = invocation.error?.errorMessage ?? "";
  return [...message.matchAll(/\((?:SQLSTATE )?(\w+)\)\. To fix it: /g)].map(([, code = ""]) => code);
}

/** What a fault came to: planted, seen by a run, and ended. */
export interface Seen {
  planted: Planted;
  run: Run;
}

/** Plants a fault and looks at a run: it has to be what the fault says of itself. The fault is still there. */
export async function plantAndRun(small: SmallBed, fault: Fault, seed: number): Promise<Seen> {
  assert.equal(await fault.missing?.(small.bed), undefined);
  await small.write();
  const planted = await fault.plant(small.bed, new Dice(seed));
  try {
    return { planted, run: await look(small, fault, planted) };
  } catch (error) {
    // The next fault is to find all as it was.
    await planted.lift();
    throw error;
  }
}

async function look(small: SmallBed, fault: Fault, planted: Planted): Promise<Run> {
  await small.write();
  // What waits for a lock waits for half of its time.
  const run = await small.run(fault.codes.includes("55P03") ? 3_000 : 8_000);
  const told = [`${fault.name}: ${planted.what}`, ...run.lines].join("\n");
  if (process.env.SOAK_TELL) console.log(told);
  const { outcome, error } = run.invocation;
  const isComplete = outcome === "succeeded" && !run.lines.some((line) => line.includes("Skipped"));
  if (fault.refresh === "passes") assert.ok(isComplete, told);
  if (fault.refresh === "stops") assert.ok(!isComplete, told);
  for (const code of codesOf(run)) assert.ok(fault.codes.includes(code), `${code}\n${told}`);
  if (outcome === "failed") assert.ok(codesOf(run).length > 0, told);
  assert.ok(planted.hasStruck?.() !== false, `it has not struck\n${told}`);
  if (fault.says) assert.match([...run.lines, error?.errorMessage].join("\n"), fault.says, told);
  return run;
}

/** Lifts a fault, twice, and looks whether all is well again within two runs. */
export async function liftAndRecover(small: SmallBed, fault: Fault, { planted }: Seen): Promise<void> {
  await planted.lift();
  await planted.lift();
  await small.write();
  let run = await small.run();
  if (run.invocation.outcome === "failed" || run.lines.some((line) => line.includes("Skipped")))
    run = await small.run();
  assert.equal(run.invocation.outcome, "succeeded", `${fault.name}\n${run.lines.join("\n")}`);
  assert.ok(!run.lines.some((line) => line.includes("Skipped")), run.lines.join("\n"));
  if (!planted.driftsUntilFullRun)
    assert.equal(await small.difference(), 0, `${fault.name}\n${run.lines.join("\n")}`);
}
