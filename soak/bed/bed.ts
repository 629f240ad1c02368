/** What a soak runs on, as faults and judges see it: servers, the wire, the function, the books and their writers. */
import type { Client, ClientConfig } from "pg";
import type { QualifiedName } from "../../handler/settings";
import type { Invocation } from "../../local/lambda/lambdaProcess";
import type { Datapoint } from "../../local/metrics";
import type { VirtualClock } from "../clock";

/** `full`: materialized views that are refreshed. `incremental`: the same views, maintained. */
export type Mode = "full" | "incremental";

/** The PostgreSQL server that takes writes, and its synchronous standby. */
export interface Cluster {
  /** As the superuser, to the server that takes writes now, in the soak's database. */
  connection(): ClientConfig;
  /** Of the standby, which takes no writes: what a reader endpoint leads to. */
  standbyPort(): number;
  /** A statement as the superuser, on a connection of its own. Rejects while the server cannot be reached. */
  execute(sql: string): Promise<void>;
  /** `kill`: SIGKILL of the postmaster; `immediate`: SIGQUIT; `fast`: SIGINT. Resolves when it is gone. */
  stopPrimary(how: "kill" | "immediate" | "fast"): Promise<void>;
  /** Starts a primary that was stopped, on the same port; resolves when it takes connections. */
  startPrimary(): Promise<void>;
  /** Ends the primary, promotes the standby and makes a new standby of it, on which the old address leads on. */
  failOver(): Promise<void>;
  /** Ends the standby: every COMMIT waits. */
  loseStandby(): Promise<void>;
  /** Starts it again; resolves when COMMIT waits no more. */
  bringStandbyBack(): Promise<void>;
  /** ALTER SYSTEM and reload; undefined: back to the default. */
  setting(name: string, value: string | undefined): Promise<void>;
  /** Lets the servers' clocks go so far ahead (or behind); missing where no C compiler is there to make the library for it. */
  stepClock?(aheadSeconds: number): Promise<void>;
}

/** What a connection of the function is doing, told by the message that it sends. */
export type Phase = "connect" | "tls" | "authenticate" | "begin" | "refresh" | "history" | "commit" | "other";

/** One connection of the function. */
export interface WireConnection {
  /** Ends it on both sides at once. */
  cut(): void;
  /** Ends it on the function's side; the server is told nothing, as when a network is gone. */
  abandon(): void;
  /** Carries nothing any more, in either direction, and closes nothing, until {@link Wire.thaw} cuts it. */
  freeze(): void;
  /** Every message takes so long from now on. */
  slow(ms: number): void;
}

/** What is to happen when a connection comes to a phase. */
export interface Ambush {
  phase: Phase;
  /** `before`: the message has arrived and is not handed on; `after`: the server has answered, and the function does not know. */
  moment: "before" | "after";
  /** The message, or the answer, is held until this is done. */
  act(connection: WireConnection): void | Promise<void>;
  /** How often; once unless given. */
  times?: number;
}

/** The proxy between function and server: it ends TLS with a CA of its own and reads the messages. */
export interface Wire {
  readonly port: number;
  /** PEM file of the CA that the function is told to trust. */
  readonly caFile: string;
  ambush(ambush: Ambush): { readonly sprung: number; disarm(): void };
  /** `closed`: refuses connections; `silent`: accepts them and says nothing. */
  accept(how: "open" | "closed" | "silent"): void;
  /** Where connections lead from now on; undefined: to the primary. */
  leadTo(port: number | undefined): void;
  /** The certificate that is shown from now on. */
  certificate(which: "good" | "expired" | "of another host"): void;
  /** Refuses every password, as RDS does with a token that has expired; undefined: asks the server again. */
  refusePasswords(message: string | undefined): void;
  /** Every message of every connection, now and later, takes so long; 0: none. */
  slow(ms: number): void;
  cutAll(): void;
  freezeAll(): void;
  /** Cuts what was frozen or abandoned, on the server's side too. */
  thaw(): void;
}

/** One finished run of the function. */
export interface Run {
  /** Of the soak, from 1. */
  tick: number;
  /** `by hand` waits for the lock, all others skip. */
  kind: "tick" | "again" | "late" | "by hand";
  invocation: Invocation;
  /** Of its log, without the lines of metrics. */
  lines: string[];
  /** What it wrote as metrics, by this machine's clock. */
  metrics: Datapoint[];
  endedEpochMs: number;
}

/** What becomes of the event of a tick. */
export type Delivery = "once" | "twice" | "late" | "out of order" | "never" | "throttled" | "by hand too";

/** The deployed function, in processes of its own. */
export interface FunctionBed {
  /** How the next tick is delivered; `once` again after it. */
  delivery: Delivery;
  /** Ends the runs under way with SIGKILL. */
  kill(): void;
  /** Stops the processes of the runs under way, and their timeouts with them, as a machine that is paused. */
  pause(): void;
  /** Stops the processes; their timeouts go on, and end them. */
  hang(): void;
  resume(): void;
  /** Changes how the function logs in; the next process does so. */
  password(password: string): Promise<void>;
  /** The role that it logs in as. */
  readonly user: string;
  /** Has its password, and nothing else. */
  readonly passwordFile: string;
}

/** The views of a soak and the tables that they read. */
export interface Books {
  /** In the order of dependency. */
  views: QualifiedName[];
  /** Tables that the views read, as SQL. */
  tables: string[];
  /** SQL that makes the views and their indexes, as materialized views. */
  viewsSql: string;
}

/** Those who write into the tables, each transaction with its row in the ledger. */
export interface Writers {
  start(): void;
  /** Resolves when none is in the middle of a transaction. */
  stop(): Promise<void>;
  /** A transaction of a kind that writers do not do by themselves. @param setUp SQL that goes first in it. */
  transact(kind: "truncate" | "day" | "reload", setUp?: string): Promise<void>;
}

/** All of it. */
export interface Bed {
  mode: Mode;
  /** Of the soak, empty at its beginning, removed at its end. */
  folder: string;
  clock: VirtualClock;
  cluster: Cluster;
  wire: Wire;
  fn: FunctionBed;
  books: Books;
  writers: Writers;
  /** Opens a connection as the superuser that the bed closes at its end. */
  connect(): Promise<Client>;
}
