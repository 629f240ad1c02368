/** Many maintained views in one group: a tick that finds nothing, and one that finds a change in each. */
import { Budget } from "../../handler/budget";
import { Session } from "../../handler/connect";
import { quotedName } from "../../handler/names";
import type { QualifiedName } from "../../handler/settings";
import { apply } from "../../incremental/apply";
import { compile } from "../../incremental/compile";
import { readSource } from "../../incremental/readSource";
import { withClient } from "../../local/postgres/database";
import type { Bed } from "../bed";
import { figuresOf } from "../statistics";
import * as stand from "./stand";

const HOUR_MS = 3_600_000;

/** Each view sums up a table of its own. */
export async function measureMaintained(
  bed: Bed,
  { views, rows, rounds }: { views: number; rows: number; rounds: number },
  print: stand.Print,
): Promise<void> {
  await stand.makeSource(bed, 1);
  const names = stand.viewNames(views, "kept");
  await withClient(bed.connection, async (client) => {
    for (const view of names) {
      const table = tableOf(view);
      await client.query(
        `CREATE TABLE ${table} (key integer PRIMARY KEY, id integer NOT NULL, value integer NOT NULL)`,
      );
      await client.query(`INSERT INTO ${table} SELECT n, n % 100, n FROM generate_series(1, ${rows}) n`);
      await stand.makeView(
        client,
        view,
        `SELECT id, sum(value) AS value, count(*) AS n FROM ${table} GROUP BY id`,
      );
    }
  });
  const bareMs = await stand.bareRefreshMs(bed, names);
  const startedMs = performance.now();
  for (const view of names) await maintain(bed, view);
  const appliedMs = performance.now() - startedMs;
  const group = stand.groupOf(bed, "kept", names, { perView: { incremental: {} } });
  try {
    const [idle, changed]: [number[], number[]] = [[], []];
    await group.refresh();
    for (let round = 0; round < rounds; round += 1) {
      idle.push((await group.refresh()).invocation.durationMs);
      await changeEach(bed, names);
      const run = await group.refresh();
      changed.push(run.invocation.durationMs);
      const folded = stand.reportsOf(run).filter(({ refresh_type }) => refresh_type === "incremental").length;
      if (folded !== views) throw new Error(`${folded} of ${views} views were folded`);
    }
    const [idleMs, changedMs] = [figuresOf(idle).medianMs, figuresOf(changed).medianMs];
    stand.printFigures(
      print,
      `${views} maintained views of ${stand.counted(rows)} rows each, ${rounds} runs`,
      [
        ["making one maintained", stand.milliseconds(appliedMs / views)],
        ["bare concurrent refreshes of all, before", stand.milliseconds(bareMs, 0)],
        [
          "a tick that finds nothing",
          `${stand.milliseconds(idleMs, 0)}, ${stand.milliseconds(idleMs / views)} a view`,
        ],
        [
          "a tick that finds a change in each",
          `${stand.milliseconds(changedMs, 0)}, ${stand.milliseconds(changedMs / views)} a view`,
        ],
      ],
    );
  } finally {
    await group.stop();
  }
}

const tableOf = ({ schema, name }: QualifiedName): string => quotedName({ schema, name: `${name}_rows` });

/** Makes a materialized view incremental. @throws Error where the compiler refuses it. */
export async function maintain(bed: Bed, view: QualifiedName): Promise<void> {
  const session = await Session.open(bed.connection, new Budget(HOUR_MS));
  try {
    await session.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    const source = await readSource((sql, values) => session.query(sql, values), view);
    await session.query("ROLLBACK");
    const { maintenance, findings } = await compile(source);
    if (maintenance === undefined) throw new Error(`the view is refused: ${JSON.stringify(findings)}`);
    await apply(session, maintenance, { lockTimeoutMs: 2_000, totalMs: HOUR_MS, report: () => undefined });
  } finally {
    await session.close();
  }
}

async function changeEach(bed: Bed, names: QualifiedName[]): Promise<void> {
  await withClient(bed.connection, async (client) => {
    for (const view of names)
      await client.query(`UPDATE ${tableOf(view)} SET value = value + 1 WHERE key = 1`);
  });
}
