/** The age of each view's data during a run. */
import { Client, type ClientConfig } from "pg";
import type { QualifiedName } from "../handler/settings";

/** Age of one view's data, in seconds, as its readers see it. */
export interface ViewAge {
  view: QualifiedName;
  /** Undefined as long as no refresh is recorded. */
  ageSeconds: number | undefined;
  /** Just before the refresh that was found since the last reading; undefined when there was none. */
  ageBeforeSeconds?: number;
}

const freshness = `
SELECT view_schema AS schema, view_name AS name,
       extract(epoch FROM as_of)::double precision * 1000 AS "asOfEpochMs",
       extract(epoch FROM clock_timestamp())::double precision * 1000 AS "nowEpochMs"
  FROM public.matview_freshness
 WHERE (view_schema, view_name) IN (SELECT * FROM unnest($1::text[], $2::text[]))`;

interface FreshnessRow extends QualifiedName {
  asOfEpochMs: number | null;
  nowEpochMs: number;
}

/** What is remembered of a view between two readings. */
interface Remembered {
  view: QualifiedName;
  /** By the database's clock. */
  asOfEpochMs: number | undefined;
}

/**
 * Follows how old the views are, from `matview_freshness`, and keeps the worst age seen. While the database
 * cannot be asked the ages go on growing by this machine's clock.
 */
export class FreshnessWatch {
  private client: Client | undefined;
  private readonly views: Remembered[];
  private databaseAheadMs = 0;
  private startEpochMs = Date.now();
  private worst = 0;

  constructor(
    private readonly connection: ClientConfig,
    views: QualifiedName[],
  ) {
    this.views = views.map((view) => ({ view, asOfEpochMs: undefined }));
  }

  /** From here on the schedule answers for the age; how old a view had become before is not held against it. */
  begin(): void {
    this.startEpochMs = this.nowEpochMs();
  }

  /** The worst age of any view since {@link begin}, up to now. */
  worstSeconds(): number {
    const current = this.views.map((one) => this.nowEpochMs() - this.countedFrom(one));
    return Math.max(this.worst, ...current.map((ms) => ms / 1000));
  }

  /** Ages of all views, in the order they were given. Never rejects. */
  async read(): Promise<ViewAge[]> {
    const rows = await this.ask();
    return this.views.map((remembered) => {
      const row = rows.find(
        ({ schema, name }) => schema === remembered.view.schema && name === remembered.view.name,
      );
      const ageBeforeSeconds = this.note(remembered, row?.asOfEpochMs ?? undefined);
      const { view, asOfEpochMs } = remembered;
      const ageSeconds =
        asOfEpochMs === undefined ? undefined : Math.max(0, this.nowEpochMs() - asOfEpochMs) / 1000;
      return { view, ageSeconds, ...(ageBeforeSeconds !== undefined && { ageBeforeSeconds }) };
    });
  }

  async close(): Promise<void> {
    await this.client?.end().catch(() => undefined);
  }

  /** @returns how old the data had become, when it is found refreshed */
  private note(remembered: Remembered, asOfEpochMs: number | undefined): number | undefined {
    if (asOfEpochMs === undefined || asOfEpochMs === remembered.asOfEpochMs) return undefined;
    const known = remembered.asOfEpochMs;
    const countedFrom = this.countedFrom(remembered);
    remembered.asOfEpochMs = asOfEpochMs;
    this.worst = Math.max(this.worst, (this.nowEpochMs() - countedFrom) / 1000);
    return known === undefined ? undefined : (this.nowEpochMs() - known) / 1000;
  }

  private countedFrom({ asOfEpochMs }: Remembered): number {
    return Math.max(asOfEpochMs ?? 0, this.startEpochMs);
  }

  private nowEpochMs(): number {
    return Date.now() + this.databaseAheadMs;
  }

  private async ask(): Promise<FreshnessRow[]> {
    try {
      const client = (this.client ??= await this.connect());
      const schemas = this.views.map(({ view }) => view.schema);
      const names = this.views.map(({ view }) => view.name);
      const { rows } = await client.query<FreshnessRow>(freshness, [schemas, names]);
      const now = rows[0]?.nowEpochMs;
      if (now !== undefined) this.databaseAheadMs = now - Date.now();
      return rows;
    } catch {
      await this.client?.end().catch(() => undefined);
      this.client = undefined;
      return [];
    }
  }

  private async connect(): Promise<Client> {
    const client = new Client({
      ...this.connection,
      application_name: "matview-refresh freshness",
      connectionTimeoutMillis: 2000,
      query_timeout: 2000,
    });
    client.on("error", () => (this.client = undefined));
    await client.connect();
    return client;
  }
}
