import assert from "node:assert/strict";
import type { Bed, Run } from "../../soak/bed/bed";
import { carryOut, remediesOf, remedyOf, statementsOf } from "../../soak/remedy";
import { useDatabase } from "../database";
import { runViews, viewNamed } from "../handler/harness";

describe("a remedy", () => {
  const database = useDatabase();
  const failedWith = (errorMessage: string): Pick<Run, "invocation"> => ({
    invocation: {
      ...{ requestId: "", outcome: "failed", startedEpochMs: 0, durationMs: 0, pid: 0 },
      error: { errorType: "Error", errorMessage },
    },
  });
  const executed: string[] = [];
  const bed = {
    folder: "",
    cluster: {
      connection: () => database.options(),
      execute: (sql: string): Promise<void> => {
        executed.push(sql);
        return Promise.resolve();
      },
    },
  } as unknown as Bed;

  it("is taken from each failure that a message joins", async () => {
    const { outcomes } = await runViews(database, [viewNamed("missing"), viewNamed("matview_freshness")]);
    const messages = outcomes.map((each) => (each.outcome === "failed" ? each.failure.message : ""));
    const remedies = outcomes.map((each) => (each.outcome === "failed" ? each.failure.remedy : ""));
    const run = failedWith(`2 of 2 views failed. ${messages.join(" | ")}`);
    assert.deepEqual(remediesOf(run.invocation.error?.errorMessage ?? ""), remedies);
    assert.equal(remedyOf(run), remedies[0]);
  });

  it("is nothing where the run said nothing", () => {
    assert.equal(remedyOf(failedWith("Task timed out after 8.00 seconds")), undefined);
  });

  it("is carried out one statement at a time, without what is said beside it", async () => {
    executed.length = 0;
    const remedy = `GRANT SELECT ON "a;b" TO "c--d"; GRANT USAGE ON SCHEMA e TO 'f''; g';  -- or; so`;
    assert.equal((await carryOut(remedy, bed)).done, true);
    assert.deepEqual(executed, [`GRANT SELECT ON "a;b" TO "c--d"`, `GRANT USAGE ON SCHEMA e TO 'f''; g'`]);
    assert.deepEqual(statementsOf("SELECT 1 - 2"), ["SELECT 1 - 2"]);
  });

  for (const remedy of [
    `ALTER ROLE "someone" PASSWORD '…';  -- or correct the password that the environment names`,
    "ALTER ROLE <user> LOGIN;  -- CREATE ROLE where there is none",
    `CREATE MATERIALIZED VIEW "a"."b" AS SELECT …;  -- with the view's own query`,
    "pulumi config set matview-refresh:timeoutSeconds <more> && pulumi up  # or make the query faster",
    "aws rds describe-db-clusters --query 'DBClusters[].Endpoint'  # connect to the writer endpoint",
    "pg_isready -h localhost -p 5432  # check the endpoint",
    "in psql, find the keys that the view's query gives twice: SELECT format('x') \\gexec",
  ])
    it(`that nobody here can carry out is left alone: ${remedy.slice(0, 40)}`, async () => {
      executed.length = 0;
      const { done, how } = await carryOut(remedy, bed);
      assert.equal(done, false);
      assert.notEqual(how, "");
      assert.deepEqual(executed, []);
    });
});
