/** What the program refuses, on the real engine: before any resource, all at once, without a stack trace. */
import assert from "node:assert/strict";
import { describeEngine, repositoryProgram } from "./engine";

const stackTrace = /^\s+at .+:\d+/m;

describeEngine("wrong settings", () => {
  it("end the preview with the full list, and nothing is made", async () => {
    const program = await repositoryProgram();
    const stack = await program.openStack({
      stack: "refused",
      valuesFrom: "prod",
      config: {
        refreshRate: "rate(2 minute)",
        memoryMB: 256,
        timeoutSeconds: 901,
        logRetentionDays: 15,
        alarmEmails: ["nobody"],
        alarms: { errors: { threshold: 5, periodSeconds: 60, evaluationPeriods: 2, datapointsToAlarm: 3 } },
        database: { host: "db.example.com", name: "scanner", user: "refresher" },
        network: { vpcId: "vpc-0a1b2c3d4e5f60718", subnetIds: ["subnet-0a1b2c3d4e5f60718"] },
      },
    });
    await stack.setConfig("runbookUrl", "https://user:a-word-to-be-kept@example.com", { secret: true });
    const preview = await stack.preview();
    assert.notEqual(preview.exitCode, 0);
    const text = preview.stdout + preview.stderr;
    const keys = text.split("\n").flatMap((line) => /^\s+(\S+) = /.exec(line)?.[1] ?? []);
    assert.deepEqual([...new Set(keys)].sort(), [
      "alarmEmails[0]",
      "alarms.errors.datapointsToAlarm",
      "database.resourceId",
      "logRetentionDays",
      "memoryMB",
      "network.databaseSecurityGroupId",
      "network.subnetIds",
      "refreshRate",
      "runbookUrl",
      "timeoutSeconds",
    ]);
    assert.match(text, /10 settings need mending/);
    assert.match(text, /pulumi config set refreshRate "rate\(2 minutes\)"/);
    assert.match(text, /perhaps memoryMb is meant/);
    assert.doesNotMatch(text, stackTrace);
    assert.doesNotMatch(text, /unhandled/i);
    assert.doesNotMatch(text, /a-word-to-be-kept/);
    const types = preview.steps.map(({ type }) => type);
    assert.deepEqual([...new Set(types)], ["pulumi:pulumi:Stack"]);
  });
});
