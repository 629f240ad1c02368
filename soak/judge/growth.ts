/** Whether anything grows without end: what maintains views, the views, and history. */
import { escapeIdentifier, type ClientConfig } from "pg";
import { qualifiedName } from "../../handler/names";
import type { QualifiedName } from "../../handler/settings";
import { withClient } from "../../local/postgres/database";
import { medianOf } from "../../local/tally";

const HISTORY = "public.matview_refresh_history";
const MAINTENANCE_SCHEMA = "matview_refresh";
const LOG = /^matview_refresh\..*__log_\d+$/;

/** Sizes at one moment, with indexes and everything, in bytes. */
export interface SizeSample {
  tick: number;
  /** By `schema.name`: the views, what maintains them, and history. */
  bytes: Record<string, number>;
  /** Of the tables that the views read, together. */
  sourceBytes: number;
  historyRows: number;
  /** In the logs of maintained views, together. */
  rowsLogged: number;
}

const SIZES = `
  SELECT n.nspname || '.' || c.relname AS name, source.oid IS NOT NULL AS "isSource",
         pg_total_relation_size(c.oid)::double precision AS bytes
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN (SELECT to_regclass(name) AS oid FROM unnest($2::text[]) name) source ON source.oid = c.oid
   WHERE c.relkind IN ('r', 'm')
     AND (n.nspname = '${MAINTENANCE_SCHEMA}' OR n.nspname || '.' || c.relname = ANY ($1::text[]) OR source.oid IS NOT NULL)`;

export class SizeWatch {
  readonly samples: SizeSample[] = [];

  /**
   * @param connection of a superuser, to the server that takes writes now.
   * @param sources tables that the views read, as SQL.
   */
  constructor(
    private readonly connection: () => ClientConfig,
    private readonly views: QualifiedName[],
    private readonly sources: string[],
  ) {}

  /** Measures, unless somebody has locked what is to be measured. */
  async sample(tick: number): Promise<void> {
    try {
      this.samples.push({ tick, ...(await this.measure()) });
    } catch (error) {
      if ((error as { code?: string }).code !== "55P03") throw error;
    }
  }

  /** To be called at the end. */
  judge(): string[] {
    return judgeGrowth(this.samples);
  }

  private async measure(): Promise<Omit<SizeSample, "tick">> {
    return withClient(this.connection(), async (client) => {
      await client.query("SET lock_timeout = 200");
      const names = [...this.views.map(qualifiedName), HISTORY];
      const { rows } = await client.query<{ name: string; isSource: boolean; bytes: number }>(SIZES, [
        ...[names, this.sources],
      ]);
      const count = await client.query<{ rows: string }>(`SELECT count(*) AS rows FROM ${HISTORY}`);
      const logs = rows
        .filter(({ name }) => LOG.test(name))
        .map(({ name }) => name.split(".").map(escapeIdentifier).join("."));
      const counts = logs.map((log) => `(SELECT count(*) FROM ${log})`);
      const logged = await client.query<{ rows: string }>(`SELECT ${["0", ...counts].join(" + ")} AS rows`);
      const others = rows.filter(({ isSource }) => !isSource);
      return {
        bytes: Object.fromEntries(others.map(({ name, bytes }) => [name, bytes])),
        sourceBytes: rows.reduce((sum, { isSource, bytes }) => sum + (isSource ? bytes : 0), 0),
        historyRows: Number(count.rows[0]?.rows),
        rowsLogged: Number(logged.rows[0]?.rows),
      };
    });
  }
}

/** Fewer samples tell nothing. */
const LEAST_SAMPLES = 40;
const MOST_TIMES = 3;
/** Room for what a long transaction keeps from being cleaned up. */
const ROOM_BYTES = 1_048_576;
/** A row of history with its part of three indexes, at its longest reason. */
const MOST_BYTES_A_ROW = 4_096;

/**
 * Medians of the last tenth of the samples against those of the second: what is emptied by each fold or written anew in
 * place stays within three times its size and a megabyte, beyond what the tables under the views have grown by. History
 * grows by its rows alone.
 */
export function judgeGrowth(samples: SizeSample[]): string[] {
  if (samples.length < LEAST_SAMPLES) return [];
  const tenth = Math.floor(samples.length / 10);
  const [early, late] = [samples.slice(tenth, 2 * tenth), samples.slice(-tenth)];
  const sources = (some: SizeSample[]): number => medianOf(some.map(({ sourceBytes }) => sourceBytes));
  const grown = Math.max(1, sources(late) / Math.max(1, sources(early)));
  const names = new Set(late.flatMap(({ bytes }) => Object.keys(bytes)));
  names.delete(HISTORY);
  const faults = [...names].flatMap((name) => {
    const of = (some: SizeSample[]): number => medianOf(some.map(({ bytes }) => bytes[name] ?? 0));
    const [before, after] = [of(early), of(late)];
    const most = before * MOST_TIMES * grown + ROOM_BYTES;
    return after <= most
      ? []
      : [`${name} grows: ${before} bytes at first, ${after} at the end, at most ${most}`];
  });
  const rows = medianOf(late.map(({ historyRows }) => historyRows));
  const bytes = medianOf(late.map((sample) => sample.bytes[HISTORY] ?? 0));
  if (bytes > rows * MOST_BYTES_A_ROW + ROOM_BYTES)
    faults.push(`${HISTORY} has ${bytes} bytes for ${rows} rows`);
  return faults;
}
