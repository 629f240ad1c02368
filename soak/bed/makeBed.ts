/** Puts the bed together: servers, books, wire, function and writers, and takes it apart again. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "pg";
import type { Plan } from "../../components/plan/plan";
import { createFunctionLogin } from "../../local/postgres/database";
import { Cleanup } from "../../local/stopSignals";
import type { VirtualClock } from "../clock";
import type { Dice } from "../dice";
import type { Bed, Mode } from "./bed";
import { BOOKS } from "../books/books";
import { Claims } from "../books/claims";
import { startCluster } from "./cluster";
import { startFunction, type SoakFunction } from "./functionBed";
import { prepareBooks } from "../books/prepare";
import { startWire } from "./wire";
import { BookWriters } from "../books/writers";

/** A bed with what the loop needs beside what faults may use. */
export interface SoakBed extends Bed {
  fn: SoakFunction;
  /** What the writers know of their own transactions. */
  claims: Claims;
  writers: BookWriters;
  stop(): Promise<void>;
}

/** @param dice for what writers do */
export async function makeBed(plan: Plan, mode: Mode, clock: VirtualClock, dice: Dice): Promise<SoakBed> {
  const cleanup = new Cleanup();
  const stop = async (): Promise<void> => {
    const failures = await cleanup.run();
    if (failures.length > 0) throw new AggregateError(failures, "not stopped cleanly");
  };
  try {
    const folder = await mkdtemp(join(tmpdir(), "matview-refresh-soak-"));
    cleanup.add(() => rm(folder, { recursive: true, force: true }));
    const cluster = await startCluster(join(folder, "servers"));
    cleanup.add(() => cluster.stop());
    const connection = (): ReturnType<typeof cluster.connection> => cluster.connection();
    await prepareBooks(connection(), mode);
    const login = await createFunctionLogin(connection());
    const wire = await startWire({ folder, primaryPort: () => cluster.port() });
    cleanup.add(() => wire.stop());
    const fn = await startFunction({ folder, plan, wire, login, database: "soak" });
    cleanup.add(() => fn.stop());
    const claims = new Claims();
    const writers = new BookWriters({ connection, dice, claims });
    cleanup.add(() => writers.stop());
    const clients: Client[] = [];
    cleanup.add(async () => {
      await Promise.all(clients.map((client) => client.end().catch(() => undefined)));
    });
    const connect = async (): Promise<Client> => {
      const client = new Client({ ...connection(), connectionTimeoutMillis: 5_000 });
      client.on("error", () => undefined);
      await client.connect();
      clients.push(client);
      return client;
    };
    return { mode, folder, clock, cluster, wire, fn, books: BOOKS, claims, writers, connect, stop };
  } catch (error) {
    await cleanup.run();
    throw error;
  }
}
