/** A moment of a run, drawn from the dice, at which something is done to its connection or to the function. */
import type { Ambush, Bed, Phase, WireConnection } from "../bed/bed";
import type { Dice } from "../dice";
import type { Planted } from "../fault";

/** Before or after something that a run says to the server, the first time that it does so or a later one. */
interface Moment {
  phase: Phase;
  moment: Ambush["moment"];
  /** From 1; a run refreshes several views. */
  time: number;
}

const NAMES = {
  connect: "the connect",
  tls: "the TLS handshake",
  authenticate: "the login",
  begin: "BEGIN",
  refresh: "the refresh",
  history: "the row of history",
  commit: "COMMIT",
} satisfies Partial<Record<Phase, string>>;

const ONCE_A_RUN: Phase[] = ["connect", "tls", "authenticate"];
const EACH_VIEW: Phase[] = ["begin", "refresh", "history", "commit"];

/** Any moment of a run. That COMMIT has been answered and nobody hears of it is the worst of them, and more frequent. */
export function drawMoment(dice: Dice): Moment {
  if (dice.percent(25)) return { phase: "commit", moment: "after", time: dice.between(1, 2) };
  const phase = dice.oneOf([...ONCE_A_RUN, ...EACH_VIEW]);
  return { phase, moment: drawSide(dice), time: ONCE_A_RUN.includes(phase) ? 1 : dice.between(1, 2) };
}

/** A moment at which a transaction is open on the server. */
export function drawMomentInside(dice: Dice): Moment {
  const [phase, moment] = dice.oneOf([
    ["begin", "after"],
    ["refresh", "before"],
    ["refresh", "after"],
    ["history", "before"],
    ["history", "after"],
    ["commit", "before"],
  ] as const);
  return { phase, moment, time: dice.between(1, 2) };
}

const drawSide = (dice: Dice): Ambush["moment"] => dice.oneOf(["before", "after"] as const);

/** Such as `after COMMIT of the second view`. */
function describeMoment({ phase, moment, time }: Moment): string {
  const name = phase === "other" ? "a query" : NAMES[phase];
  return `${moment} ${name}${time === 1 ? "" : `, the ${time}nd time`}`;
}

/**
 * Does something at a moment of the next runs, once. Where that never comes nothing waits for it.
 * @param lift what is to be undone, once it is lifted
 */
export function strikeAt(
  bed: Bed,
  what: string,
  { phase, moment, time }: Moment,
  act: (connection: WireConnection) => void | Promise<void>,
  lift: () => void | Promise<void> = () => undefined,
): Planted {
  let come = 0;
  let struck = false;
  const laid = bed.wire.ambush({
    ...{ phase, moment, times: time },
    act(connection) {
      come += 1;
      if (come < time) return;
      struck = true;
      return act(connection);
    },
  });
  return {
    what: `${what} ${describeMoment({ phase, moment, time })}`,
    strikesOnce: true,
    hasStruck: () => struck,
    async lift() {
      laid.disarm();
      await lift();
    },
  };
}

/** A moment before something that the next run says to the server. */
export const before = (phase: Phase): Moment => ({ phase, moment: "before", time: 1 });

/**
 * What somebody does as a run comes to a moment, and undoes when it is lifted. The run is held until it is done: it must
 * need nothing that the run has. Has struck where it could be done.
 * @param act resolves with what undoes it, where there is something to undo
 */
export function whileHeld(
  bed: Bed,
  what: string,
  moment: Moment,
  act: () => Promise<Pick<Planted, "lift" | "hasStruck"> | void>,
): Planted {
  let done: Pick<Planted, "lift" | "hasStruck"> | void;
  let hasFailed = false;
  let underWay: Promise<unknown> = Promise.resolve();
  const begin = (): Promise<unknown> =>
    (underWay = act().then(
      (undo) => (done = undo),
      () => (hasFailed = true),
    ));
  const planted = strikeAt(
    bed,
    what,
    moment,
    async () => void (await begin()),
    async () => {
      await underWay;
      await done?.lift();
    },
  );
  return {
    ...planted,
    hasStruck: () => planted.hasStruck?.() === true && !hasFailed && done?.hasStruck?.() !== false,
  };
}

/** What somebody does while a run goes on: it is not held, since that may wait for the run itself. */
export function inMidRun(bed: Bed, what: string, phase: Phase, act: () => Promise<unknown>): Planted {
  let underWay: Promise<unknown> = Promise.resolve();
  let hasFailed = false;
  const begin = (): void => void (underWay = act().catch(() => (hasFailed = true)));
  const planted = strikeAt(bed, what, before(phase), begin, async () => void (await underWay));
  return { ...planted, hasStruck: () => planted.hasStruck?.() === true && !hasFailed };
}
