/** What the measurements under load have in common: views in a schema of their own, runs of the function, figures. */
import { readFileSync } from "node:fs";
import { escapeIdentifier, type Client } from "pg";
import { renderTable } from "../../cli/table";
import { quotedName } from "../../handler/names";
import type { QualifiedName } from "../../handler/settings";
import { LambdaFunction } from "../../local/lambda/lambdaFunction";
import type { Invocation } from "../../local/lambda/lambdaProcess";
import { withClient } from "../../local/postgres/database";
import type { Bed } from "../bed";

export type Print = (line: string) => void;

/** A scheduled event in the form the function takes. */
const EVENT = { source: "aws.events", "detail-type": "Scheduled Event", detail: {} };

const SCHEMA = "load";
export const SOURCE = "load.source";

/** A schema with a table of so many rows, as if for the first time. */
export async function makeSource(bed: Bed, rows: number): Promise<void> {
  await withClient(bed.connection, async (client) => {
    await client.query(`DROP SCHEMA IF EXISTS ${SCHEMA} CASCADE; TRUNCATE public.matview_refresh_history`);
    await client.query(`CREATE SCHEMA ${SCHEMA}; GRANT USAGE ON SCHEMA ${SCHEMA} TO matview_refresher`);
    await client.query(`CREATE TABLE ${SOURCE} (id integer PRIMARY KEY, value integer NOT NULL)`);
    await client.query(
      `INSERT INTO ${SOURCE} SELECT n, n FROM generate_series(1, ${rows}) n; ANALYZE ${SOURCE}`,
    );
  });
}

/** `load.view_001`, and as many more. */
export function viewNames(count: number, prefix = "view"): QualifiedName[] {
  return Array.from({ length: count }, (_, index) => ({
    schema: SCHEMA,
    name: `${prefix}_${String(index + 1).padStart(3, "0")}`,
  }));
}

/** A materialized view with a unique index, which the function may refresh. */
export async function makeView(client: Client, view: QualifiedName, query: string): Promise<void> {
  const name = quotedName(view);
  await client.query(`CREATE MATERIALIZED VIEW ${name} AS ${query}`);
  await client.query(`CREATE UNIQUE INDEX ON ${name} (id)`);
  await client.query(`GRANT SELECT, MAINTAIN ON ${name} TO matview_refresher`);
}

/** Such as `load."Top Ten"`: as a setting has it. */
export const settingOf = ({ schema, name }: QualifiedName): string =>
  [schema, name].map((part) => (/^[a-z_][a-z0-9_]*$/.test(part) ? part : escapeIdentifier(part))).join(".");

/** A function over views, with whatever else its settings say. */
export function groupOf(
  bed: Bed,
  groupName: string,
  views: QualifiedName[],
  { perView = {}, ...settings }: Record<string, unknown> & { perView?: object } = {},
): Group {
  const listed = views.map((view) => ({ name: settingOf(view), ...perView }));
  return new Group(bed, { groupName, views: listed, ...settings });
}

/** What a run said, beside its answer. */
export interface Run {
  invocation: Invocation;
  lines: string[];
  /** Most memory that the process has held so far; undefined where the system does not tell. */
  peakMemoryMb: number | undefined;
}

/** A refresh group, and what its function prints. */
export class Group {
  private lines: string[] = [];
  private readonly lambda: LambdaFunction;

  constructor(bed: Bed, settings: Record<string, unknown>) {
    this.lambda = new LambdaFunction(bed.configurationFor(settings), (line) => this.lines.push(line));
  }

  /** One tick, whatever it comes to. */
  async run(event: unknown = EVENT): Promise<Run> {
    this.lines = [];
    const invocation = await this.lambda.invoke(event);
    return { invocation, lines: this.lines, peakMemoryMb: peakMemoryMb(invocation.pid) };
  }

  /** One tick that has to refresh. @throws Error with what it failed of. */
  async refresh(): Promise<Run> {
    const run = await this.run();
    if (run.invocation.outcome !== "succeeded")
      throw new Error(
        `a run ${run.invocation.outcome}: ${run.invocation.error?.errorMessage.slice(0, 2_000)}`,
      );
    return run;
  }

  stop(): Promise<void> {
    return this.lambda.stop();
  }
}

function peakMemoryMb(pid: number): number | undefined {
  try {
    const kilobytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return kilobytes === undefined ? undefined : Math.round(Number(kilobytes) / 1024);
  } catch {
    return undefined;
  }
}

/** What a run answered of each view: its name, how it was refreshed, seconds. */
export function reportsOf({
  invocation,
}: Run): { view: string; refresh_type: string; duration_seconds: number }[] {
  const { body = "{}" } = (invocation.value ?? {}) as { body?: string };
  return (JSON.parse(body) as { views?: ReturnType<typeof reportsOf> }).views ?? [];
}

/** How often each outcome stands in the history, since the last call of {@link forget}. */
export async function outcomes(bed: Bed): Promise<Record<string, number>> {
  return withClient(bed.connection, async (client) => {
    const { rows } = await client.query<{ outcome: string; count: number }>(
      "SELECT outcome, count(*)::int AS count FROM public.matview_refresh_history GROUP BY 1",
    );
    return Object.fromEntries(rows.map(({ outcome, count }) => [outcome, count]));
  });
}

/** Takes all history away. */
export async function forget(bed: Bed): Promise<void> {
  await withClient(bed.connection, (client) => client.query("TRUNCATE public.matview_refresh_history"));
}

/** Milliseconds of the bare statements, one after the other on an open connection. */
export async function bareRefreshMs(bed: Bed, views: QualifiedName[]): Promise<number> {
  return withClient(bed.connection, async (client) => {
    const startedMs = performance.now();
    for (const view of views)
      await client.query(`REFRESH MATERIALIZED VIEW CONCURRENTLY ${quotedName(view)}`);
    return performance.now() - startedMs;
  });
}

/** Rows of a name and a figure. */
export function printFigures(print: Print, title: string, rows: [string, string][]): void {
  print(`\n${title}`);
  print(renderTable(["", ""], rows, { isDecorated: false }).trimEnd());
}

export const kilobytes = (bytes: number): string => `${(bytes / 1024).toFixed(1)} KB`;
export const milliseconds = (ms: number, digits = 1): string => `${ms.toFixed(digits)} ms`;
export const counted = (count: number): string => count.toLocaleString("en-US");
