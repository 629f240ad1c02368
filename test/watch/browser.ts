/** A Chromium of this machine, for the tests of the page and its pictures. */
import { accessSync, constants } from "node:fs";
import { chromium, type Browser } from "playwright-core";

const candidates = [
  process.env["CHROMIUM"],
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/** Undefined where there is none; `CHROMIUM` names one elsewhere. */
export function findBrowser(): string | undefined {
  return candidates.find((candidate) => {
    if (!candidate) return false;
    try {
      accessSync(candidate, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Starts it with a folder of its own for its user data, which goes with it; it calls no one. */
export function launchBrowser(executablePath: string): Promise<Browser> {
  return chromium.launch({
    executablePath,
    headless: true,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--disable-quic",
    ],
  });
}

/** Tests in a real browser; without one they are reported as pending, and the title says why. */
export function describeInBrowser(title: string, tests: (executable: string) => void): void {
  const executable = findBrowser();
  if (executable === undefined) {
    describe.skip(`${title} (pending: no Chromium is here, see CHROMIUM)`, () => tests(""));
    return;
  }
  describe(title, function () {
    this.timeout(60_000);
    tests(executable);
  });
}
