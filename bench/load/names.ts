/** Names as long as PostgreSQL takes them, and of every sign that it takes: the whole way with each. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { makePlan } from "../../components/plan/plan";
import { parseSettings } from "../../components/settings/parseSettings";
import { metricDimensions } from "../../handler/metricNames";
import { qualifiedName, quotedName } from "../../handler/names";
import type { QualifiedName } from "../../handler/settings";
import { withClient } from "../../local/postgres/database";
import type { Bed } from "../bed";
import { maintain } from "./maintained";
import * as stand from "./stand";

const run = promisify(execFile);
const LONGEST_NAME_BYTES = 63;

/** A text repeated until a name can take no more of it, never cutting a character. */
function filled(text: string): string {
  const characters = [...text.repeat(LONGEST_NAME_BYTES)];
  let name = "";
  for (const character of characters) {
    if (Buffer.byteLength(name + character) > LONGEST_NAME_BYTES) break;
    name += character;
  }
  // A blank at the end is a name too, but nobody could read it.
  return name.replace(/ $/, "_");
}

const KINDS: Record<string, QualifiedName> = {
  letters: { schema: filled("s_long_schema_"), name: filled("v_long_view_") },
  "several bytes": { schema: filled("schéma_größe_"), name: filled("表示_видимость_") },
  "capitals, blanks": { schema: filled("My Schema "), name: filled("Top Ten of All ") },
  signs: { schema: filled(`a"b'c.d\\e$1%f;`), name: filled(`x.y"z'{},-- /*`) },
};

/** Refreshes a view of each kind, makes it maintained, folds into it, and asks the commands about it. */
export async function measureNames(bed: Bed, print: stand.Print): Promise<void> {
  const rows: [string, string][] = [];
  for (const [kind, view] of Object.entries(KINDS)) rows.push([kind, await wholeWay(bed, view)]);
  stand.printFigures(print, "Schema and view with names of 63 bytes", rows);
}

async function wholeWay(bed: Bed, view: QualifiedName): Promise<string> {
  const schema = quotedName({ schema: view.schema, name: "x" }).replace(/\."x"$/, "");
  const table = quotedName({ ...view, name: "orders" });
  await stand.forget(bed);
  await withClient(bed.connection, async (client) => {
    await client.query(
      `DROP SCHEMA IF EXISTS ${schema} CASCADE; CREATE SCHEMA ${schema}; GRANT USAGE ON SCHEMA ${schema} TO matview_refresher`,
    );
    await client.query(
      `CREATE TABLE ${table} (key integer PRIMARY KEY, id integer NOT NULL, value integer NOT NULL)`,
    );
    await client.query(`INSERT INTO ${table} SELECT n, n % 10, n FROM generate_series(1, 1000) n`);
    await stand.makeView(
      client,
      view,
      `SELECT id, sum(value) AS value, count(*) AS n FROM ${table} GROUP BY id`,
    );
  });
  const [refreshed, longest] = await tick(bed, view, {});
  const said = [`${refreshed}`];
  await maintain(bed, view);
  await withClient(bed.connection, (client) =>
    client.query(`UPDATE ${table} SET value = value + 1 WHERE key = 1`),
  );
  const [folded] = await tick(bed, view, { perView: { incremental: {} } });
  said.push(`${folded}`);
  for (const command of ["status", "doctor"])
    said.push(`${command} ${(await ask(bed, command, view)) ? "knows it" : "fails"}`);
  const plan = planOf(view);
  said.push(
    `longest line ${longest} bytes`,
    `longest alarm name ${Math.max(...plan.alarms.map(({ name }) => [...name].length))}`,
    `metric dimension ${metricDimensions("g", view).view.length}`,
  );
  await withClient(bed.connection, (client) => client.query(`DROP SCHEMA ${schema} CASCADE`));
  return said.join(", ");
}

async function tick(bed: Bed, view: QualifiedName, more: { perView?: object }): Promise<[string, number]> {
  const group = stand.groupOf(bed, "names", [view], more);
  try {
    const { invocation, lines } = await group.refresh();
    const { body = "" } = invocation.value as { body?: string };
    const { refresh_type } = JSON.parse(body) as { refresh_type: string };
    return [refresh_type, Math.max(...lines.map((line) => Buffer.byteLength(line)))];
  } finally {
    await group.stop();
  }
}

/** Of a group with another view in it, so that names of alarms have to tell them apart. */
const planOf = (view: QualifiedName) => {
  const views = [{ name: stand.settingOf(view), incremental: {} }, { name: "public.other" }];
  return makePlan(parseSettings({ groupName: "names", views }, "local"));
};

/** Whether a command finds the view, and says its name. */
async function ask({ connection }: Bed, command: string, view: QualifiedName): Promise<boolean> {
  const main = join(__dirname, "..", "..", "cli", "main.ts");
  const { host, port, user, password, database } = connection;
  const url = `postgres://${user}:${encodeURIComponent(String(password))}@${host}:${port}/${database}?sslmode=disable`;
  const options = ["-r", "tsx/cjs", main, command, "--json", "--view", quotedName(view)];
  const done = await run(process.execPath, options, { env: { ...process.env, DATABASE_URL: url } }).catch(
    (error: unknown) => error as { stdout: string },
  );
  return (
    done.stdout.includes(JSON.stringify(qualifiedName(view)).slice(1, -1)) &&
    !done.stdout.includes('"success": false')
  );
}
