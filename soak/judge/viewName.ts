/** How logs, metrics and history name a view. */
import type { QualifiedName } from "../../handler/settings";

/** `soak.balance`. */
export const nameOf = ({ schema, name }: QualifiedName): string => `${schema}.${name}`;

/** As the log shows it: without its schema where that is public. */
export const displayed = (view: string): string => view.replace(/^public\./, "");
