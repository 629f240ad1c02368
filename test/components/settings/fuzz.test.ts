/**
 * Settings of all kinds: whatever JSON can say, right ones, and right ones with something wrong in them. What is
 * refused is told so that it can be put right, and what is accepted AWS and PostgreSQL take.
 *
 * MATVIEW_FUZZ_RUNS=10000 tries so many of each kind; MATVIEW_FUZZ_SEED=… and MATVIEW_FUZZ_PATH=… repeat a run that
 * failed (fast-check prints both).
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { dashboardBody } from "../../../components/plan/dashboardPlan";
import { freshnessQueryOf } from "../../../components/plan/permissionPlan";
import { grantsOf } from "../../../components/plan/grantPlan";
import { makePlan, type Plan } from "../../../components/plan/plan";
import { environmentBytes, functionEnvironment } from "../../../components/settings/environment";
import { SettingsFaults, type Purpose } from "../../../components/settings/faults";
import { parseSettings } from "../../../components/settings/parseSettings";
import { KNOWN_LATER } from "../../../components/settings/readers";
import { parseEnvironment } from "../../../handler/parseEnvironment";
import { anything, fuzz, LONGEST_FUZZ_MS, ODD_KEYS, ownObject, SECRET, SECRET_KEYS } from "../../fuzz";
import { nearMisses } from "../../nearMisses";
import { refusals } from "./awsRules";
import { rightSettings } from "./rightSettings";

const REGION = "us-east-1";
const purposes = fc.constantFrom<Purpose>("deploy", "local", "component");
const regions = fc.constantFrom(undefined, REGION);

const WAYS_OUT: Record<Purpose, RegExp> = {
  deploy: /pulumi config (set|rm) /,
  local: /edit Pulumi\.local\.yaml: /,
  component: /in the program: /,
};

/** What is told of a refusal: key, value, limit and a way out, and never a secret. */
function checkFaults(
  { faults, message }: SettingsFaults,
  values: Record<string, unknown>,
  purpose: Purpose,
): void {
  assert.ok(faults.length > 0);
  // A name is there to be read.
  const isName = [values.groupName, values.namePrefix].some(
    (name) => typeof name === "string" && name.includes(SECRET),
  );
  assert.ok(isName || !message.includes(SECRET), `shows a secret: ${message.slice(0, 2_000)}`);
  for (const fault of faults) {
    for (const [name, text] of Object.entries(fault) as [string, string][]) {
      assert.ok(name === "key" || text !== "", `${name} is empty: ${JSON.stringify(fault)}`);
      assert.ok(message.includes(text), `${name} is not told`);
    }
    assert.match(fault.remedy, WAYS_OUT[purpose]);
    assert.ok(
      fault.value.length <= 120,
      `value of ${fault.value.length} signs: ${fault.value.slice(0, 200)}`,
    );
  }
}

/** The function's environment, which the function reads to the same settings. */
function checkEnvironment(plan: Plan): void {
  const { settings, group, views } = plan;
  const { logFormat, historyRetentionDays, environment, database } = settings;
  const come = (text: string | undefined, standIn: string): string =>
    text === undefined || text === KNOWN_LATER ? standIn : text;
  const [host, name] = [come(database.host, "db.example.com"), come(database.name, "scanner")];
  const { auth = "iam" } = database;
  const port = typeof database.port === "number" ? database.port : 5_432;
  const given = {
    host,
    port: String(port),
    name,
    auth,
    tls: "verify-full",
    ...(auth === "secret"
      ? { secretArn: come(database.secretArn, "arn") }
      : { user: come(database.user, "refresher") }),
  } as const;
  const variables = functionEnvironment(
    { group, views, logFormat, historyRetentionDays, environment },
    given,
  );
  assert.ok(environmentBytes(variables) <= 4_096, `${environmentBytes(variables)} bytes of environment`);
  assert.deepEqual(parseEnvironment(variables), {
    group,
    views,
    database: given,
    logFormat,
    historyRetentionDays,
  });
}

function checkAccepted(values: Record<string, unknown>, purpose: Purpose, region: string | undefined): void {
  const settings = parseSettings(values, purpose, region);
  assert.deepEqual(parseSettings(settings, purpose, region), settings, "is read again to something else");
  const plan = makePlan(settings);
  assert.deepEqual(refusals(plan, region, purpose === "component" ? KNOWN_LATER : undefined), []);
  const grants = grantsOf(plan, { name: settings.database.name ?? "scanner", user: settings.database.user });
  const written = [...grants, freshnessQueryOf(plan), JSON.stringify(dashboardBody(plan, REGION))];
  for (const text of written) assert.ok(!/\0|\p{Cs}/u.test(text));
  assert.deepEqual(JSON.parse(JSON.stringify(plan)), JSON.parse(JSON.stringify(makePlan(settings))));
  checkEnvironment(plan);
}

/** Reads; tells whether it was accepted. */
function check(values: Record<string, unknown>, purpose: Purpose, region: string | undefined): boolean {
  try {
    checkAccepted(values, purpose, region);
    return true;
  } catch (error) {
    if (!(error instanceof SettingsFaults)) throw error;
    checkFaults(error, values, purpose);
    return false;
  }
}

const KEYS = [
  ...[
    "views",
    "refreshRate",
    "timeoutSeconds",
    "alarms",
    "database",
    "network",
    "tags",
    "environment",
    "runtime",
  ],
  ...["eventPayload", "alarmEmails", "alarmTopicArns", "logRetentionDays", "monthlyBudgetUsd", "groupName"],
  ...["runbookUrl", "namePrefix", "roleArn", "logGroupName", "architecture", "refreshEnabled", "rolePath"],
];
const keys = fc.constantFrom(
  ...KEYS,
  ...ODD_KEYS,
  ...SECRET_KEYS,
  "failureDestinationArn",
  "veiws",
  "databse",
);
const anySettings = fc.array(fc.tuple(keys, anything), { maxLength: 5 }).map(ownObject);

const kinds: [string, fc.Arbitrary<Record<string, unknown>>, leastAccepted: number][] = [
  ["whatever JSON can say", anySettings, 0],
  ["right ones", rightSettings, 0.3],
  ["near misses", nearMisses(rightSettings), 0.05],
];

describe("fuzzed settings", () => {
  for (const [kind, arbitrary, leastAccepted] of kinds) {
    it(`of ${kind} are accepted to AWS's liking, or refused with a way out`, () => {
      let [accepted, tried] = [0, 0];
      fc.assert(
        fc.property(arbitrary, purposes, regions, (values, purpose, region) => {
          tried += 1;
          if (check(values, purpose, region)) accepted += 1;
        }),
        fuzz,
      );
      assert.ok(accepted / tried >= leastAccepted, `only ${accepted} of ${tried} were accepted`);
    }).timeout(LONGEST_FUZZ_MS);
  }
});
