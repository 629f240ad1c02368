/** What every range shows: the views, how they stand, who waits for whom, and the alarms. Read once a poll for all. */
import type { Blocker, LockMode } from "../handler/blockers";
import { qualifiedName } from "../handler/names";
import type { Plan } from "../components/plan/planTypes";
import { AlarmReplay } from "./alarmReplay";
import type { AlarmState } from "./contract";
import { ageSeconds } from "./judge";
import { gapSecondsOf, rhythmOf, type Expected } from "./missed";
import { readCatalog, type Catalog, type CatalogView, type HistoryState } from "./queries/catalog";
import { readMaintenance, type MaintenanceStatus } from "./queries/maintenance";
import { readLastStarts, readNow, readPulse, type NowRow, type Pulse } from "./queries/now";
import { hasHistoryThrough, readAlarmRows } from "./queries/runs";
import { readIdBefore, type Measure } from "./queries/segments";
import { readBlockers, readRunning, type RunningRefresh } from "./queries/waits";
import { Disconnected, type Reader } from "./reader";

/** The settings of a stack, as the page uses them. */
export interface WatchedPlan {
  plan: Plan;
  stack: string;
  monthlyUsd: number | null;
  /** Nobody asked for this stack: it counts where the database has one of its views. */
  isAssumed: boolean;
}

/** What is promised, and by whom. */
export interface Promised {
  plan: WatchedPlan | undefined;
  /** For views that no plan speaks of. */
  maxAgeSeconds: number | undefined;
}

/** One view and all that holds whatever the range. */
export interface ViewFacts {
  view: CatalogView;
  now: NowRow | undefined;
  maintenance: MaintenanceStatus | null;
  running: RunningRefresh | undefined;
  blockers: Blocker[];
  expected: Expected | undefined;
  measure: Measure;
  isPlanned: boolean;
}

export interface Facts {
  pulse: Pulse;
  catalog: Catalog;
  history: HistoryState | undefined;
  plan: WatchedPlan | undefined;
  views: ViewFacts[];
  /** Configured views that are not there. */
  missing: string[];
  alarms: AlarmState[];
  notes: string[];
}

const CATALOG_HOLDS_MS = 10_000;
const RHYTHM_HOLDS_MS = 60_000;
const MAINTENANCE_HOLDS_MS = 2_000;

/** As many views are shown, and for as many of those that need it who is in the way is asked. */
const MOST_VIEWS = 60;
const MOST_BLOCKED = 10;

/** Runs end in the order of their ids, but for those that end at the same moment. */
const SETTLED_AFTER_SECONDS = 5;

/** Holds what was read for a while. */
class Kept<Value> {
  private value: { is: Value; readMs: number; of: string } | undefined;

  constructor(private readonly holdsMs: number) {}

  /** @param of what it was read for; it is read anew for anything else. */
  async get(of: string, read: () => Promise<Value>): Promise<Value> {
    const { value } = this;
    const now = performance.now();
    if (value !== undefined && value.of === of && now - value.readMs < this.holdsMs) return value.is;
    const is = await read();
    this.value = { is, readMs: now, of };
    return is;
  }

  forget(): void {
    this.value = undefined;
  }
}

export class FactReader {
  private readonly catalog = new Kept<Catalog>(CATALOG_HOLDS_MS);
  private readonly now = new Kept<NowRow[]>(CATALOG_HOLDS_MS);
  private readonly starts = new Kept<number[][]>(RHYTHM_HOLDS_MS);
  private readonly maintenance = new Kept<Awaited<ReturnType<typeof readMaintenance>>>(MAINTENANCE_HOLDS_MS);
  private readonly rhythms = new Map<string, number>();
  private replay: AlarmReplay | undefined;
  private notes: string[] = [];

  constructor(
    private readonly reader: Reader,
    private readonly promised: Promised,
  ) {}

  /** @throws Disconnected. What else cannot be read becomes a note. */
  async read(): Promise<Facts> {
    this.notes = [];
    const catalog = await this.catalog.get("", () => readCatalog(this.reader));
    const history = this.readableHistory(catalog);
    const pulse = await readPulse(this.reader, history !== undefined);
    const plan = this.planFor(catalog);
    const views = await this.readViews(catalog, history, pulse, plan);
    return {
      pulse,
      catalog,
      history,
      plan,
      views,
      missing: this.missing(catalog, plan),
      alarms: await this.readAlarms(catalog, history, pulse, plan),
      notes: this.notes,
    };
  }

  /** What is there may be another after the connection was lost. */
  forget(): void {
    for (const kept of [this.catalog, this.now, this.starts, this.maintenance]) kept.forget();
  }

  private readableHistory({ history, currentUser }: Catalog): HistoryState | undefined {
    if (history.oid === null) {
      this.notes.push(
        "There is no table public.matview_refresh_history that this role may see: ages, runs and alarms are unknown. " +
          "To have it: npm run migrate",
      );
      return undefined;
    }
    if (!history.maySelect) {
      this.notes.push(
        "Ages, runs and alarms are not seen: " +
          `GRANT SELECT ON public.matview_refresh_history TO "${currentUser}"; is missing.`,
      );
      return undefined;
    }
    if (!history.knowsFolds || !history.knowsRemedies) {
      this.notes.push("The history is older than this page and tells less of a run: npm run migrate");
    }
    return history;
  }

  private planFor({ views }: Catalog): WatchedPlan | undefined {
    const { plan } = this.promised;
    if (plan === undefined || !plan.isAssumed) return plan;
    const names = new Set(views.map(qualifiedName));
    return plan.plan.views.some((view) => names.has(qualifiedName(view))) ? plan : undefined;
  }

  private missing({ views }: Catalog, plan: WatchedPlan | undefined): string[] {
    const names = new Set(views.map(qualifiedName));
    return (plan?.plan.views ?? []).map(qualifiedName).filter((name) => !names.has(name));
  }

  private async readViews(
    catalog: Catalog,
    history: HistoryState | undefined,
    pulse: Pulse,
    plan: WatchedPlan | undefined,
  ): Promise<ViewFacts[]> {
    const planned = new Set((plan?.plan.views ?? []).map(qualifiedName));
    const all = catalog.views;
    const key = `${pulse.lastId} ${all.map(({ oid }) => oid).join()}`;
    const rows =
      history === undefined
        ? []
        : await this.attempt("the views' last runs", [], () =>
            this.now.get(key, () => readNow(this.reader, all, history)),
          );
    // Beside a plan, what was never refreshed by this product is no concern of it.
    const wanted = all
      .map((view, index) => ({ view, now: rows[index], isPlanned: planned.has(qualifiedName(view)) }))
      .filter(({ now, isPlanned }) => plan === undefined || isPlanned || now?.lastRun != null)
      .sort((a, b) => Number(b.isPlanned) - Number(a.isPlanned));
    const shown = wanted.slice(0, MOST_VIEWS);
    if (shown.length < wanted.length) {
      this.notes.push(`${wanted.length - shown.length} of ${wanted.length} views are not shown.`);
    }
    const views = shown.map(({ view }) => view);
    const expected = await this.readExpected(views, planned, history, plan);
    const statuses = await this.readStatuses(views);
    const running = await this.attempt("refreshes under way", [], () => readRunning(this.reader, views));
    const facts = shown.map((one, index): ViewFacts => {
      const promiseSeconds = one.isPlanned
        ? (plan?.plan.maxStalenessSeconds ?? null)
        : (this.promised.maxAgeSeconds ?? null);
      return {
        ...one,
        maintenance: statuses[index] ?? null,
        running: running.find(({ oid }) => oid === one.view.oid),
        blockers: [],
        expected: expected[index],
        measure: { promiseSeconds, gapSeconds: gapSecondsOf(expected[index]) },
      };
    });
    await this.addBlockers(facts, running, pulse);
    return facts;
  }

  private async readExpected(
    views: CatalogView[],
    planned: Set<string>,
    history: HistoryState | undefined,
    plan: WatchedPlan | undefined,
  ): Promise<(Expected | undefined)[]> {
    const key = views.map(({ oid }) => oid).join();
    const starts =
      history === undefined
        ? []
        : await this.attempt("the rhythm of runs", [], () =>
            this.starts.get(key, () => readLastStarts(this.reader, views)),
          );
    return views.map((view, index) => {
      const name = qualifiedName(view);
      if (plan !== undefined && planned.has(name)) {
        const { schedule, settings } = plan.plan;
        if (!settings.refreshEnabled) return undefined;
        return { kind: "schedule", schedule, timeoutSeconds: settings.timeoutSeconds };
      }
      const found = rhythmOf(starts[index] ?? []);
      const known = this.rhythms.get(name);
      // What was measured by a rhythm holds while it is about the same.
      const everySeconds =
        known !== undefined && found !== undefined && Math.abs(found - known) <= known * 0.2 ? known : found;
      if (everySeconds === undefined) return undefined;
      this.rhythms.set(name, everySeconds);
      return { kind: "rhythm", everySeconds };
    });
  }

  private async readStatuses(views: CatalogView[]): Promise<(MaintenanceStatus | null)[]> {
    const maintained = views.filter(({ parts }) => parts !== null);
    if (maintained.length === 0) return [];
    const key = maintained.map(({ oid }) => oid).join();
    const { statuses, notes } = await this.maintenance.get(key, () =>
      readMaintenance(this.reader, maintained),
    );
    this.notes.push(...notes);
    const byOid = new Map(maintained.map(({ oid }, index) => [oid, statuses[index] ?? null]));
    return views.map(({ oid }) => byOid.get(oid) ?? null);
  }

  /** Of those that are not as they should be, or whose refresh waits now. */
  private async addBlockers(facts: ViewFacts[], running: RunningRefresh[], { nowMs }: Pulse): Promise<void> {
    const isSuspect = ({ now, measure, running: own }: ViewFacts): boolean => {
      const age = ageSeconds({ now, nowMs });
      const isLate = age !== null && measure.promiseSeconds !== null && age > measure.promiseSeconds;
      return own?.isWaiting === true || isLate || now?.lastRun?.outcome === "failed";
    };
    for (const one of facts.filter(isSuspect).slice(0, MOST_BLOCKED)) {
      const { view } = one;
      one.blockers = await this.attempt(`who is in the way of ${view.sqlName}`, [], () =>
        readBlockers(this.reader, view, lockModeOf(one), running),
      );
    }
    const blockers = facts.flatMap((one) => one.blockers);
    if (blockers.some(({ pid, state }) => pid !== null && state === null)) {
      this.notes.push(
        "What a session does that is in the way is not seen: GRANT pg_read_all_stats TO the role is missing.",
      );
    }
  }

  private async readAlarms(
    catalog: Catalog,
    history: HistoryState | undefined,
    { nowMs }: Pulse,
    plan: WatchedPlan | undefined,
  ): Promise<AlarmState[]> {
    if (plan === undefined || history === undefined) return [];
    return this.attempt("what alarms are replayed from", [], async () => {
      const nowSeconds = nowMs / 1_000;
      const byName = new Map(catalog.views.map((view) => [qualifiedName(view), view.oid]));
      const views = plan.plan.views.map((view) => ({ ...view, oid: byName.get(qualifiedName(view)) ?? 0 }));
      const replay = (this.replay ??= new AlarmReplay(plan.plan));
      const isFirst = replay.lastId === undefined;
      const afterId = replay.lastId ?? (await readIdBefore(this.reader, nowSeconds - replay.spanSeconds));
      const isWhole = isFirst && !(await hasHistoryThrough(this.reader, afterId));
      const beforeSeconds = nowSeconds - SETTLED_AFTER_SECONDS;
      const rows = await readAlarmRows(this.reader, views, history, { afterId, beforeSeconds });
      return replay.advance(rows, afterId, nowSeconds, isWhole);
    });
  }

  /** What one thing shows is left out where it may not be read, or not in time. */
  private async attempt<Value>(what: string, instead: Value, read: () => Promise<Value>): Promise<Value> {
    try {
      return await read();
    } catch (error) {
      const { code } = error as { code?: string };
      if (error instanceof Disconnected || code === undefined) throw error;
      const why = code === "57014" ? "it took too long" : (error as Error).message;
      this.notes.push(`Not seen: ${what}: ${why} (${code}).`);
      return instead;
    }
  }
}

/** The lock that the next refresh will ask for, by what the last one was. */
function lockModeOf({ view, now }: ViewFacts): LockMode {
  if (view.parts !== null) return "RowExclusiveLock";
  const isPlain = now?.lastRefresh?.kind === "regular" || !view.isPopulated;
  return isPlain ? "AccessExclusiveLock" : "ExclusiveLock";
}
