/** The compiler with one line of its own text changed: what a rule is good for shows when it is gone. */
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Compiler } from "./maintained";

const ROOT = path.resolve(__dirname, "../..");
const copies: string[] = [];
after(() => copies.splice(0).forEach((copy) => rmSync(copy, { recursive: true })));

/** A place in the compiler's text, and what stands there instead. */
export interface Tampering {
  file: string;
  from: string;
  to: string;
}

/** The compiler, read from a copy. */
export function tamperedCompiler({ file, from, to }: Tampering): Compiler {
  const copy = mkdtempSync(path.join(tmpdir(), "matview-refresh-tampered-"));
  copies.push(copy);
  for (const folder of ["incremental", "handler"])
    cpSync(path.join(ROOT, folder), path.join(copy, folder), { recursive: true });
  symlinkSync(path.join(ROOT, "node_modules"), path.join(copy, "node_modules"));
  const changed = path.join(copy, "incremental", file);
  const text = readFileSync(changed, "utf8");
  assert.equal(text.split(from).length, 2, `${file} has no single place that says: ${from}`);
  writeFileSync(
    changed,
    text.replace(from, () => to),
  );
  // eslint-disable-next-line @typescript-eslint/no-require-imports
  return require(path.join(copy, "incremental/compile.ts")) as Compiler;
}
