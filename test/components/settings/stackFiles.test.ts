import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "yaml";
import { makePlan } from "../../../components/plan/plan";
import { parseSettings, type Settings } from "../../../components/settings/settings";
import { SETTING_SHAPES } from "../../../components/settings/settingsShapes";
import { readStackFile } from "../../../cli/stackConfig";

const repository = join(__dirname, "..", "..", "..");

interface Declaration {
  type: string;
  description: string;
  default: unknown;
}

interface Project {
  name: string;
  config: Record<string, Declaration>;
  template: { config: Record<string, { description: string; default: string }> };
}

const project = parse(readFileSync(join(repository, "Pulumi.yaml"), "utf8")) as Project;

function stackSettings(stack: string): Settings {
  const values = readStackFile(join(repository, `Pulumi.${stack}.yaml`));
  return parseSettings(values, stack === "local" ? "local" : "deploy");
}

describe("Pulumi.yaml", () => {
  it("declares every setting, with type, description and default", () => {
    assert.deepEqual(Object.keys(project.config).sort(), Object.keys(SETTING_SHAPES).sort());
    for (const [key, { type, description, default: value }] of Object.entries(project.config)) {
      assert.ok(["string", "integer", "boolean", "array", "object"].includes(type), key);
      assert.ok(description.length > 10, key);
      assert.notEqual(value, undefined, `${key} would be required of every stack`);
    }
  });

  it("declares the defaults that the program has", () => {
    const declared = Object.fromEntries(
      Object.entries(project.config).map(([key, { default: value }]) => [key, value]),
    );
    const { eventPayload, ...settings } = parseSettings(declared, "local");
    assert.deepEqual(eventPayload, {});
    assert.deepEqual(settings, parseSettings({}, "local"));
  });

  it("asks a newcomer for keys that exist", () => {
    for (const [key, { description }] of Object.entries(project.template.config)) {
      assert.ok(key === "aws:region" || key in project.config, key);
      assert.ok(description);
    }
  });
});

describe("stack files", () => {
  it("dev makes its own network and database and refreshes every five minutes", () => {
    const settings = stackSettings("dev");
    assert.deepEqual([settings.database.kind, settings.network.kind], ["create", "create"]);
    assert.equal(settings.schedule.ruleExpression, "rate(5 minutes)");
  });

  it("prod uses what is there, every 30 seconds, tells people and never blocks readers", () => {
    const settings = stackSettings("prod");
    assert.deepEqual([settings.database.kind, settings.network.kind], ["existing", "existing"]);
    assert.deepEqual(settings.schedule.offsetsSeconds, [0, 30]);
    assert.ok(settings.alarmEmails.length + settings.alarmTopicArns.length > 0);
    assert.ok(settings.views.every((view) => !view.allowBlocking));
  });

  it("the local run refreshes every 15 seconds and logs text", () => {
    const settings = stackSettings("local");
    assert.deepEqual([settings.schedule.intervalSeconds, settings.logFormat], [15, "text"]);
  });

  it("dev and prod stay under their own budgets", () => {
    for (const stack of ["dev", "prod"]) {
      const { cost, monthlyBudgetUsd = 0 } = makePlan(stackSettings(stack), { region: "us-east-1" });
      assert.ok(cost);
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
