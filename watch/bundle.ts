/** The page's script and style, made in memory when the server starts. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";

export interface PageBundle {
  script: string;
  style: string;
}

const ENTRY = join(__dirname, "page", "main.tsx");

/** Without the page's sources, as where a test has only the server. */
const PLACEHOLDER: PageBundle = {
  script: `document.getElementById("page").textContent = "The page is not here; see /snapshot.";`,
  style: "",
};

/** @throws esbuild's BuildFailure when the sources do not build. */
export async function bundlePage(entry = ENTRY): Promise<PageBundle> {
  if (!existsSync(entry)) return PLACEHOLDER;
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    write: false,
    outdir: "page",
    minify: true,
    format: "esm",
    target: "es2022",
    jsx: "automatic",
    jsxImportSource: "preact",
    legalComments: "none",
    logLevel: "silent",
  });
  const textOf = (ending: string): string =>
    outputFiles.find(({ path }) => path.endsWith(ending))?.text ?? "";
  return { script: textOf(".js"), style: textOf(".css") };
}
