/** What the migration function and its deployment agree on. No import here: the deployment loads this file alone. */

/** Environment variable with the name of the user the refresh function logs in as. */
export const REFRESH_USER_VARIABLE = "MATVIEW_REFRESH_USER";

/** Folder of the migration files, beside the bundle. */
export const MIGRATIONS_FOLDER = "migrations";
