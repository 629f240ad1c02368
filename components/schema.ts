/**
 * The schema that other languages see of the component, as Pulumi's analyzer reads it from args.ts and the class.
 * Run as a program it writes schema.json anew; a test keeps the two equal.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ComponentProvider } from "@pulumi/pulumi/provider/experimental/provider";
import { MaterializedViewRefresh } from "./materializedViewRefresh";

/** Where the schema lies in the repository. */
export const SCHEMA_FILE = join(__dirname, "schema.json");

/** What is in package.json of use here. */
interface Manifest {
  name: string;
}

/** The schema as text: JSON, indented, with a line end. @throws Error where an argument has a type that no other language knows. */
export async function componentSchema(): Promise<string> {
  const { name } = JSON.parse(readFileSync(join(__dirname, "package.json"), "utf8")) as Manifest;
  const provider = new ComponentProvider({
    name,
    dirname: __dirname,
    components: [MaterializedViewRefresh],
  });
  const schema: unknown = JSON.parse(await provider.getSchema());
  return `${JSON.stringify(schema, undefined, 2)}\n`;
}

if (require.main === module) {
  void componentSchema().then((text) => writeFileSync(SCHEMA_FILE, text));
}
