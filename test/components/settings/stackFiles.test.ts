import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "yaml";
import { makePlan } from "../../../components/plan/plan";
import { estimateMonthlyCost } from "../../../components/cost/cost";
import { recordedPrices } from "../../../components/cost/prices";
import { usageOf } from "../../../components/plan/usagePlan";
import { parseSettings } from "../../../components/settings/parseSettings";
import { SETTINGS, type Settings } from "../../../components/settings/schema";
import { readStackFile } from "../../../cli/stackConfig";

const repository = join(__dirname, "..", "..", "..");

function stackSettings(stack: string): Settings {
  const values = readStackFile(join(repository, `Pulumi.${stack}.yaml`));
  return parseSettings(values, stack === "local" ? "local" : "deploy");
}

describe("the keys of settings", () => {
  const read = (...path: string[]): string => readFileSync(join(repository, ...path), "utf8");

  it("are the component's arguments, beside the region, which is the provider's", () => {
    const schema = JSON.parse(read("components", "schema.json")) as {
      resources: Record<string, { inputProperties: object }>;
    };
    const [component] = Object.values(schema.resources);
    const args = Object.keys(component?.inputProperties ?? {}).filter((key) => key !== "region");
    assert.deepEqual(args.sort(), Object.keys(SETTINGS).sort());
  });

  it("are all in the reference", () => {
    const text = read("docs", "configure.md");
    for (const key of Object.keys(SETTINGS)) assert.ok(text.includes(`\`${key}\``), key);
  });

  it("are what a newcomer is asked for", () => {
    const { template } = parse(read("Pulumi.yaml")) as { template: { config: Record<string, unknown> } };
    for (const key of Object.keys(template.config)) assert.ok(key === "aws:region" || key in SETTINGS, key);
  });
});

describe("stack files", () => {
  it("dev makes its own network and database and refreshes every five minutes", () => {
    const settings = stackSettings("dev");
    assert.ok(settings.database.create !== undefined && settings.network.create);
    assert.equal(settings.refreshRate, "rate(5 minutes)");
  });

  it("prod uses what is there, every 30 seconds, tells people and never blocks readers", () => {
    const settings = stackSettings("prod");
    assert.ok(settings.database.host !== undefined && settings.network.vpcId !== undefined);
    assert.equal(settings.refreshRate, "rate(30 seconds)");
    assert.ok(settings.alarmEmails.length + settings.alarmTopicArns.length > 0);
    assert.ok(settings.views.every((view) => !view.allowBlocking));
  });

  it("the local run refreshes every 15 seconds and logs text", () => {
    const settings = stackSettings("local");
    assert.deepEqual([settings.refreshRate, settings.logFormat], ["rate(15 seconds)", "text"]);
  });

  it("dev and prod stay under their own budgets", () => {
    for (const stack of ["dev", "prod"]) {
      const settings = stackSettings(stack);
      const cost = estimateMonthlyCost(usageOf(makePlan(settings), "us-east-1"), recordedPrices);
      const { monthlyBudgetUsd = 0 } = settings;
      assert.ok(cost.totalUsd <= monthlyBudgetUsd, `${stack}: ${cost.totalUsd} USD`);
    }
  });

  describe("reading one", () => {
    let folder: string;
    before(() => {
      folder = mkdtempSync(join(tmpdir(), "stack-file-"));
    });
    after(() => rmSync(folder, { recursive: true }));

    function read(text: string): Record<string, unknown> {
      const path = join(folder, "Pulumi.test.yaml");
      writeFileSync(path, text);
      return readStackFile(path);
    }

    it("takes its own keys alone", () => {
      const text =
        "encryptionsalt: x\nconfig:\n  aws:region: eu-west-1\n  matview-refresh:timeoutSeconds: 45\n";
      assert.deepEqual(read(text), { timeoutSeconds: 45 });
    });

    it("takes those of a project of another name too, which Pulumi.yaml beside the file tells", () => {
      const project = join(folder, "Pulumi.yaml");
      const text = "config:\n  scanner-views:memoryMb: 512\n  other:memoryMb: 1\n";
      assert.deepEqual(read(text), {});
      writeFileSync(project, "name: scanner-views\n");
      try {
        assert.deepEqual(read(text), { memoryMb: 512 });
      } finally {
        rmSync(project);
      }
    });

    it("is content with an empty file", () => {
      assert.deepEqual(read(""), {});
      assert.deepEqual(read("config:\n"), {});
    });

    it("says what is wrong with others", () => {
      assert.throws(() => read("config: [1]"), /not a Pulumi stack file/);
      const encrypted = "config:\n  matview-refresh:database:\n    host:\n      secure: AAAB\n";
      assert.throws(() => read(encrypted), /database is encrypted/);
      assert.throws(() => readStackFile(join(folder, "absent.yaml")), /ENOENT/);
    });
  });
});
