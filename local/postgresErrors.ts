/** The ways in which starting the local PostgreSQL fails; each message says what to do next. */

/** The server could not be started. The message ends with the last lines of the server's log, if it wrote any. */
export class PostgresStartError extends Error {
  override readonly name = "PostgresStartError";
}

/** Another process runs a server on the same folder and is still alive. */
export class AlreadyRunningError extends Error {
  override readonly name = "AlreadyRunningError";

  constructor(
    /** Process id of the server. */
    readonly pid: number,
    /** Port the server listens on, at 127.0.0.1. */
    readonly port: number,
    folder: string,
  ) {
    super(
      `PostgreSQL is already running on ${folder} (process ${pid}, port ${port}), started by another run ` +
        `that is still alive. Stop that run first (Ctrl-C in its terminal), or use another folder.`,
    );
  }
}
