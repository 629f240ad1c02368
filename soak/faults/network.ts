/** What networks do to a run, and what stands between it and the server: cuts, silence, certificates, tokens. */
import { setTimeout as sleep } from "node:timers/promises";
import { faultsOf, type FaultDraft, type Planted } from "../fault";
import { drawMoment, drawMomentInside, strikeAt } from "./moment";

/** Something that the wire does to every connection from now on. */
function onTheWire(what: string, begin: () => void, end: () => void): Planted {
  begin();
  return { what, lift: () => Promise.resolve(end()) };
}

const connectionCut: FaultDraft = {
  name: "connection cut",
  endsConnections: true,
  // The run has all its time left, connects again, and waits for what was its own session.
  refresh: "passes",
  plant: (bed, dice) => strikeAt(bed, "connection cut", drawMoment(dice), (connection) => connection.cut()),
};

const connectionSilent: FaultDraft = {
  name: "connection silent",
  endsConnections: true,
  hidesEnd: true,
  refresh: "may pass",
  codes: ["ETIMEDOUT"],
  plant: (bed, dice) =>
    strikeAt(
      bed,
      "connection silent",
      drawMoment(dice),
      (connection) => connection.freeze(),
      () => bed.wire.thaw(),
    ),
};

const serverNotTold: FaultDraft = {
  name: "server not told that the function is gone",
  endsConnections: true,
  hidesEnd: true,
  ticks: [1, 3],
  refresh: "may pass",
  // The next try waits for a session that nobody has any more.
  codes: ["55P03", "57014", "ETIMEDOUT"],
  plant(bed, dice) {
    const moment = drawMomentInside(dice);
    // Where the refresh is about to be told to the server, it is told so, and is under way when the network goes.
    const afterMs = moment.phase === "refresh" && moment.moment === "before" ? dice.between(1, 100) : 0;
    return strikeAt(
      bed,
      "network gone, and the server not told,",
      moment,
      (connection) => {
        if (afterMs === 0) connection.abandon();
        else void sleep(afterMs).then(() => connection.abandon());
      },
      () => bed.wire.thaw(),
    );
  },
};

const networkSlow: FaultDraft = {
  name: "network slow",
  endsConnections: true,
  ticks: [1, 3],
  refresh: "may pass",
  codes: ["ETIMEDOUT", "57014", "55P03"],
  plant({ wire }, dice) {
    const ms = dice.between(50, 400);
    return onTheWire(
      `every message ${ms} ms late`,
      () => wire.slow(ms),
      () => wire.slow(0),
    );
  },
};

const refused: FaultDraft = {
  name: "connections refused",
  finding: "connection",
  ticks: [1, 3],
  refresh: "stops",
  codes: ["ECONNREFUSED"],
  says: /could not connect to .*ECONNREFUSED/,
  plant: ({ wire }) =>
    onTheWire(
      "connections refused",
      () => wire.accept("closed"),
      () => wire.accept("open"),
    ),
};

const silentAddress: FaultDraft = {
  name: "address silent",
  finding: "connection",
  endsConnections: true,
  hidesEnd: true,
  ticks: [1, 2],
  refresh: "stops",
  codes: ["ETIMEDOUT"],
  says: /no connection within \d+ ms/,
  plant: ({ wire }) =>
    onTheWire(
      "connections accepted and never answered",
      () => wire.accept("silent"),
      () => {
        wire.accept("open");
        wire.thaw();
      },
    ),
};

const certificateWrong: FaultDraft = {
  name: "certificate not to be trusted",
  finding: "connection",
  ticks: [1, 3],
  refresh: "stops",
  codes: ["CERT_HAS_EXPIRED", "ERR_TLS_CERT_ALTNAME_INVALID"],
  says: /the certificate of .*, or of who signed it, has expired|the certificate is another host's/,
  plant({ wire }, dice) {
    const which = dice.oneOf(["expired", "of another host"] as const);
    return onTheWire(
      `certificate ${which}`,
      () => wire.certificate(which),
      () => wire.certificate("good"),
    );
  },
};

const tokenRefused: FaultDraft = {
  name: "token refused",
  finding: "connection",
  ticks: [1, 3],
  refresh: "stops",
  codes: ["28000", "28P01"],
  says: /the server does not let this role connect: PAM authentication failed|the server refused the password/,
  plant({ wire, fn }, dice) {
    const by = dice.oneOf(["PAM", "password"]);
    return onTheWire(
      by === "PAM" ? "token refused, as RDS does" : "password refused",
      () => wire.refusePasswords(`${by} authentication failed for user "${fn.user}"`),
      () => wire.refusePasswords(undefined),
    );
  },
};

/** Each strikes the function's connections, and no one else's. */
export const NETWORK_FAULTS = faultsOf({ group: "network", touches: ["wire"] }, [
  connectionCut,
  connectionSilent,
  serverNotTold,
  networkSlow,
  refused,
  silentAddress,
  certificateWrong,
  tokenRefused,
]);
