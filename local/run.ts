/** The run of the deployed function on this machine: its server, its ticks, its alarms, and the summary at the end. */
import { join, relative } from "node:path";
import { bundleHandler } from "../components/bundle";
import type { Plan } from "../components/plan/plan";
import { nextTick } from "../components/time/schedule";
import { toEnvironment, type DatabaseSettings } from "../handler/settings";
import { checkDrift, type DriftCheck } from "./driftCheck";
import { describeSeconds } from "./duration";
import { RunControls } from "./controls";
import { FreshnessWatch } from "./freshness";
import { LambdaFunction, type FunctionConfiguration } from "./lambda/lambdaFunction";
import type { LineListener } from "./lambda/lambdaProcess";
import {
  INCREMENTAL_VIEW,
  makeIncremental,
  sayMaintenance,
  type CompileView,
  type FullRefresh,
} from "./maintain";
import {
  createFunctionLogin,
  databaseSettings,
  startEmbeddedDatabase,
  withClient,
  writePasswordFile,
  serverVersion,
  type ExistingServer,
  type RunDatabase,
} from "./postgres/database";
import { startPage } from "./page";
import { ServerGuard, type Outage } from "./postgres/serverGuard";
import { Cleanup, type StopSignals } from "./stopSignals";
import { printSummary } from "./summary";
import { count, done, logTime, type Terminal } from "./terminal";
import { runTicks } from "./ticker";
import { TickRunner } from "./tickRunner";
import { BackgroundLoad, loadRates, type LoadLevel } from "./workload/load";
import { LoadSwitch } from "./workload/loadSwitch";
import { prepareSchema, prepareWorkload } from "./workload/prepare";

/** What a run on this machine is asked to do. */
export interface LocalRun {
  plan: Plan;
  /** Name of the stack the plan is of. */
  stack: string;
  /** Ends by itself after this time; absent: runs until it is stopped. */
  forSeconds?: number;
  /** Size of a first fill. */
  objects: number;
  load: LoadLevel;
  /** Stops the embedded server for a while. */
  outage?: Outage;
  dataDirectory: string;
  /** Drops the embedded server's database first. */
  fresh: boolean;
  /** A server that is used instead of the embedded one. */
  existing?: ExistingServer;
  /** Makes {@link INCREMENTAL_VIEW} incremental first, and counts drift at the end. */
  compile?: CompileView;
  /** The page to serve beside the log; absent: none. */
  page?: { port: number | undefined };
}

/** Stands in ARNs and events; nothing is asked of AWS. */
const region = "us-east-1";

/** A stop by hand waits so long for the run under way. */
const patienceMs = 3_000;

/**
 * Runs what is deployed on this machine, until the time is up or a signal comes, and stops everything again.
 * @returns the exit code: 0 when no refresh failed, or when all that failed fell into an outage that was asked
 * for and the refresh recovered; otherwise 1, also when the time was up before the first tick, or drift was found
 * @throws what stopped the run from starting
 */
export async function runLocally(run: LocalRun, terminal: Terminal, signals: StopSignals): Promise<number> {
  const cleanup = new Cleanup();
  try {
    const prepared = await prepare(run, terminal, signals, cleanup);
    if (prepared !== undefined) return await runSchedule(run, prepared, terminal, signals, cleanup);
    terminal.event(`Stopped before the first tick (${String(signals.signal.reason)})`);
    return 0;
  } finally {
    for (const failure of await cleanup.run()) {
      terminal.line(`  Not stopped cleanly: ${failure instanceof Error ? failure.message : String(failure)}`);
    }
  }
}

/** What the schedule runs with. */
interface Prepared {
  database: RunDatabase;
  /** The function's own way to it. */
  settingsOfDatabase: DatabaseSettings;
  fn: LambdaFunction;
  /** What a full refresh took before the view was made incremental in this run. */
  fullRefresh: FullRefresh | undefined;
  mayLoad: boolean;
  /** Who is told of the function's lines, from the first tick on. */
  lines: { listener?: LineListener };
  controls: RunControls;
}

/** Undefined when a signal came in the meantime. */
async function prepare(
  run: LocalRun,
  terminal: Terminal,
  signals: StopSignals,
  cleanup: Cleanup,
): Promise<Prepared | undefined> {
  const stop = signals.signal;
  terminal.line(terminal.colors.bold(`matview-refresh: stack "${run.stack}" on this machine`));
  const database = await openDatabase(run, terminal, signals, cleanup);
  done(terminal, database.description);
  if (stop.aborted) return undefined;
  const controls = new RunControls();
  if (run.page !== undefined) {
    const { connection } = database;
    const page = await startPage({ ...run, ...run.page, connection, controls }, terminal);
    if (page !== undefined) cleanup.add(() => page.close());
  }
  const isEmbedded = run.existing === undefined;
  const workload = await prepareSchema(database.connection, run.plan.views, isEmbedded, terminal);
  if (stop.aborted) return undefined;
  if (workload === "foreign") {
    terminal.line(
      "  ! public.jobs and public.job_objects were there before: they are neither filled nor worked on",
    );
  } else if (workload === "ours") {
    try {
      await prepareWorkload(database.connection, isEmbedded, run.objects, terminal, stop);
    } catch (error) {
      if (stop.aborted) return undefined;
      throw error;
    }
  }
  const settingsOfDatabase = await functionDatabase(run, database, signals, cleanup);
  const lines: Prepared["lines"] = {};
  const listener: LineListener = (line, requestId) => lines.listener?.(line, requestId);
  const configuration = await configureFunction(run.plan, settingsOfDatabase, terminal);
  const fn = new LambdaFunction(configuration, listener);
  cleanup.add(() => fn.stop());
  signals.onForce(() => fn.pids.forEach((pid) => endNow(pid, "SIGKILL")));
  if (stop.aborted) return undefined;
  const { compile } = run;
  let fullRefresh: FullRefresh | undefined;
  if (compile === undefined) await sayMaintenance(database, run.plan.views, terminal);
  else {
    try {
      fullRefresh = await makeIncremental({ database, fn, compile, terminal, stop });
    } catch (error) {
      if (stop.aborted) return undefined;
      throw error;
    }
  }
  if (stop.aborted) return undefined;
  return { database, settingsOfDatabase, fn, fullRefresh, lines, controls, mayLoad: workload === "ours" };
}

async function openDatabase(
  run: LocalRun,
  terminal: Terminal,
  signals: StopSignals,
  cleanup: Cleanup,
): Promise<RunDatabase> {
  if (run.existing !== undefined) {
    const { connection } = run.existing;
    const version = await withClient(connection, serverVersion);
    const { host, port, database, user } = connection;
    return {
      description: `PostgreSQL ${version} at ${host}:${port}, database ${database}, user ${user}`,
      connection,
    };
  }
  const embedded = await startEmbeddedDatabase(run.dataDirectory, run.fresh, (message) =>
    terminal.line(`  ${message}`),
  );
  cleanup.add(() => embedded.server.stop());
  signals.onForce(() => endNow(embedded.server.pid, "SIGQUIT"));
  return embedded;
}

/** How the function reaches the database: a login of its own on our server, the given one on another. */
async function functionDatabase(
  run: LocalRun,
  database: RunDatabase,
  signals: StopSignals,
  cleanup: Cleanup,
): Promise<DatabaseSettings> {
  const { existing } = run;
  const login =
    existing === undefined
      ? await createFunctionLogin(database.connection)
      : { user: existing.connection.user, password: existing.password };
  const secret = await writePasswordFile(login.password);
  cleanup.add(() => Promise.resolve(secret.remove()));
  signals.onForce(secret.remove);
  return databaseSettings(database.connection, login.user, secret.file, existing?.tls ?? { tls: "disable" });
}

/** The function of the plan, with the bundle that would be deployed. */
async function configureFunction(
  { settings, group, views, function: planned }: Plan,
  database: DatabaseSettings,
  terminal: Terminal,
): Promise<FunctionConfiguration> {
  const root = join(__dirname, "..");
  const bundle = await bundleHandler("handler/index.ts", "dist/refresh");
  done(
    terminal,
    `Handler bundle: ${relative(root, bundle.file)}, ${Math.round(bundle.bytes / 1024)} KB, ` +
      `sha256 ${bundle.sha256.slice(0, 12)}`,
  );
  const { name, timeoutSeconds, memoryMb, runtime } = planned;
  // Text for a person, also where the deployed function logs JSON. The CA file that Lambda's own runtime brings
  // is not named, since it is not here.
  const { historyRetentionDays } = settings;
  const environment = toEnvironment({ group, views, logFormat: "text", historyRetentionDays, database });
  return {
    name,
    timeoutSeconds,
    memoryMb,
    runtime,
    region,
    bundleFile: bundle.file,
    environment: { ...settings.environment, ...environment },
  };
}

async function runSchedule(
  run: LocalRun,
  { database, settingsOfDatabase, fn, fullRefresh, lines, controls, mayLoad }: Prepared,
  terminal: Terminal,
  signals: StopSignals,
  cleanup: Cleanup,
): Promise<number> {
  const { plan } = run;
  const { settings, schedule } = plan;
  const over = new AbortController();
  const background: Promise<void>[] = [];
  // Added last and so run first: what uses the server ends before the server does.
  cleanup.add(async () => {
    over.abort();
    await Promise.all(background);
  });

  const freshness = new FreshnessWatch(database.connection, plan.views);
  cleanup.add(() => freshness.close());
  const load = mayLoad ? await startLoad(run, database, terminal) : undefined;
  if (load !== undefined) cleanup.add(() => load.stop());
  const guard = database.server && new ServerGuard(database.server, (message) => terminal.event(message));
  if (guard !== undefined) background.push(guard.run(over.signal));

  await freshness.read();
  freshness.begin();
  const startEpochMs = Date.now();
  const endEpochMs = run.forSeconds === undefined ? Infinity : startEpochMs + run.forSeconds * 1000;
  announce(run, startEpochMs, endEpochMs, terminal);
  const origin = {
    region,
    functionName: plan.names.function,
    ...(settings.eventPayload && { payload: settings.eventPayload }),
  };
  const ticks = new TickRunner({ plan, origin, fn, freshness, terminal });
  lines.listener = (line) => ticks.print(line);
  const outage = (planned: Outage, countedFromMs: number): Promise<void> | undefined => {
    const held = guard?.holdOutage(planned, countedFromMs, () => ticks.beginOutage(), over.signal);
    if (held !== undefined) background.push(held);
    return held;
  };
  if (run.outage !== undefined) void outage(run.outage, startEpochMs);
  controls.attach({
    ...{ ticks, load, terminal },
    outage:
      guard === undefined || run.outage !== undefined
        ? undefined
        : async (lastsSeconds) => outage({ afterSeconds: 0, lastsSeconds }, Date.now()),
  });
  await runTicks(schedule, endEpochMs, signals.signal, (tick) => {
    if (settings.refreshEnabled && !controls.isPaused) ticks.fire(tick);
  });
  controls.detach();
  if (signals.signal.aborted) terminal.event(`Stopping (${String(signals.signal.reason)})`);
  await ticks.drain(signals.signal.aborted ? patienceMs : (settings.timeoutSeconds + 15) * 1000);
  await freshness.read();
  const { tally, recovered, alarmsRaised } = ticks;
  const facts = {
    plan,
    ranSeconds: (Date.now() - startEpochMs) / 1000,
    tally,
    worstStalenessSeconds: freshness.worstSeconds(),
    processedObjects: load?.processedObjects,
    alarmsRaised,
    recovered,
    fullRefresh,
  };
  const driftCheck = run.compile && (await checkAtEnd(plan, settingsOfDatabase, terminal));
  printSummary(terminal, { ...facts, driftCheck });
  const sawNothing = settings.refreshEnabled && tally.ticks === 0 && !signals.signal.aborted;
  const isWrong = (tally.folded?.drift ?? 0) > 0 || (driftCheck !== undefined && !isEqual(driftCheck));
  return sawNothing || tally.unexpectedFailures > 0 || recovered === false || isWrong ? 1 : 0;
}

async function checkAtEnd(
  { views }: Plan,
  database: DatabaseSettings,
  terminal: Terminal,
): Promise<DriftCheck | undefined> {
  const { schema, name } = INCREMENTAL_VIEW;
  const view = views.find((each) => each.schema === schema && each.name === name);
  return view && checkDrift(database, view, terminal);
}

const isEqual = (check: DriftCheck): boolean => "drift" in check && check.drift === 0;

async function startLoad(run: LocalRun, database: RunDatabase, terminal: Terminal): Promise<LoadSwitch> {
  const load = new LoadSwitch((level) => {
    const objectsPerMinute = loadRates[level];
    if (objectsPerMinute === 0) return undefined;
    return new BackgroundLoad(database.connection, objectsPerMinute, run.objects, (state, reason) =>
      terminal.event(state === "paused" ? `Load paused: ${reason}` : "Load resumed"),
    );
  });
  const objectsPerMinute = loadRates[run.load];
  if (objectsPerMinute > 0) done(terminal, `Load: ${run.load}, ${count(objectsPerMinute)} objects a minute`);
  await load.set(run.load);
  return load;
}

function announce(
  { plan, forSeconds }: LocalRun,
  startEpochMs: number,
  endEpochMs: number,
  terminal: Terminal,
): void {
  const { schedule, maxStalenessSeconds, settings } = plan;
  const { timeoutSeconds, memoryMb, views } = settings;
  const names = views.map(({ name }) => name).join(", ");
  const first = nextTick(schedule, startEpochMs);
  terminal.line();
  terminal.line(
    `Refreshing ${names} ${schedule.description}: ${timeoutSeconds} s timeout, ${memoryMb} MB, ` +
      `at most ${describeSeconds(maxStalenessSeconds)} old.`,
  );
  if (!settings.refreshEnabled) terminal.line("refreshEnabled is false: no tick is fired.");
  else if (first !== undefined) terminal.line(`First tick at ${logTime(new Date(first))} UTC.`);
  if (settings.refreshEnabled && (first ?? Infinity) > endEpochMs) {
    terminal.line(
      terminal.colors.yellow(
        `! No tick falls inside --for ${forSeconds}s: nothing will be refreshed, exit code 1.`,
      ),
    );
  }
  terminal.line(
    forSeconds === undefined
      ? "Ctrl-C stops."
      : `Stops by itself after ${describeSeconds(forSeconds)}; Ctrl-C stops it now.`,
  );
  terminal.line();
}

function endNow(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended by itself.
  }
}
