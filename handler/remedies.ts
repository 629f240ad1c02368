/** The table of failures that concern a refresh: kind, what happened, and the command or SQL that helps. */
import { escapeIdentifier } from "pg";
import { endBlocker, heldBy, type Blocker } from "./blockers";
import { isLoopback } from "./settings";

/** `transient` failures are tried again while time is left; `permanent` ones need somebody. */
export type FailureKind = "transient" | "permanent";

/** What is known where something failed. */
export interface FailureContext {
  /** `host:port/database`. */
  address: string;
  /** How the connection authenticates: iam, secret or password. */
  auth: string;
  /** Whether a session had been opened. */
  connected: boolean;
  connectionLost: boolean;
  /** Whether somebody with rights of his own looks on at a terminal: he may see what a log must not hold. */
  attended?: boolean;
  view?: string;
  /** The view's name as SQL. */
  viewSql?: string;
  user?: string;
  /** Unique indexes of the view, as SQL with their columns. */
  usableIndexes?: string[];
  /** Set for a maintained view: its name for the option --view, and the plain view that has its query, as SQL. */
  maintained?: { shellName: string; query: string };
  /** Set where the statement ran into its own statement_timeout, as the clock tells and not the SQLSTATE. */
  timedOutAfterSeconds?: number;
  /** Set where the view is as it should be, so that what is missing or of the wrong kind is what its query uses. */
  isInsideQuery?: boolean;
  /** How many other views the run's time is divided among. */
  otherViews?: number;
  /** Seconds after which the wait for a lock was given up. */
  waitedSeconds?: number;
  /** Set where the wait was for another refresh of the view, not for a relation. */
  waitedForRefresh?: boolean;
  /** Who held the lock that was waited for. */
  blockers?: Blocker[];
  /** What {@link RefreshFailure} may say of the server's message. */
  message?: string;
  /** The constraint or index a duplicate key ran into. */
  constraint?: string | undefined;
}

/** One row of the table. */
export interface Rule {
  kind: FailureKind;
  problem(context: FailureContext): string;
  remedy(context: FailureContext): string;
}

/** SQL that lists what the `views` setting may name. */
export const LIST_VIEWS =
  "SELECT schemaname, matviewname FROM pg_matviews;  -- then correct the setting `views`";

/** What makes a missing view: the migrations know one, and whoever configured another must have its query. */
export function makeTheView({ view, viewSql }: Pick<FailureContext, "view" | "viewSql">): string {
  if (view === "public.job_progress") return "npm run migrate";
  return (
    `CREATE MATERIALIZED VIEW ${viewSql ?? "…"} AS SELECT …;  -- with the view's own query, or correct the name: ` +
    "SELECT schemaname, matviewname FROM pg_matviews"
  );
}

/** The command that computes a maintained view anew. */
export const fullRunOf = (shellName: string): string => `npm run refresh -- --view ${shellName} --full`;

const viewOf = (context: FailureContext): string => context.viewSql ?? "the view";

/** `SELECT …` for psql that runs the view's own query and shows which keys come twice. */
function findDuplicates(context: FailureContext): string {
  const index = context.usableIndexes?.find((each) => each.startsWith(`${context.constraint} `));
  const columns = /\((.*)\)$/s.exec(index ?? context.usableIndexes?.[0] ?? "")?.[1] ?? "1";
  const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;
  const query = `SELECT ${columns.replaceAll("%", "%%")}, count(*) FROM (%s) AS q GROUP BY ${columns.replaceAll("%", "%%")} HAVING count(*) > 1`;
  return (
    "in psql, find the keys that the view's query gives twice and correct the query or the data: " +
    `SELECT format(${literal(query)}, rtrim(pg_get_viewdef(${literal(context.maintained?.query ?? viewOf(context))}::regclass), ';')) \\gexec`
  );
}

function duplicateProblem(context: FailureContext): string {
  const index = context.constraint ?? context.usableIndexes?.join(", ");
  return `the view's query gives rows that are equal in a unique index${index === undefined ? "" : `: ${index}`}`;
}

const roleOf = ({ user }: FailureContext): string => (user === undefined ? "<user>" : escapeIdentifier(user));

function authenticationRemedy(context: FailureContext): string {
  const role = roleOf(context);
  switch (context.auth) {
    case "iam":
      return `GRANT rds_iam TO ${role};  -- and allow rds-db:connect on this user in the function's role`;
    case "secret":
      return "aws secretsmanager get-secret-value --secret-id <arn>  # its username and password must be the role's";
    default:
      return `ALTER ROLE ${role} PASSWORD '…';  -- or correct the password that the environment names`;
  }
}

/** It says 28000 of a role that is locked out, of none at all, and of one that pg_hba.conf does not admit. */
function admissionRemedy(context: FailureContext): string {
  const login = `ALTER ROLE ${roleOf(context)} LOGIN;`;
  return context.auth === "iam"
    ? `${login} ${authenticationRemedy(context)}`
    : `${login}  -- CREATE ROLE where there is none; or let pg_hba.conf admit it`;
}

function waitProblem(context: FailureContext): string {
  const { waitedSeconds = 0, waitedForRefresh, blockers = [] } = context;
  const seconds = waitedSeconds.toFixed(1);
  if (waitedForRefresh === true)
    return `another refresh of the view was still running after ${seconds}s${heldBy(blockers)}`;
  const where =
    blockers[0]?.relation ??
    `${viewOf(context)} or on what its query reads, and who held it was not to be found afterwards`;
  return `waited ${seconds}s for a lock on ${where}${heldBy(blockers)}`;
}

const listLocks = (context: FailureContext): string =>
  "SELECT a.pid, a.state, a.query FROM pg_locks l JOIN pg_stat_activity a USING (pid) " +
  `WHERE l.relation = '${viewOf(context).replaceAll("'", "''")}'::regclass;  -- end what holds the lock, or wait`;

/** Text that says the same of every failure, or that is made from what is known of this one. */
type Text = string | ((context: FailureContext) => string);

const rule = (kind: FailureKind, problem: Text, remedy: Text): Rule => ({
  kind,
  problem: (context) => (typeof problem === "string" ? problem : problem(context)),
  remedy: (context) => (typeof remedy === "string" ? remedy : remedy(context)),
});
const transient = (problem: Text, remedy: Text): Rule => rule("transient", problem, remedy);
const permanent = (problem: Text, remedy: Text): Rule => rule("permanent", problem, remedy);

const restarted = transient(
  ({ message }) => `the server ended the connection: ${message}`,
  "SELECT pg_postmaster_start_time();  -- a restart or failover passes; an administrator may have ended it",
);

/** By SQLSTATE. Codes that are ambiguous by themselves are reached only after the catalog has been asked. */
export const SQLSTATE_RULES: Partial<Record<string, Rule>> = {
  "42P01": permanent("the materialized view does not exist", makeTheView),
  "3F000": permanent("the view's schema does not exist", LIST_VIEWS),
  "42809": permanent("it is not a materialized view", LIST_VIEWS),
  "21000": permanent(duplicateProblem, findDuplicates),
  "23505": permanent(duplicateProblem, findDuplicates),
  "55P03": transient(waitProblem, (context) => endBlocker(context.blockers ?? []) ?? listLocks(context)),
  "40P01": transient("a deadlock was broken by ending this refresh", listLocks),
  "40001": transient(({ message }) => `the refresh met a concurrent change: ${message}`, listLocks),
  "57014": permanent(
    ({ timedOutAfterSeconds, otherViews = 0 }) => {
      if (timedOutAfterSeconds === undefined) return "somebody cancelled the refresh";
      const what = otherViews === 0 ? "all the time it had" : "its share of the run's time";
      return `the refresh was not done after ${timedOutAfterSeconds.toFixed(1)}s, ${what}`;
    },
    ({ timedOutAfterSeconds, maintained }) => {
      if (timedOutAfterSeconds === undefined) return "npm run refresh";
      // What takes so long is a full run, and the next tick would begin it again.
      if (maintained !== undefined) return `${fullRunOf(maintained.shellName)} --timeout 3600`;
      return "pulumi config set matview-refresh:timeoutSeconds <more> && pulumi up  # or make the view's query faster";
    },
  ),
  "57P01": restarted,
  "57P02": restarted,
  "57P03": restarted,
  "57P05": restarted,
  "25P03": transient(
    "the server ended the session, which had stood idle in its transaction: the function had been stopped meanwhile",
    "npm run refresh",
  ),
  "53300": transient(
    ({ message }) => `the server has no connection free: ${message}`,
    "SELECT usename, state, count(*) FROM pg_stat_activity GROUP BY 1, 2;  -- or connect through RDS Proxy",
  ),
  "53100": permanent(
    "the server's disk is full",
    "aws rds modify-db-instance --db-instance-identifier <id> --allocated-storage <more> --apply-immediately",
  ),
  "53200": permanent(
    "the server ran out of memory",
    "SHOW work_mem;  -- lower it for the role, or take a larger instance",
  ),
  "53400": permanent(
    ({ message }) => `a limit of the server was reached: ${message}`,
    "SHOW temp_file_limit;  -- raise it, or raise work_mem so that the query spills less",
  ),
  // Transient: after a failover the name of a writer leads to a reader for a while.
  "25006": transient(
    "the server takes no writes: it is a standby or a reader endpoint",
    "aws rds describe-db-clusters --query 'DBClusters[].Endpoint'  # connect to the writer endpoint, not to a " +
      "reader's; a failover passes",
  ),
  "28P01": permanent(
    ({ auth }) => `the server refused the ${auth === "iam" ? "token" : "password"}`,
    authenticationRemedy,
  ),
  "28000": permanent(
    ({ message }) => `the server does not let this role connect: ${message}`,
    admissionRemedy,
  ),
  "3D000": permanent(
    ({ address }) => `there is no such database: ${address}`,
    "SELECT datname FROM pg_database;  -- then correct the database's name in the setting `database`",
  ),
};

/** Host and port of `host:port/database`; a host that is a socket folder has slashes of its own. */
function serverOf({ address }: FailureContext): { host: string; port: string } {
  const [, host = address, port = "5432"] = /^(.*):(\d+)\//.exec(address) ?? [];
  return { host, port };
}

const checkTheWay = (context: FailureContext): string => {
  const { host, port } = serverOf(context);
  return `pg_isready -h ${host} -p ${port}  # check the endpoint, the security group (does it allow the function's?) and the subnets' routes`;
};

/** What happens before the server speaks, or without its saying anything. */
export const CONNECTION_RULES = {
  unreachable: transient(
    ({ address, message }) => `could not connect to ${address}: ${message}`,
    checkTheWay,
  ),
  lost: transient(({ address }) => `the connection to ${address} was lost`, checkTheWay),
  /** Cut by this side, its time being up. */
  silent: transient(
    ({ address }) => `${address} did not answer in time`,
    (context) => `${checkTheWay(context)}; whether COMMIT waits for a standby: npm run doctor`,
  ),
  unknownHost: permanent(
    ({ address }) => `no such host: ${address}`,
    "aws rds describe-db-proxies --query 'DBProxies[].Endpoint'  # or describe-db-instances; correct `database`",
  ),
  certificate: permanent(
    ({ address, message }) => `the certificate of ${address} is not trusted: ${message}`,
    "curl -o ca.pem https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem && export PGSSLROOTCERT=ca.pem" +
      "  # a function reads the file that MATVIEW_DATABASE_CA_FILE names",
  ),
  expired: permanent(
    ({ address }) => `the certificate of ${address}, or of who signed it, has expired`,
    "curl -o ca.pem https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem && export PGSSLROOTCERT=ca.pem" +
      "  # where it is that of an old bundle; the server's own: aws rds modify-db-instance --ca-certificate-identifier",
  ),
  wrongHost: permanent(
    ({ message }) => `the certificate is another host's: ${message}`,
    "aws rds describe-db-instances --query 'DBInstances[].Endpoint'  # or describe-db-proxies; connect by the name " +
      "in the certificate",
  ),
  noTls: permanent(
    ({ address }) => `${address} offers no TLS`,
    (context) =>
      isLoopback(serverOf(context).host)
        ? "export PGSSLMODE=disable  # for a server on this machine alone"
        : "aws rds describe-db-instances --query 'DBInstances[].Endpoint'  # or describe-db-proxies; correct host and " +
          "port: every endpoint of RDS has TLS, so another server answers there",
  ),
  missingFile: permanent(
    ({ message }) => `a file the connection needs is missing: ${message}`,
    "ls -l <the file>  # correct the setting that names it",
  ),
  credentials: permanent(
    ({ message }) => message ?? "",
    "aws sts get-caller-identity  # who asks; then check that its policy allows this, and the network to the endpoint",
  ),
  /** A throttle, a timeout or a fault of the service that has the credentials. */
  credentialsLater: transient(
    ({ message }) => message ?? "",
    "aws secretsmanager get-secret-value --secret-id <arn>  # it passes; if not, check the network to the endpoint",
  ),
  unexpected: permanent(({ message }) => `unexpected: ${message}`, "npm run refresh -- --dry-run"),
} satisfies Record<string, Rule>;
