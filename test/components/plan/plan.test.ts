import assert from "node:assert/strict";
import fc from "fast-check";
import { mostPeriods } from "../../../components/time/alarmRule";
import { parseMetricMath } from "../../../components/time/metricMath";
import { fillArn, tokensOf } from "../../../components/plan/arnTemplates";
import { makePlan, type AlarmPlan, type Plan } from "../../../components/plan/plan";
import { estimateMonthlyCost, pricedLines } from "../../../components/cost/cost";
import { recordedPrices } from "../../../components/cost/prices";
import { dashboardBody } from "../../../components/plan/dashboardPlan";
import { grantsOf } from "../../../components/plan/grantPlan";
import { freshnessQueryOf } from "../../../components/plan/permissionPlan";
import { usageOf } from "../../../components/plan/usagePlan";
import { verificationCommands } from "../../../components/plan/verificationPlan";
import { parseSettings } from "../../../components/settings/parseSettings";
import { METRIC, METRIC_NAMESPACE, metricDimensions } from "../../../handler/metricNames";
import { acceptedSettings } from "../settings/acceptedSettings";

const region = "us-east-1";

function plan(values: Record<string, unknown> = {}): Plan {
  return makePlan(parseSettings(values, "local"));
}

function alarm(of: Plan, kind: AlarmPlan["kind"]): AlarmPlan {
  const found = of.alarms.find((candidate) => candidate.kind === kind);
  assert.ok(found, `no alarm of kind ${kind}`);
  return found;
}

describe("plan, for any accepted settings", () => {
  it("gives every tick after the first of a minute a queue whose delay is inside the minute", () => {
    fc.assert(
      fc.property(acceptedSettings, (settings) => {
        const { schedule, queues, targets, function: planned } = makePlan(settings);
        assert.equal(targets.length, schedule.offsetsSeconds.length);
        assert.ok(targets.length <= 5);
        assert.deepEqual(
          targets.map((target) => target.offsetSeconds),
          schedule.offsetsSeconds,
        );
        assert.deepEqual(
          targets.map((target) => target.queue),
          [undefined, ...queues.map((queue) => queue.name)],
        );
        for (const queue of queues) {
          assert.ok(queue.delaySeconds > 0 && queue.delaySeconds < 60);
          assert.ok(queue.visibilityTimeoutSeconds >= 6 * planned.timeoutSeconds);
          assert.ok(
            queue.visibilityTimeoutSeconds >= queue.retentionSeconds,
            "a failed tick would come back",
          );
          assert.ok(queue.name.length <= 80);
        }
      }),
    );
  });

  it("has only alarms that CloudWatch takes", () => {
    fc.assert(
      fc.property(acceptedSettings, (settings) => {
        const { alarms } = makePlan(settings);
        assert.equal(new Set(alarms.map(({ name }) => name)).size, alarms.length);
        for (const planned of alarms) {
          const { periodSeconds, evaluationPeriods, datapointsToAlarm, metrics, expression } = planned;
          assert.equal(periodSeconds % 60, 0);
          assert.ok(evaluationPeriods <= mostPeriods(periodSeconds));
          assert.ok(datapointsToAlarm >= 1 && datapointsToAlarm <= evaluationPeriods);
          assert.ok((planned.warmUpSeconds ?? 60) >= 60 && (planned.warmUpSeconds ?? 60) <= 2_880 * 60);
          assert.ok(planned.name.length <= 255 && planned.description.length <= 1_024);
          for (const { id } of metrics) assert.match(id, /^[a-z][A-Za-z0-9_]{0,254}$/);
          if (expression === undefined) assert.equal(metrics.length, 1);
          else parseMetricMath(expression);
          assert.equal(planned.canFire, true, planned.key);
        }
      }),
    );
  });

  it("has cost lines that add up", () => {
    fc.assert(
      fc.property(acceptedSettings, (settings) => {
        const cost = estimateMonthlyCost(usageOf(makePlan(settings), region), recordedPrices);
        const sum = pricedLines(cost.lines).reduce((total, line) => total + line.monthlyUsd, 0);
        assert.ok(Math.abs(sum - cost.totalUsd) < 1e-9);
        assert.ok(cost.totalWithFreeTierUsd <= cost.totalUsd);
      }),
    );
  });

  it("is the same every time", () => {
    fc.assert(
      fc.property(acceptedSettings, (settings) => {
        assert.deepEqual(makePlan(settings), makePlan(structuredClone(settings)));
      }),
      { numRuns: 20 },
    );
  });
});

describe("plan", () => {
  it("names everything <prefix>-refresh-<group>", () => {
    const { names, function: planned } = plan({ namePrefix: "strac-scanner" });
    assert.equal(planned.name, "strac-scanner-refresh-job-progress");
    assert.equal(names.logGroup, "/aws/lambda/strac-scanner-refresh-job-progress");
    assert.equal(names.rule, "strac-scanner-refresh-job-progress");
  });

  it("has no queue at a minute and one for each further tick below", () => {
    assert.deepEqual(plan().queues, []);
    const { queues, rule } = plan({ refreshRate: "rate(20 seconds)" });
    assert.deepEqual(
      queues.map(({ name, delaySeconds, retentionSeconds }) => ({ name, delaySeconds, retentionSeconds })),
      [20, 40].map((delaySeconds) => ({
        name: `matview-refresh-job-progress-${delaySeconds}s`,
        delaySeconds,
        retentionSeconds: 60,
      })),
    );
    assert.equal(rule.scheduleExpression, "rate(1 minute)");
  });

  it("has no stale alarm while refreshes are switched off, and changes nothing else but the rule", () => {
    const { rule: on, alarms: alarmsOn, settings: _on, ...othersOn } = plan();
    const { rule: off, alarms: alarmsOff, settings: _off, ...othersOff } = plan({ refreshEnabled: "false" });
    assert.deepEqual(off, { ...on, isEnabled: false });
    assert.deepEqual(
      alarmsOff,
      alarmsOn.filter(({ kind }) => kind !== "stale"),
    );
    assert.deepEqual(othersOff, othersOn);
  });

  it("proves that an alarm over 5 errors in each of 2 minutes can never fire, and which one can", () => {
    const overFive = { threshold: 5, periodSeconds: 60, evaluationPeriods: 2 };
    const never = alarm(plan({ alarms: { errors: overFive } }), "errors");
    assert.equal(never.canFire, false);
    const can = alarm(plan({ alarms: { errors: { ...overFive, threshold: 0 } } }), "errors");
    assert.equal(can.canFire, true);
    const sparse = { refreshRate: "rate(5 minutes)", alarms: { errors: { ...overFive, threshold: 0 } } };
    assert.equal(
      alarm(plan(sparse), "errors").canFire,
      false,
      "two minutes never hold two ticks 5 minutes apart",
    );
  });

  it("promises what the alarms keep, as silence and as age", () => {
    const byDefault = plan();
    assert.equal(alarm(byDefault, "failing").periodSeconds, 300);
    assert.match(alarm(byDefault, "failing").description, /not refreshed through at least 3 ticks \(300 s\)/);
    assert.match(
      alarm(byDefault, "stale").description,
      /not been refreshed for 360 s.* within 480 s .* 540 s old/,
    );
    assert.equal(byDefault.maxStalenessSeconds, 540);
    const least = plan({ maxStalenessSeconds: 480 });
    assert.equal(alarm(least, "stale").periodSeconds, 300);
    assert.match(alarm(least, "failing").description, /through at least 2 ticks/);
  });

  it("names each alarm once where names are too long for CloudWatch", () => {
    const long = '""'.repeat(62);
    const views = ["a", "b"].map((end) => `"${long}a"."${long}${end}"`);
    const names = plan({ views, groupName: "g".repeat(40) }).alarms.map(({ name }) => name);
    assert.equal(new Set(names).size, names.length);
    assert.ok(names.every((name) => name.length <= 255));
  });

  it("cuts no character apart where a description is too long", () => {
    for (const start of ["", "a"]) {
      const views = Array.from({ length: 9 }, (_, index) => `"${start}${index}${"😀".repeat(15)}".b`);
      const { description } = plan({ views, groupName: "g" }).function;
      assert.ok(description.length > 250 && description.length <= 256 && !/\p{Cs}/u.test(description));
    }
  });

  it("has no dimension that begins with a colon, which CloudWatch refuses", () => {
    const { group, views } = plan({ views: ['":a".b'], groupName: ":x" });
    assert.deepEqual(
      views.map((view) => metricDimensions(group, view)),
      [{ group: "%3Ax", view: "%3Aa.b" }],
    );
  });

  it("reads in the stale alarm what the handler writes, for each view", () => {
    const views = ["public.a", 'public."größe"'];
    const { alarms } = plan({ views, groupName: "both" });
    const stale = alarms.filter(({ kind }) => kind === "stale");
    assert.deepEqual(
      stale.flatMap(({ metrics }) => metrics),
      ["a", "größe"].map((name) => ({
        id: "success",
        namespace: METRIC_NAMESPACE,
        name: METRIC.succeeded,
        dimensions: metricDimensions("both", { schema: "public", name }),
        statistic: "Sum",
      })),
    );
    for (const { dimensions } of stale.flatMap(({ metrics }) => metrics))
      assert.match(Object.values(dimensions).join(), /^[\x20-\x7e]+$/);
  });

  describe("of a view that is maintained", () => {
    const maintained = (incremental?: object) =>
      plan({ groupName: "both", views: ["public.a", { name: 'public."B b"', incremental }] });
    const own = ({ alarms }: Plan) => alarms.filter(({ kind }) => kind === "drift" || kind === "fullRuns");
    const dimensions = metricDimensions("both", { schema: "public", name: "B b" });
    const reads = (id: string, name: string, statistic: string) => {
      return { id, namespace: METRIC_NAMESPACE, name, dimensions, statistic };
    };

    it("has two alarms, on what the handler writes of it, and none for other views", () => {
      assert.deepEqual(own(maintained()), []);
      const [drift, fullRuns, ...more] = own(maintained({}));
      assert.deepEqual(more, []);
      assert.deepEqual([drift?.key, fullRuns?.key], ['drift-public."B b"', 'fullRuns-public."B b"']);
      assert.deepEqual(drift?.metrics, [reads("drift", METRIC.drift, "Sum")]);
      assert.deepEqual(fullRuns?.metrics, [
        reads("fullRuns", METRIC.fullRuns, "Sum"),
        reads("fullShare", METRIC.fullRuns, "Average"),
      ]);
      assert.match(
        drift.description,
        /session_replication_role = replica, logical replication, disabled triggers/,
      );
      assert.ok(drift.description.includes(`npm run incremental -- verify --view 'public."B b"'`));
      assert.match(fullRuns.description, /at least 3 runs within 3600 s, and 50 % of them or more/);
    });

    it("changes nothing else of the alarms", () => {
      const kept = ({ alarms }: Plan) => alarms.filter((one) => !["drift", "fullRuns"].includes(one.kind));
      assert.deepEqual(kept(maintained({})), kept(maintained()));
    });

    it("costs its metrics and alarms", () => {
      const [without, withIt] = [usageOf(maintained(), region), usageOf(maintained({}), region)];
      assert.equal(without.customMetrics, 2 * 5 + 1);
      assert.equal(withIt.customMetrics, without.customMetrics + 3);
      assert.equal(withIt.alarmMetrics, without.alarmMetrics + 3);
    });

    it("has three graphs more, of itself alone", () => {
      const graphs = (incremental?: object) =>
        dashboardBody(maintained(incremental), region).widgets.map(({ properties }) => properties);
      const added = graphs({}).slice(graphs().length);
      assert.deepEqual(
        added.map(({ metrics }) =>
          (metrics as unknown[][]).map(([, name, , , , view, drawn]) => [
            name,
            view,
            (drawn as { stat: string }).stat,
          ]),
        ),
        [
          [[METRIC.changes, "public.B b", "Sum"]],
          [[METRIC.fullRuns, "public.B b", "Average"]],
          [[METRIC.drift, "public.B b", "Sum"]],
        ],
      );
      assert.deepEqual(added[1]?.annotations, { horizontal: [{ label: "fullRuns", value: 0.5 }] });
    });
  });

  it("draws the alarms' own lines in the dashboard", () => {
    const planned = plan({
      views: [{ name: "public.job_progress", incremental: {} }],
      alarms: { slowPercent: 50 },
      runbookUrl: "https://example.com/runbook",
    });
    const body = dashboardBody(planned, region);
    const text = JSON.stringify(body);
    assert.ok(text.includes(`{"label":"slow","value":${alarm(planned, "slow").threshold * 1_000}}`));
    assert.ok(
      text.includes(`IF(FILL(success0, 0) < 1, ${planned.maxStalenessSeconds}, 0)`),
      "an outage looks healthy",
    );
    assert.ok(text.includes(`{"label":"promised","value":${planned.maxStalenessSeconds}}`));
    assert.ok(text.includes("https://example.com/runbook"));
    for (const planned_ of planned.alarms)
      assert.ok(planned_.description.endsWith("https://example.com/runbook"));
    const cells = new Set<string>();
    for (const { x, y, width, height } of body.widgets) {
      assert.ok(x + width <= 24);
      for (let column = x; column < x + width; column += 1) {
        for (let row = y; row < y + height; row += 1) {
          assert.ok(!cells.has(`${column},${row}`), "widgets overlap");
          cells.add(`${column},${row}`);
        }
      }
    }
  });

  it("allows exact actions on exact resources", () => {
    const settings = parseSettings(
      {
        refreshRate: "rate(15 seconds)",
        failureQueueArn: "arn:aws:sqs:us-east-1:123456789012:lost-ticks",
        database: {
          host: "db.example.com",
          name: "scanner",
          user: "refresher",
          resourceId: "db-ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        },
      },
      "local",
    );
    const { statements } = makePlan(settings);
    const values = {
      partition: "aws",
      region: "us-east-1",
      accountId: "123456789012",
      logGroupArn: "arn:aws:logs:us-east-1:123456789012:log-group:/aws/lambda/x",
      databaseResourceId: "db-ABCDEFGHIJKLMNOPQRSTUVWXYZ",
      databaseUser: "refresher",
      failureDestinationArn: "arn:aws:sqs:us-east-1:123456789012:lost-ticks",
      ...Object.fromEntries([15, 30, 45].map((offset) => [`queueArn:${offset}`, `arn:aws:sqs:q${offset}`])),
    };
    const filled = statements
      .filter(({ deniedToFunctionArn }) => deniedToFunctionArn === undefined)
      .flatMap(({ resources }) => resources.map((resource) => fillArn(resource, values)));
    assert.deepEqual(filled, [
      "arn:aws:logs:us-east-1:123456789012:log-group:/aws/lambda/x:*",
      "arn:aws:rds-db:us-east-1:123456789012:dbuser:db-ABCDEFGHIJKLMNOPQRSTUVWXYZ/refresher",
      "arn:aws:sqs:q15",
      "arn:aws:sqs:q30",
      "arn:aws:sqs:q45",
      "arn:aws:sqs:us-east-1:123456789012:lost-ticks",
    ]);
    for (const { actions } of statements)
      for (const action of actions) assert.match(action, /^[a-z0-9-]+:\w+$/);
    assert.throws(() => fillArn("{secretArn}", values), /no value for \{secretArn\}/);
    assert.deepEqual(tokensOf("arn:{partition}:x:{queueArn:15}"), ["partition", "queueArn:15"]);
  });

  it("quotes names in SQL", () => {
    const planned = plan({ views: [`public."x""; drop table jobs; --'\\"`] });
    const grants = grantsOf(planned, { name: "scanner", user: "refresher" });
    const freshnessQuery = freshnessQueryOf(planned);
    assert.ok(grants.some((grant) => grant.includes(`(E'"public"."x""; drop table jobs; --''\\\\"', NULL)`)));
    assert.ok(freshnessQuery.includes(`('public', E'x"; drop table jobs; --''\\\\')`));
  });

  it("fills the names into the commands that verify a stack", () => {
    const commands = verificationCommands(plan(), region).map(({ command }) => command);
    assert.ok(
      commands.some((command) =>
        command.startsWith("aws logs tail /aws/lambda/matview-refresh-job-progress --follow"),
      ),
    );
    assert.ok(commands.some((command) => command.includes(`--payload '{"source":"manual-test"}'`)));
    for (const command of commands) assert.match(command, /--region us-east-1/);
  });

  it("carries a payload inside an event that the handler takes for a scheduled one", () => {
    const { targets } = plan({ refreshRate: "rate(30 seconds)", eventPayload: '{"team":"scanner"}' });
    for (const { input } of targets) {
      assert.deepEqual(JSON.parse(input ?? ""), {
        source: "aws.events",
        "detail-type": "Scheduled Event",
        detail: { team: "scanner" },
      });
    }
  });

  it("comes to $0.19 for Lambda on x86 at a minute, a second and 256 MB", () => {
    const cost = estimateMonthlyCost(usageOf(plan({ architecture: "x86_64" }), region), recordedPrices);
    const lambda = pricedLines(cost.lines).filter(({ id }) => id.startsWith("lambda-"));
    assert.equal(lambda.reduce((total, line) => total + line.monthlyUsd, 0).toFixed(2), "0.19");
  });
});
