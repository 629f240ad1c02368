/** The page in a real Chromium, over a server that plants what it shows: what a person would see and do. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import type { Snapshot, StreamEvent } from "../../watch/contract";
import { describeInBrowser, launchBrowser } from "./browser";
import { PageServer } from "./pageServer";
import { plantedSnapshot } from "./planted";

const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const wide = { width: 1_440, height: 900 };
const narrow = { width: 360, height: 740 };

describeInBrowser("the page", (executable) => {
  let browser: Browser;
  let server: PageServer;
  let page: Page;
  /** Errors of scripts and of the content security policy, and requests that leave the server. */
  let complaints: string[];

  before(async () => {
    browser = await launchBrowser(executable);
  });
  after(() => browser.close());
  afterEach(async () => {
    await page.context().close();
    await server.stop();
  });

  async function open(options: BrowserContextOptions = {}, path = ""): Promise<void> {
    complaints = [];
    const context = await browser.newContext({
      viewport: wide,
      locale: "en-GB",
      timezoneId: "UTC",
      ...options,
    });
    page = await context.newPage();
    page.setDefaultTimeout(20_000);
    page.on("pageerror", (error) => complaints.push(error.message));
    page.on("console", (message) => {
      const isOutage = message.text().includes("net::ERR_");
      if (message.type() === "error" && !isOutage) complaints.push(message.text());
    });
    page.on("request", (request) => {
      const isOwn = request.url().startsWith(server.address) || request.url().startsWith("data:");
      if (!isOwn) complaints.push(`asked ${request.url()}`);
    });
    await page.goto(server.address + path);
  }

  const rows = () => page.locator(".first-look .row");
  const connection = () => page.locator(".connection");
  const strip = () => page.getByRole("slider", { name: "Ticks of public.job_progress" });
  const storyOf = (view: string) => page.getByRole("region", { name: view }).locator(".story");
  const isLive = () => connection().getByText("live", { exact: true }).waitFor();

  /** Waits for an expression; Playwright's own way of it is an eval, which the policy of the page forbids. */
  const becomes = (expression: string) =>
    page.evaluate(`new Promise((done) => {
      const look = () => ((${expression}) ? done() : setTimeout(look, 20));
      look();
    })`);

  async function violations(): Promise<string[]> {
    await page.evaluate(axe);
    const found = await page.evaluate<
      {
        id: string;
        nodes: { html: string; failureSummary: string }[];
      }[]
    >("axe.run().then((result) => result.violations)");
    return found.flatMap(({ id, nodes }) =>
      nodes.map((node) => `${id}: ${node.html} ${node.failureSummary}`),
    );
  }

  describe("with planted faults", () => {
    beforeEach(async () => {
      server = await new PageServer().start();
    });

    it("says at first look how old each view is, why, and what to do, the worst on top", async () => {
      await open();
      await rows().first().waitFor();
      const texts = (await rows().allInnerTexts()).map((text) => text.replace(/\s+/g, " "));
      assert.match(
        texts[0] ?? "",
        /^late 5m\d\ds of 4m public\.sales_by_day waits for pid 812.* SELECT pg_terminate_backend\(812\) copy .*98\.06 %/i,
      );
      assert.match(texts[1] ?? "", /^failing .*reporting\.margin_by_shop .*division by zero/i);
      assert.match(texts[2] ?? "", /^unknown age not known reporting\.customer_value/i);
      assert.match(texts[3] ?? "", /^ok .*public\.job_progress incremental, 1,204 changes in 3 ms 99\.98 %/i);
      assert.equal(await page.locator(".counts").innerText(), "1 late, 1 failing, 1 unknown, 2 ok");
      assert.equal(await page.title(), "1 late, 1 failing, 1 unknown, 2 ok · scanner");
      assert.deepEqual(complaints, []);
    });

    it("draws what it has and tells the same in words", async () => {
      await open();
      const view = page.getByRole("region", { name: "public.sales_by_day" });
      await view.locator("canvas").first().waitFor();
      assert.equal(await view.locator("canvas").count(), 3);
      assert.match(await view.locator(".caption").first().innerText(), /2 times over its promise/);
      const maintained = page.getByRole("region", { name: "public.job_progress" });
      assert.match(await maintained.innerText(), /Changes folded/);
      assert.match(await maintained.innerText(), /every 6 h \(fullEvery\)/);
      assert.match(await page.locator(".alarms").innerText(), /replayed from history .* not CloudWatch's/);
      await page.getByText("held by pid 812 (etl, idle in transaction since 11 min)").first().waitFor();
    });

    it("shows the server's clock and lets ages grow between snapshots", async () => {
      const ahead = 3_600_000;
      let isSaid = false;
      server.event = (nowMs, range): StreamEvent => {
        isSaid = true;
        return { type: "snapshot", snapshot: plantedSnapshot(nowMs + ahead, range) };
      };
      await open();
      await isLive();
      assert.ok(isSaid);
      const shown = (await page.locator(".clock").innerText()).replace("server ", "");
      const expected = new Date(Date.now() + ahead).toISOString().slice(11, 16);
      const before = new Date(Date.now() + ahead - 60_000).toISOString().slice(11, 16);
      assert.ok([expected, before].includes(shown.slice(0, 5)), shown);

      // Silent from now on: what still changes, the page does by itself.
      server.beat = () => undefined;
      const age = page.locator(".age b").first();
      const first = await age.innerText();
      await becomes(`document.querySelector(".age b").innerText !== ${JSON.stringify(first)}`);
    });

    it("copies a remedy, with the clipboard and without", async () => {
      await open({ permissions: ["clipboard-read", "clipboard-write"] });
      const copy = page.getByRole("button", { name: "copy the remedy for public.sales_by_day" });
      await copy.click();
      await page.locator(".copy", { hasText: "copied" }).waitFor();
      assert.equal(await page.evaluate("navigator.clipboard.readText()"), "SELECT pg_terminate_backend(812)");
      await page.evaluate("navigator.clipboard.writeText('other')");
      await page.locator(".copy", { hasText: "copied" }).waitFor({ state: "detached" });

      await page.evaluate(
        "Object.defineProperty(navigator.clipboard, 'writeText', { value: () => Promise.reject(new Error('forbidden')) })",
      );
      await copy.press("Enter");
      await page.locator(".copy", { hasText: "copied" }).waitFor();
      assert.equal(await page.evaluate("navigator.clipboard.readText()"), "SELECT pg_terminate_backend(812)");
      await becomes("document.activeElement.className === 'copy'");
    });

    it("keeps the range in the address, also on the way back", async () => {
      await open({}, "?range=1h");
      const chosen = page.locator(".ranges [aria-current=page]");
      const shown = (name: string) =>
        page.getByRole("columnheader", { name: `within promise, ${name}` }).waitFor();
      await shown("1h");
      assert.equal(await chosen.innerText(), "1h");
      await page.getByRole("link", { name: "24h" }).click();
      await shown("24h");
      assert.equal(new URL(page.url()).search, "?range=24h");
      await page.goBack();
      await shown("1h");
      assert.equal(await chosen.innerText(), "1h");
      await page.goForward();
      await shown("24h");
      await page.reload();
      await shown("24h");
    });

    it("takes a range that there is not for the usual one", async () => {
      await open({}, "?range=constructor");
      await page.getByRole("columnheader", { name: "within promise, 6h" }).waitFor();
    });

    it("lets every tick tell its story, by keys and by pointing", async () => {
      await open();
      const value = async () => (await strip().getAttribute("aria-valuetext")) ?? "";
      await strip().focus();
      assert.match(await value(), /refreshed, incremental: [\d,]+ changes/);
      const last = await value();
      await strip().press("ArrowLeft");
      assert.notEqual(await value(), last);
      await strip().press("End");
      await strip().press("Shift+ArrowLeft");
      assert.match(await value(), /refreshed, full: every 6 h \(fullEvery\)/);
      await strip().press("Shift+ArrowLeft");
      assert.match(await value(), /skipped: another refresh held the view's lock/);
      assert.match(await storyOf("public.job_progress").innerText(), /skipped: another refresh/);
      await strip().press("Escape");
      assert.match(await storyOf("public.job_progress").innerText(), /^last: /);

      const late = page.getByRole("slider", { name: "Ticks of public.sales_by_day" });
      await late.scrollIntoViewIfNeeded();
      const box = await late.boundingBox();
      assert.ok(box);
      await page.mouse.move(box.x + box.width - 12, box.y + 10);
      await page.getByRole("region", { name: "public.sales_by_day" }).locator(".cursor").first().waitFor();
      assert.match(await storyOf("public.sales_by_day").innerText(), /failed after 50 s, SQLSTATE 55P03/);
    });

    it("presses its controls by the keyboard and says what they did", async () => {
      await open();
      const answer = page.locator(".answer");
      await page.getByRole("button", { name: "Refresh now" }).press("Enter");
      await answer.getByText("refresh: done").waitFor();
      await page.getByRole("button", { name: "Pause the schedule" }).press("Space");
      await answer.getByText("pause: done").waitFor();
      server.show((snapshot) => ({ controls: snapshot.controls && { ...snapshot.controls, paused: true } }));
      await page.getByRole("button", { name: "Resume the schedule" }).press("Enter");
      await answer.getByText("resume: done").waitFor();
      await page.getByLabel("Load").selectOption("heavy");
      await answer.getByText("load: done").waitFor();
      server.refuse = "An outage is on already.";
      await page.getByRole("button", { name: "Outage of 30 s" }).press("Enter");
      await answer.getByText("An outage is on already.").waitFor();
      assert.deepEqual(
        server.posts.map(({ control, body }) => [control, body]),
        [
          ["refresh", {}],
          ["pause", {}],
          ["resume", {}],
          ["load", { level: "heavy" }],
          ["outage", {}],
        ],
      );
      assert.ok(server.posts.every(({ token }) => token === "planted-token"));
    });

    it("has no controls over a database of somebody else's", async () => {
      server.show(() => ({ controls: null }));
      await open();
      await rows().first().waitFor();
      assert.equal(await page.getByRole("button", { name: "Refresh now" }).count(), 0);
    });

    it("says since when the server is gone, keeps what it knew, and comes back by itself", async () => {
      await open();
      await isLive();
      await page.evaluate("window.isTheSame = true");
      await server.stop();
      await connection()
        .getByText(/no connection to the server of this page since \d\d:\d\d:\d\d/)
        .waitFor();
      await connection()
        .getByText(/as of \d\d:\d\d:\d\d, trying again/)
        .waitFor();
      assert.match(await page.title(), /^not connected/);
      assert.equal(await rows().count(), 5);
      const age = await page.locator(".age b").first().innerText();
      await becomes("document.querySelector('.clock').innerText.includes('in 2 s')");
      assert.equal(await page.locator(".age b").first().innerText(), age);
      await server.start();
      await isLive();
      assert.equal(await page.evaluate("window.isTheSame"), true);
    });

    it("says why the database does not answer, keeps the controls, and comes back by itself", async () => {
      const usual = server.event;
      await open();
      await isLive();
      const reason = "connection refused at 127.0.0.1:40919";
      const { controls } = plantedSnapshot(0, "6h");
      server.event = (nowMs): StreamEvent => ({ type: "disconnected", reason, sinceMs: nowMs, controls });
      await connection().getByText(`: ${reason}`).waitFor();
      assert.equal(await rows().count(), 5);
      await page.getByRole("button", { name: "Refresh now" }).waitFor();
      await page.getByRole("button", { name: "Outage of 30 s" }).press("Enter");
      assert.deepEqual(server.posts, []);
      assert.deepEqual(await violations(), []);
      server.event = usual;
      await isLive();
    });

    it("shows the database's text as text", async () => {
      const evil = '"><script>window.isHit = true</script><img src=x onerror="window.isHit = true">';
      server.show((snapshot) => withEvilText(snapshot, evil));
      await open();
      await rows().first().waitFor();
      await page.locator(".failures").first().waitFor();
      assert.equal(await page.evaluate("window.isHit"), undefined);
      assert.equal(await page.locator("script").count(), 1);
      assert.equal(await page.locator("img").count(), 0);
      assert.ok((await rows().first().innerText()).includes(evil));
      await page.locator(".name-cell a").first().click();
      assert.equal(
        await page.evaluate("document.getElementById(location.hash.slice(1)) !== null"),
        true,
        "the link to a view of any name leads to it",
      );
      assert.deepEqual(complaints, []);
    });

    it("does not move what one reads when news come", async () => {
      await open();
      await page.locator(".timeline canvas").first().waitFor();
      await page.evaluate(`
        window.shifts = 0;
        new PerformanceObserver((list) => list.getEntries().forEach((entry) => (window.shifts += entry.value)))
          .observe({ type: "layout-shift", buffered: false });
        window.news = 0;
        new MutationObserver(() => (window.news += 1))
          .observe(document.querySelector(".clock"), { characterData: true, subtree: true, childList: true });`);
      await becomes("window.news >= 4");
      // A fraction of a pixel, as a font is drawn for the first time, is nothing that one sees.
      assert.ok((await page.evaluate<number>("window.shifts")) < 0.001);
    });

    for (const viewport of [narrow, wide]) {
      it(`fits a window ${viewport.width} px wide`, async () => {
        await open({ viewport });
        await page.locator(".timeline canvas").first().waitFor();
        const [needed, there] = await page.evaluate<[number, number]>(
          "[document.documentElement.scrollWidth, document.documentElement.clientWidth]",
        );
        assert.ok(needed <= there, `${needed} of ${there}`);
      });
    }

    for (const colorScheme of ["light", "dark"] as const) {
      for (const viewport of [narrow, wide]) {
        it(`breaks no rule of accessibility: ${colorScheme}, ${viewport.width} px`, async () => {
          await open({ viewport, colorScheme, reducedMotion: "reduce" });
          await page.locator(".timeline canvas").first().waitFor();
          await page.locator(".alarms summary").click();
          assert.deepEqual(await violations(), []);
          assert.deepEqual(complaints, []);
        });
      }
    }
  });

  it("says what to do where there is no view", async () => {
    server = await new PageServer().start();
    server.show(() => ({
      views: [],
      details: [],
      alarms: [],
      notes: ["matview_refresh_history: no right to read it"],
    }));
    await open();
    await page.getByRole("heading", { name: "No materialized view is here to watch" }).waitFor();
    await page.getByText("no right to read it").waitFor();
    assert.deepEqual(await violations(), []);
    server.show(() => ({}));
    await rows().first().waitFor();
  });
});

function withEvilText(snapshot: Snapshot, evil: string): Partial<Snapshot> {
  const view = `public.${evil}`;
  const [summary] = snapshot.views;
  const [detail] = snapshot.details;
  if (summary === undefined || detail === undefined) throw new Error("planted snapshots have views");
  return {
    server: { ...snapshot.server, database: evil },
    views: [{ ...summary, view, cause: evil, remedy: evil }],
    details: [
      {
        ...detail,
        view,
        ticks: detail.ticks.map((tick) => ({ ...tick, reason: evil })),
        failures: detail.failures.map((failure) => ({
          ...failure,
          reason: evil,
          remedy: evil,
          blockers: [evil],
        })),
        reads: [{ name: evil, kind: "table", asOfMs: null }],
      },
    ],
    alarms: snapshot.alarms.map((alarm) => ({ ...alarm, description: evil })),
    notes: [evil],
  };
}
