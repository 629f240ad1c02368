/** The `pgpass` package has no types of its own. */
declare module "pgpass" {
  /** Looks the password up in libpq's password file, for the first line that fits. */
  function pgpass(
    connection: { host: string; port: number; database: string; user: string },
    callback: (password: string | undefined) => void,
  ): void;
  export = pgpass;
}
