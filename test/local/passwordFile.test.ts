import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { writePasswordFile } from "../../local/postgres/database";

describe("the file with the function's password", () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "matview-refresh-password-"));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it("is this user's alone, and swept away by the next run when its own was killed", async () => {
    const program = `require(${JSON.stringify(resolve("local/postgres/database"))})
      .writePasswordFile("of the killed", ${JSON.stringify(join(folder, "in"))})
      .then(({ file }) => { console.log(file); setInterval(() => {}, 1000); });`;
    const killed = spawn(process.execPath, ["-r", "tsx/cjs", "-e", program], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [written] = (await once(killed.stdout, "data")) as [Buffer];
    const left = written.toString().trim();
    const living = await writePasswordFile("of the living", join(folder, "in"));
    assert.equal(await readFile(left, "utf8"), "of the killed", "a living run keeps its file");
    killed.kill("SIGKILL");
    await once(killed, "close");
    const next = await writePasswordFile("of the next", join(folder, "in"));
    await assert.rejects(readFile(left), { code: "ENOENT" });
    assert.equal(await readFile(living.file, "utf8"), "of the living");
    assert.equal((await stat(next.file)).mode & 0o777, 0o600);
    living.remove();
    next.remove();
    assert.deepEqual(await readdir(join(folder, "in")), []);
  });
});
