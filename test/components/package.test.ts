/** The component package: what a program in another language installs and sees. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { chmodSync, cpSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { build } from "esbuild";
import { componentSchema, SCHEMA_FILE } from "../../components/schema";

const root = path.join(__dirname, "..", "..");

interface Manifest {
  name: string;
  version: string;
  dependencies: Record<string, string>;
  devDependencies?: Record<string, string>;
}

interface SchemaObject {
  description?: string;
  properties: Record<string, { description?: string }>;
}

interface Schema {
  name: string;
  version: string;
  resources: Record<string, SchemaObject & { inputProperties: SchemaObject["properties"] }>;
  types: Record<string, SchemaObject>;
}

function manifest(...folders: string[]): Manifest {
  return JSON.parse(readFileSync(path.join(root, ...folders, "package.json"), "utf8")) as Manifest;
}

/** Names of the packages that a module and the project's files below it import at run time. */
async function importedPackages(entry: string): Promise<string[]> {
  const { metafile } = await build({
    entryPoints: [path.join(root, entry)],
    absWorkingDir: root,
    bundle: true,
    packages: "external",
    platform: "node",
    write: false,
    metafile: true,
    logLevel: "silent",
  });
  const imported = Object.values(metafile.outputs).flatMap((output) => output.imports);
  const specifiers = imported.filter(({ external, path: name }) => external && !name.startsWith("node:"));
  return specifiers.map(({ path: name }) => /^(@[^/]+\/)?[^/]+/.exec(name)?.[0] ?? name);
}

/** Whether every user of this machine may go into a folder. */
function isOpenToAll(folder: string): boolean {
  const above = path.dirname(folder);
  return (statSync(folder).mode & 0o001) !== 0 && (above === folder || isOpenToAll(above));
}

describe("the component package", () => {
  const own = manifest("components");
  const project = manifest();

  it("shows other languages the arguments as they are: schema.json is what `npm run schema` would write", async function () {
    this.timeout(60_000);
    assert.equal(readFileSync(SCHEMA_FILE, "utf8"), await componentSchema());
  });

  it("describes every input, output and property", () => {
    const schema = JSON.parse(readFileSync(SCHEMA_FILE, "utf8")) as Schema;
    assert.deepEqual(Object.keys(schema.resources), ["matview-refresh:index:MaterializedViewRefresh"]);
    const described = Object.entries({ ...schema.resources, ...schema.types }).flatMap(([type, object]) => [
      ...Object.entries(object.properties).map(([name, property]) => [`${type}.${name}`, property] as const),
      ...Object.entries(schema.resources[type]?.inputProperties ?? {}).map(
        ([name, property]) => [`${type}(${name})`, property] as const,
      ),
    ]);
    assert.ok(described.length > 60, `only ${described.length} properties`);
    assert.deepEqual(
      described.filter(([, { description }]) => !description).map(([name]) => name),
      [],
    );
    assert.equal(typeof Object.values(schema.resources)[0]?.description, "string");
  });

  it("has the project's name and version, and its versions of what it needs", () => {
    assert.equal(own.name, project.name);
    assert.equal(own.version, project.version);
    const ofProject = { ...project.dependencies, ...project.devDependencies };
    for (const [name, version] of Object.entries(own.dependencies)) {
      assert.equal(version, ofProject[name], name);
    }
    const lockFile = readFileSync(path.join(root, "components", "package-lock.json"), "utf8");
    const { packages } = JSON.parse(lockFile) as { packages: Record<string, Manifest> };
    assert.deepEqual(packages[""]?.dependencies, own.dependencies);
  });

  it("installs everything that the component and the bundled handler import, and nothing else", async () => {
    const imported = await Promise.all(["components/index.ts", "handler/index.ts"].map(importedPackages));
    // The first compiles the package when it is loaded; the SDK's analyzer reads the types with the others.
    const ofLoading = ["tsx", "typescript", "@types/node"];
    assert.deepEqual(
      Object.keys(own.dependencies).sort(),
      [...new Set([...imported.flat(), ...ofLoading])].sort(),
    );
  });

  it("loads no library through the handler's files, which lie outside the folder that is installed", async () => {
    const { metafile } = await build({
      entryPoints: [path.join(root, "components/index.ts")],
      absWorkingDir: root,
      bundle: true,
      packages: "external",
      platform: "node",
      write: false,
      metafile: true,
      logLevel: "silent",
    });
    const outside = Object.entries(metafile.inputs).filter(([file]) => !file.startsWith("components/"));
    assert.ok(outside.length > 0);
    const libraries = outside.flatMap(([file, { imports }]) =>
      imports
        .filter((imported) => imported.external && !imported.path.startsWith("node:"))
        .map((imported) => `${file}: ${imported.path}`),
    );
    assert.deepEqual(libraries, []);
  });

  describe("installed by itself, where it may not write", () => {
    let folder: string;
    let made: string | undefined;

    before(() => {
      folder = mkdtempSync(path.join(tmpdir(), "matview-refresh-package-"));
      for (const part of ["components", "handler"]) {
        const source = path.join(root, part);
        const filter = (file: string) => !file.includes(`${path.sep}node_modules`);
        cpSync(source, path.join(folder, part), { recursive: true, filter });
      }
      // Only the package's own folder has libraries, as after `pulumi package add`.
      symlinkSync(path.join(root, "node_modules"), path.join(folder, "components", "node_modules"));
      chmodSync(folder, 0o555);
    });

    after(() => {
      chmodSync(folder, 0o755);
      rmSync(folder, { recursive: true });
      if (made !== undefined) rmSync(path.dirname(made), { recursive: true });
    });

    it("bundles the handler all the same, elsewhere", async function () {
      this.timeout(60_000);
      // Root may write anywhere, so as root somebody else has to try, who must be able to read the sources.
      const isRoot = process.getuid?.() === 0;
      if (isRoot && !isOpenToAll(root)) this.skip();
      const program =
        `require(${JSON.stringify(path.join(folder, "components", "bundle"))})` +
        `.bundleHandler("handler/index.ts", "dist/refresh").then(({ file }) => console.log(file))`;
      const tsx = path.join(root, "node_modules", "tsx", "dist", "cjs", "index.cjs");
      const options = {
        cwd: "/",
        env: { PATH: process.env.PATH, TSX_DISABLE_CACHE: "1" },
        ...(isRoot ? { uid: 65_534, gid: 65_534 } : {}),
      };
      const { stdout } = await promisify(execFile)(process.execPath, ["-r", tsx, "-e", program], options);
      made = stdout.trim();
      assert.ok(path.isAbsolute(made) && !made.startsWith(folder), made);
      const { handler } = (await import(made)) as { handler: unknown };
      assert.equal(typeof handler, "function");
    });
  });
});
