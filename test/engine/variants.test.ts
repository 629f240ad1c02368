/** The program on the real engine with what a company brings along: role, keys, secrets. */
import assert from "node:assert/strict";
import { describeEngine, repositoryProgram, type EngineProgram } from "./engine";
import type { EngineRun, EngineStep } from "./engineRun";

const kmsKeyArn = "arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d-0000-4000-8000-000000000000";
const secretArn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:scanner-AbCdEf";
const network = {
  vpcId: "vpc-0a1b2c3d4e5f60718",
  subnetIds: ["subnet-0a1b2c3d4e5f60718", "subnet-0b2c3d4e5f6071829"],
  databaseSecurityGroupId: "sg-0a1b2c3d4e5f60718",
};

function stepsOf(run: EngineRun, type: string): EngineStep[] {
  return run.steps.filter((step) => step.type.endsWith(`:${type}`));
}

describeEngine("a stack that uses", () => {
  let program: EngineProgram;

  before(async () => {
    program = await repositoryProgram();
  });

  async function preview(config: Record<string, unknown>): Promise<EngineRun> {
    const stack = await program.openStack({ stack: "variant", valuesFrom: "prod", config });
    const run = await stack.preview();
    assert.equal(run.exitCode, 0, `${run.stdout}\n${run.stderr}`);
    return run;
  }

  it("a given role, and has none of its own", async () => {
    const roleArn = "arn:aws:iam::123456789012:role/refresher";
    const run = await preview({ roleArn });
    assert.deepEqual(
      run.steps.filter(({ type }) => type.startsWith("aws:iam/")),
      [],
    );
    assert.equal(stepsOf(run, "Function")[0]?.inputs.role, roleArn);
    assert.deepEqual(run.summary, { create: 22 });
  });

  it("a secret behind an endpoint, and a key of its own", async () => {
    const run = await preview({
      kmsKeyArn,
      database: { host: "db.example.com", name: "scanner", auth: "secret", secretArn },
      network: { ...network, secretsEndpoint: true },
    });
    assert.equal(stepsOf(run, "VpcEndpoint").length, 1);
    const [fn] = stepsOf(run, "Function");
    const { variables } = fn?.inputs.environment as { variables: Record<string, string> };
    assert.equal(variables.MATVIEW_DATABASE_AUTH, "secret");
    assert.equal(variables.MATVIEW_DATABASE_SECRET_ARN, secretArn);
    assert.equal(variables.MATVIEW_DATABASE_USER, undefined);
    const keys = [
      fn?.inputs.kmsKeyArn,
      stepsOf(run, "LogGroup")[0]?.inputs.kmsKeyId,
      stepsOf(run, "Queue")[0]?.inputs.kmsMasterKeyId,
      stepsOf(run, "Topic")[0]?.inputs.kmsMasterKeyId,
    ];
    assert.deepEqual(keys, [kmsKeyArn, kmsKeyArn, kmsKeyArn, kmsKeyArn]);
    // The prod stack's 25, and: endpoint, its group, the way in and the way out to it.
    assert.deepEqual(run.summary, { create: 29 });
  });
});
