/** Views that read views: the order is found, a source's failure is told, and no view claims to be fresher than it is. */
import { orderViews, readDependencies, sourcesByReader } from "../../handler/order";
import { quotedName } from "../../handler/names";
import type { QualifiedName } from "../../handler/settings";
import { withClient } from "../../local/postgres/database";
import type { Bed } from "../bed";
import { figuresOf } from "../statistics";
import * as stand from "./stand";

/** What the order of so many levels costs, and what becomes of the others where the first view fails. */
export async function measureLevels(
  bed: Bed,
  { levels, width, rows, rounds }: { levels: number; width: number; rows: number; rounds: number },
  print: stand.Print,
): Promise<void> {
  await stand.makeSource(bed, rows);
  const views = await makeLevels(bed, levels, width);
  // The last level first: the settings are in the worst order.
  const reversed = [...views].reverse().map((view) => ({ ...view, allowBlocking: true }));
  const [surveyMs, orderMs, dependencies] = await withClient(bed.connection, async (client) => {
    const startedMs = performance.now();
    const survey = await readDependencies(async (sql) => (await client.query<object>(sql)).rows, reversed);
    const surveyedMs = performance.now();
    const ordered = orderViews(reversed, sourcesByReader(survey.dependencies));
    const endedMs = performance.now();
    if (ordered[0]?.name !== views[width - 1]?.name) throw new Error("a view came before what it reads");
    return [surveyedMs - startedMs, endedMs - surveyedMs, survey.dependencies.length];
  });
  const group = stand.groupOf(bed, "levels", reversed);
  try {
    const [bare, whole]: [number[], number[]] = [[], []];
    for (let round = 0; round < rounds; round += 1) {
      bare.push(await stand.bareRefreshMs(bed, views));
      whole.push((await group.refresh()).invocation.durationMs);
    }
    const [bareMs, wholeMs] = [figuresOf(bare).medianMs, figuresOf(whole).medianMs];
    const isHonest = await everyAsOfFollows(bed, levels, width);
    const failing = await failFirst(bed, group);
    stand.printFigures(print, `${levels} levels of ${width} views, each reading all of the level before`, [
      ["dependencies, direct and indirect", stand.counted(dependencies)],
      ["survey of them", stand.milliseconds(surveyMs)],
      ["order", stand.milliseconds(orderMs)],
      ["bare statements", stand.milliseconds(bareMs, 0)],
      ["a run of the function", `${stand.milliseconds(wholeMs, 0)}, ${(wholeMs / bareMs).toFixed(2)}x`],
      ["as_of of every level is that of the oldest below it", isHonest ? "yes" : "no"],
      ...failing,
    ]);
  } finally {
    await group.stop();
  }
}

async function makeLevels(bed: Bed, levels: number, width: number): Promise<QualifiedName[]> {
  return withClient(bed.connection, async (client) => {
    const all: QualifiedName[] = [];
    let below = [stand.SOURCE];
    for (let level = 1; level <= levels; level += 1) {
      const views = stand.viewNames(width, `level_${String(level).padStart(2, "0")}`);
      const rows = below.map((name) => `SELECT id, value FROM ${name}`).join(" UNION ALL ");
      for (const view of views)
        await stand.makeView(
          client,
          view,
          `SELECT id, min(value) AS value FROM (${rows}) AS below GROUP BY id`,
        );
      below = views.map(quotedName);
      all.push(...views);
    }
    return all;
  });
}

/** Whether no view of a level claims a later time than the oldest of the level below. */
async function everyAsOfFollows(bed: Bed, levels: number, width: number): Promise<boolean> {
  return withClient(bed.connection, async (client) => {
    const { rows } = await client.query<{ oldest: Date; newest: Date }>(
      `SELECT min(as_of) AS oldest, max(as_of) AS newest
         FROM (SELECT * FROM public.matview_refresh_history ORDER BY id DESC LIMIT $1) AS last
        GROUP BY left(view_name, 8) ORDER BY left(view_name, 8)`,
      [levels * width],
    );
    return (
      rows.length === levels &&
      rows.every(({ newest }, index) => newest <= (rows[index - 1]?.oldest ?? newest))
    );
  });
}

async function failFirst(bed: Bed, group: stand.Group): Promise<[string, string][]> {
  await stand.forget(bed);
  await withClient(bed.connection, (client) =>
    client.query("REVOKE MAINTAIN ON load.level_01_001 FROM matview_refresher"),
  );
  const { invocation, lines } = await group.run();
  const skipped = lines.filter((line) => line.includes('"Refresh skipped"'));
  const named = skipped.filter((line) =>
    line.includes("load.level_01_001, which it reads, was not refreshed"),
  );
  return [
    [
      "the first view fails",
      `${stand.milliseconds(invocation.durationMs, 0)}, ${JSON.stringify(await stand.outcomes(bed))}`,
    ],
    ["skipped views whose reason names it", `${named.length} of ${skipped.length}`],
    ["the run's error", `${Buffer.byteLength(invocation.error?.errorMessage ?? "")} bytes`],
  ];
}
