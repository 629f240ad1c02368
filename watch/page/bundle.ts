/** The page as three files in memory: made when the server starts, so nothing built lies about or grows old. */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { build } from "esbuild";

export interface PageFiles {
  /** Refers to `page.js` and `page.css` beside it, as the page does to `events` and `control/…`. */
  html: string;
  js: string;
  css: string;
}

const folder = __dirname;

/** Bundles script and styles; takes some tens of milliseconds. Throws esbuild's own error where the source is at fault. */
export async function bundlePage(): Promise<PageFiles> {
  const [html, built] = await Promise.all([
    readFile(path.join(folder, "index.html"), "utf8"),
    build({
      entryPoints: { page: path.join(folder, "main.tsx") },
      outdir: folder,
      write: false,
      bundle: true,
      minify: true,
      format: "esm",
      target: "es2022",
      jsx: "automatic",
      jsxImportSource: "preact",
      legalComments: "none",
      logLevel: "silent",
    }),
  ]);
  const fileOf = (extension: string) =>
    built.outputFiles.find((file) => file.path.endsWith(extension))?.text ?? "";
  return { html, js: fileOf(".js"), css: fileOf(".css") };
}
