/** Several groups in one database, their ticks at the same moment. */
import { setTimeout as sleep } from "node:timers/promises";
import { LOCK_NAMESPACE } from "../../handler/blockers";
import { withClient } from "../../local/postgres/database";
import type { Bed } from "../bed";
import * as stand from "./stand";

/** All groups at once against one after the other; then two that share a view. */
export async function measureGroups(
  bed: Bed,
  { groups, views, rows }: { groups: number; views: number; rows: number },
  print: stand.Print,
): Promise<void> {
  await stand.makeSource(bed, rows);
  const perGroup = Math.max(1, Math.floor(views / groups));
  const names = Array.from({ length: groups }, (_, group) => stand.viewNames(perGroup, `group_${group + 1}`));
  await withClient(bed.connection, async (client) => {
    for (const view of names.flat())
      await stand.makeView(client, view, `SELECT id, value FROM ${stand.SOURCE}`);
  });
  // The first view of the first group is in the second one too.
  const shared = names[0]?.[0];
  const listed = names.map((own, index) => (index === 1 && shared !== undefined ? [...own, shared] : own));
  const functions = listed.map((own, index) => stand.groupOf(bed, `group ${index + 1}`, own));
  try {
    for (const each of functions) await each.refresh();
    const startedMs = performance.now();
    for (const each of functions) await each.refresh();
    const inTurnMs = performance.now() - startedMs;
    await stand.forget(bed);
    const together = await watched(bed, () => Promise.all(functions.map((each) => each.run())));
    const failed = together.result.filter(({ invocation }) => invocation.outcome !== "succeeded");
    const slowest = Math.max(...together.result.map(({ invocation }) => invocation.durationMs));
    stand.printFigures(print, `${groups} groups of ${perGroup} views, one view in two of them`, [
      ["one after the other", stand.milliseconds(inTurnMs, 0)],
      ["all at once", `${stand.milliseconds(together.ms, 0)}, ${(together.ms / inTurnMs).toFixed(2)}x`],
      ["the slowest of them", stand.milliseconds(slowest, 0)],
      ["runs that failed", String(failed.length)],
      ["outcomes", JSON.stringify(await stand.outcomes(bed))],
      ["sessions at once, at the most", String(together.sessions)],
      ["the view in two groups, held by another", await heldBySecond(bed, functions, shared?.name ?? "")],
    ]);
  } finally {
    await Promise.all(functions.map((each) => each.stop()));
  }
}

async function watched<Result>(
  bed: Bed,
  work: () => Promise<Result>,
): Promise<{ result: Result; ms: number; sessions: number }> {
  return withClient(bed.connection, async (client) => {
    const state = { sessions: 0, isOver: false };
    const watching = (async () => {
      while (!state.isOver) {
        const { rows } = await client.query<{ count: number }>(
          "SELECT count(*)::int AS count FROM pg_stat_activity WHERE application_name = 'matview-refresh'",
        );
        state.sessions = Math.max(state.sessions, rows[0]?.count ?? 0);
        await sleep(10);
      }
    })();
    const startedMs = performance.now();
    try {
      const result = await work();
      return { result, ms: performance.now() - startedMs, sessions: state.sessions };
    } finally {
      state.isOver = true;
      await watching;
    }
  });
}

/** While another refresh of the shared view runs, both groups leave it to that and refresh their others. */
async function heldBySecond(bed: Bed, functions: stand.Group[], name: string): Promise<string> {
  await stand.forget(bed);
  await withClient(bed.connection, async (client) => {
    await client.query("BEGIN");
    await client.query("SELECT pg_advisory_xact_lock(($1::bigint << 32) | to_regclass($2)::oid::bigint)", [
      LOCK_NAMESPACE,
      `load.${name}`,
    ]);
    await Promise.all(functions.slice(0, 2).map((each) => each.run()));
    await client.query("ROLLBACK");
  });
  return JSON.stringify(await stand.outcomes(bed));
}
