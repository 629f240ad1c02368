/** The views of a function of ours, as its environment names them. */
import * as z from "zod";
import type { QualifiedName } from "../handler/settings";
import { readText, type Properties, type Reading } from "./reading";

/** A refresh group. */
export interface ViewGroup {
  group: string;
  views: QualifiedName[];
}

const viewList = z.array(z.object({ schema: z.string(), name: z.string() }));

/** Reads MATVIEW_GROUP and MATVIEW_VIEWS; absent for a function of another make, and where the list is not one. */
export function viewsOf(props: Properties): Reading<ViewGroup> {
  const group = readText(props, "environment", "variables", "MATVIEW_GROUP");
  const views = readText(props, "environment", "variables", "MATVIEW_VIEWS");
  if (views.state !== "known") return views;
  if (group.state !== "known") return group;
  try {
    const parsed = viewList.parse(JSON.parse(views.value));
    return { ...views, value: { group: group.value, views: parsed } };
  } catch {
    return { state: "absent", path: views.path };
  }
}
