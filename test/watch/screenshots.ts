/**
 * Pictures of the page as it stands at an address: `npm run screenshots -- http://127.0.0.1:4321/ [folder]`. Writes
 * watch-light.png and watch-dark.png; with `--all` also of a narrow and of a wide window, whole.
 */
import { mkdir } from "node:fs/promises";
import path from "node:path";
import { findBrowser, launchBrowser } from "./browser";

async function main(address: string | undefined, folder: string, isAll: boolean): Promise<void> {
  if (address === undefined)
    throw new Error("Say of which page: npm run screenshots -- http://127.0.0.1:4321/");
  const executable = findBrowser();
  if (executable === undefined)
    throw new Error("No Chromium is here: apt-get install chromium, or name one in CHROMIUM.");
  await mkdir(folder, { recursive: true });
  const browser = await launchBrowser(executable);
  try {
    for (const colorScheme of ["light", "dark"] as const) {
      const sizes = {
        "": { width: 1280, height: 860 },
        ...(isAll && { "-360": { width: 360, height: 3_000 }, "-1440": { width: 1_440, height: 2_600 } }),
      };
      for (const [suffix, viewport] of Object.entries(sizes)) {
        const page = await browser.newPage({
          viewport,
          colorScheme,
          deviceScaleFactor: suffix === "" ? 2 : 1,
        });
        await page.goto(address);
        await page.locator(".first-look .row canvas, .timeline canvas").first().waitFor();
        const file = path.join(folder, `watch-${colorScheme}${suffix}.png`);
        await page.screenshot({ path: file });
        console.log(file);
        await page.close();
      }
    }
  } finally {
    await browser.close();
  }
}

const words = process.argv.slice(2).filter((word) => !word.startsWith("--"));
main(words[0], words[1] ?? "docs/images", process.argv.includes("--all")).catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
