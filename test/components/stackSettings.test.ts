/** A stack's values as the program reads them, on mocks. */
import assert from "node:assert/strict";
import * as pulumi from "@pulumi/pulumi";
import { stackSettings } from "../../components/stackSettings";
import { withMocks } from "../engine/mocks";

const values = {
  "aws:region": "us-east-1",
  database: { create: {} },
  network: { create: true },
  refreshRate: "rate(5 minutes)",
};

/** Asserts that the program ends with a list that pulumi prints without a stack trace. */
async function assertRefused(
  project: string,
  config: Record<string, unknown>,
  expected: RegExp[],
  secretKeys: string[] = [],
): Promise<string> {
  let message = "";
  await assert.rejects(withMocks("dev", project, config, stackSettings, { secretKeys }), (error: Error) => {
    assert.ok(pulumi.RunError.isInstance(error));
    message = error.message;
    return true;
  });
  for (const pattern of expected) assert.match(message, pattern);
  return message;
}

describe("a stack's settings", () => {
  it("are the keys of the project, whatever its name", async () => {
    for (const project of ["matview-refresh", "scanner-views"]) {
      const { result } = await withMocks("dev", project, values, stackSettings);
      assert.equal(result.refreshRate, "rate(5 minutes)");
    }
  });

  it("are not those of a project of another name", async () => {
    const foreign = { ...values, "matview-refresh:refreshRate": "rate(1 minute)" };
    const message = await assertRefused("scanner-views", foreign, [
      /matview-refresh:refreshRate = \(not read\)/,
      /edit Pulumi\.dev\.yaml: write scanner-views: for matview-refresh:/,
    ]);
    assert.match(message, /^1 setting is wrong/);
  });

  it("are no secrets, which are not shown in what is told of them", async () => {
    const wrong = { ...values, memoryMb: "a-word-to-be-kept", timeoutSeconds: 1 };
    const message = await assertRefused(
      "matview-refresh",
      wrong,
      [/memoryMb = \(a secret\)/, /timeoutSeconds = "1"/, /pulumi config set --plaintext memoryMb <value>/],
      ["memoryMb"],
    );
    assert.doesNotMatch(message, /a-word-to-be-kept/);
    assert.match(message, /^2 settings are wrong/);
  });

  const secrets: [string, string, unknown, string][] = [
    [
      "a password among the database's settings",
      "database",
      { create: { instanceClass: "db.t4g.small", password: "a-word-to-be-kept" } },
      "pulumi config rm --path database.create.password",
    ],
    [
      "a password beside the ARN of the secret that it belongs into",
      "database",
      {
        secretArn: "arn:aws:secretsmanager:us-east-1:123456789012:secret:a-AbCdEf",
        pass: "a-word-to-be-kept",
      },
      "pulumi config rm --path database.pass",
    ],
    [
      "an object in which nothing looks like one",
      "tags",
      { team: "scanner", owner: "a-word-to-be-kept" },
      'pulumi config set --plaintext --path "tags.<key>" <value>, for the value that is encrypted',
    ],
    [
      "a list",
      "alarmEmails",
      ["a-word-to-be-kept"],
      'pulumi config set --plaintext --path "alarmEmails[<index>]" <value>, for the value that is encrypted',
    ],
    [
      "text that begins as JSON and is none",
      "groupName",
      "{a-word-to-be-kept",
      "pulumi config set --plaintext groupName <value>, or pulumi config rm groupName",
    ],
  ];
  for (const [title, key, value, remedy] of secrets) {
    it(`lose nothing but the secret where one is ${title}`, async () => {
      const message = await assertRefused("matview-refresh", { ...values, [key]: value }, [], [key]);
      assert.match(message, /^1 setting is wrong/);
      assert.equal(/fix: +(.*)$/.exec(message)?.[1], remedy);
      assert.doesNotMatch(message, /a-word-to-be-kept/);
    });
  }
});
