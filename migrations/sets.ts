/**
 * Which migration files a database needs: the product's always, the scanner's only for its own view. The scanner's
 * stand here and not with the run on this machine, since they are applied in AWS as well; and since all files share
 * one row of numbers and one record of what is applied.
 */
import path from "node:path";
import type { QualifiedName } from "../handler/settings";

/** History, freshness and the refreshers' role: what a refresh of any view needs. */
export const PRODUCT_MIGRATIONS = path.join(__dirname, "product");

/** The scanner's tables and its view `public.job_progress`. They stand on the product's. */
export const SCANNER_MIGRATIONS = path.join(__dirname, "scanner");

/** Both, in the order they are applied: whatever the scanner's may meet, the product's are there. */
export const ALL_MIGRATIONS = [PRODUCT_MIGRATIONS, SCANNER_MIGRATIONS];

/** The folders whose files a database with these views needs. */
export function migrationsFor(views: QualifiedName[]): string[] {
  const isScanner = views.some(({ schema, name }) => schema === "public" && name === "job_progress");
  return isScanner ? ALL_MIGRATIONS : [PRODUCT_MIGRATIONS];
}
