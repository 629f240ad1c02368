/** The page of a run on this machine. */
import type { ClientConfig } from "pg";
import { makeConnector, type Connector } from "../handler/connect";
import type { TlsOptions } from "../handler/tls";
import type { Plan } from "../components/plan/plan";
import type { Controls } from "../watch/controls";
import { servePage, type PageServer } from "../watch/server";
import { done, type Terminal } from "./terminal";

/** What the page shows. */
export interface PageRun {
  plan: Plan;
  stack: string;
  connection: ClientConfig;
  controls: Controls;
  /** A free one unless given. */
  port: number | undefined;
}

/** Serves the page and says where; undefined, and says why, where it cannot: the run goes on without. */
export async function startPage(
  { plan, stack, connection, controls, port }: PageRun,
  terminal: Terminal,
): Promise<PageServer | undefined> {
  try {
    const server = await servePage({
      connector: connectorOf(connection),
      plan: { plan, stack, monthlyUsd: null, isAssumed: false },
      maxAgeSeconds: undefined,
      controls,
      port,
    });
    done(terminal, `Page: ${server.url}`);
    return server;
  } catch (error) {
    terminal.line(`  ! The page is not served: ${error instanceof Error ? error.message : String(error)}`);
    return undefined;
  }
}

function connectorOf({ host = "localhost", port = 5432, database = "", ...rest }: ClientConfig): Connector {
  const { user = "", password = "", ssl } = rest;
  const get = async (): Promise<{ user: string; password: string }> => ({
    user,
    password: typeof password === "function" ? await password() : password,
  });
  const tls = (): TlsOptions => (ssl ?? false) as TlsOptions;
  return makeConnector({ host, port, database }, "password", { renewable: false, get }, tls);
}
