import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { bundleHandler } from "../../components/bundle";
import { METRIC, METRIC_NAMESPACE } from "../../handler/metricNames";
import type { RefreshResponse } from "../../handler/response";
import { toEnvironment, type HandlerSettings } from "../../handler/settings";
import { useDatabase } from "../database";
import { viewNamed } from "./harness";
import { invokeBundle } from "./invocation";
import { ITEMS, maintain, TOTALS } from "./maintainedView";

const scheduled = { "detail-type": "Scheduled Event", source: "aws.events" };
const password = "password-that-no-log-may-show";

interface EmfLine {
  _aws: {
    CloudWatchMetrics: {
      Namespace: string;
      Dimensions: string[][];
      Metrics: { Name: string; Unit: string }[];
    }[];
  };
  [value: string]: unknown;
}

describe("what the bundle writes and returns", () => {
  const database = useDatabase();
  let directory: string;
  let file: string;

  before(async () => {
    directory = await mkdtemp(path.join(tmpdir(), "matview-refresh-output-"));
    ({ file } = await bundleHandler("handler/index.ts", directory));
    await writeFile(path.join(directory, "wrong"), password);
    const client = await database.connect();
    await client.query(
      "CREATE MATERIALIZED VIEW broken AS SELECT 1 / (SELECT count(*) FROM jobs) AS n WITH NO DATA",
    );
  });
  after(() => rm(directory, { recursive: true }));

  const jobProgress = viewNamed("job_progress", {
    statistics: { schema: "public", name: "job_progress_statistics" },
  });

  function environment(change: Partial<HandlerSettings>): Record<string, string> {
    return toEnvironment({
      group: "progress",
      views: [jobProgress],
      database: database.databaseSettings(),
      logFormat: "json",
      historyRetentionDays: 7,
      ...change,
    });
  }

  /** Every line of the JSON log, of which each must parse; metrics apart. */
  function parse(stdout: string): { log: Record<string, unknown>[]; metrics: EmfLine[] } {
    const lines = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    return {
      log: lines.filter((line) => !("_aws" in line)),
      metrics: lines.filter((line): line is EmfLine => "_aws" in line),
    };
  }

  it("is the documented response, and the same facts as JSON", async () => {
    const { stdout, stderr, returned } = await invokeBundle(file, environment({}), scheduled).finished;
    assert.equal(stderr, "");
    const { statusCode, body } = returned as RefreshResponse;
    assert.equal(statusCode, 200);
    assert.match(
      body,
      /^\{"success":true,"duration_seconds":[\d.]+,"refresh_type":"concurrent","statistics":\{"total_jobs":0,"total_objects":0,"processed_objects":0,"active_jobs":0\}\}$/,
    );
    const completed = parse(stdout).log.at(-1);
    assert.equal(completed?.message, "Refresh completed");
    assert.deepEqual(
      [completed?.view, completed?.group, completed?.refresh_type, completed?.request_id],
      ["public.job_progress", "progress", "concurrent", "request-1"],
    );
  });

  it("has the named metrics of each view, and the run's own by group alone", async () => {
    const { stdout } = await invokeBundle(file, environment({}), scheduled).finished;
    const [metric, ofRun, ...more] = parse(stdout).metrics;
    assert.ok(metric && ofRun && more.length === 0);
    assert.deepEqual(ofRun._aws.CloudWatchMetrics[0]?.Dimensions, [["group"]]);
    const runSeconds = ofRun[METRIC.runDuration];
    assert.ok(typeof runSeconds === "number" && runSeconds > Number(metric[METRIC.refreshDuration]));
    const [directive] = metric._aws.CloudWatchMetrics;
    assert.equal(directive?.Namespace, METRIC_NAMESPACE);
    assert.deepEqual(directive?.Dimensions, [["group", "view"]]);
    assert.deepEqual([metric.group, metric.view], ["progress", "public.job_progress"]);
    assert.deepEqual(
      new Set(directive?.Metrics.map(({ Name, Unit }) => `${Name} ${Unit}`)),
      new Set([
        `${METRIC.refreshDuration} Seconds`,
        `${METRIC.staleness} Seconds`,
        `${METRIC.succeeded} Count`,
      ]),
    );
    assert.equal(metric[METRIC.succeeded], 1);
    for (const name of [METRIC.refreshDuration, METRIC.staleness]) {
      assert.ok(typeof metric[name] === "number" && metric[name] > 0, name);
    }
  });

  it("says of a maintained view what was folded, how often it was computed anew, and what drifted", async () => {
    const client = await database.connect();
    await client.query(ITEMS);
    await maintain(client, TOTALS);
    const views = [viewNamed("totals")];
    const fold = async () => {
      const { stdout, stderr, returned } = await invokeBundle(file, environment({ views }), scheduled)
        .finished;
      const { log, metrics } = parse(stdout + stderr);
      const body = JSON.parse((returned as RefreshResponse).body) as Record<string, unknown>;
      const [of] = metrics;
      const counted = [METRIC.changes, METRIC.drift, METRIC.fullRuns].map((name) => of?.[name]);
      return { log, body, counted, units: of?._aws.CloudWatchMetrics[0]?.Metrics.map(({ Unit }) => Unit) };
    };

    await client.query("UPDATE items SET n = 0 WHERE id = 1");
    const incremental = await fold();
    assert.deepEqual(incremental.counted, [2, undefined, 0]);
    assert.deepEqual(incremental.units, ["Seconds", "Count", "Count", "Count"]);
    const { refresh_type, changes, changed_rows, drift } = incremental.body;
    assert.deepEqual([refresh_type, changes, changed_rows, drift], ["incremental", 2, 1, null]);

    await client.query(`
      ALTER TABLE items DISABLE TRIGGER USER; UPDATE items SET n = 1; ALTER TABLE items ENABLE TRIGGER USER;
      UPDATE matview_refresh.public__totals__status SET last_full_at = '-infinity'`);
    const full = await fold();
    assert.deepEqual(full.counted, [0, 3, 1]);
    assert.deepEqual([full.body.refresh_type, full.body.drift, full.body.reason], ["full", 3, "one was due"]);
    const [completed, drifted] = full.log.slice(-2);
    assert.deepEqual(
      [completed?.refresh_type, completed?.drift, completed?.reason],
      ["full", 3, "one was due"],
    );
    assert.deepEqual(
      [drifted?.level, drifted?.message, drifted?.drift, drifted?.remedy],
      ["WARN", "Drift found", 3, "npm run incremental -- verify --view public.totals"],
    );
  });

  it("throws with the view, the SQLSTATE and the remedy, and counts the failure", async () => {
    const views = [viewNamed("broken"), jobProgress];
    const { stdout, stderr, thrown } = await invokeBundle(file, environment({ views }), scheduled).finished;
    assert.match(
      thrown ?? "",
      /^RefreshFailure: public\.broken: .*\(SQLSTATE 22012\)\. To fix it: REFRESH MATERIALIZED VIEW public\.broken;/,
    );
    // The logger writes errors to stderr, which CloudWatch gets as well.
    const { log, metrics } = parse(stdout + stderr);
    assert.ok(
      log.some((line) => line.level === "ERROR" && line.code === "22012" && line.view === "public.broken"),
    );
    // No run's duration: it would say how long a run takes that fails.
    const counted = metrics.map((line) => [line.view, line[METRIC.failed], line[METRIC.succeeded]]);
    assert.deepEqual(counted, [
      ["public.broken", 1, undefined],
      ["public.job_progress", undefined, 1],
    ]);
  });

  it("writes plain lines where text is asked for, and refreshes just the view an event names", async () => {
    const views = [viewNamed("broken"), jobProgress];
    const event = { source: "manual-test", view: "job_progress" };
    const { stdout, returned } = await invokeBundle(file, environment({ views, logFormat: "text" }), event)
      .finished;
    assert.match(
      stdout,
      /^\[[\d: -]+\] Connecting to database\.\.\.\n\[[\d: -]+\] Refreshing job_progress materialized view\.\.\.\n\[[\d: -]+\] ✓ Refresh completed in \d\.\d\ds \(concurrent\)\n {2}Jobs: 0\n {2}Total objects: 0\n {2}Processed: 0\n {2}Active jobs: 0\n\{"_aws"/,
    );
    assert.ok(returned);
  });

  for (const logFormat of ["text", "json"] as const) {
    it(`never has the password, refused or in use (${logFormat})`, async () => {
      const refusedDatabase = { ...database.databaseSettings(), passwordFile: path.join(directory, "wrong") };
      const refused = await invokeBundle(
        file,
        environment({ logFormat, database: refusedDatabase }),
        scheduled,
      ).finished;
      assert.match(refused.thrown ?? "", /28P01/);
      const accepted = await invokeBundle(file, environment({ logFormat }), scheduled).finished;
      assert.ok(accepted.returned);
      const written = JSON.stringify([refused, accepted]);
      assert.ok(!written.includes(password) && !written.includes(database.server.password));
    });
  }

  it("refuses a faulty environment with all its faults", async () => {
    const faulty = environment({});
    delete faulty.MATVIEW_GROUP;
    delete faulty.MATVIEW_DATABASE_NAME;
    const { thrown } = await invokeBundle(file, faulty, scheduled).finished;
    assert.match(
      thrown ?? "",
      /^SettingsError: .*2 fault\(s\):\n {2}MATVIEW_GROUP is not set\n {2}MATVIEW_DATABASE_NAME is not set$/,
    );
  });
});
