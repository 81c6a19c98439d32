/**
 * A gateway that does not answer is left alone: after some failures in a row nobody calls it, until one call at a time finds out
 * whether it is back.
 */

const FAILURES = 10;
/** From so many on only as many calls go out at once as are needed to be sure. */
const CAUTIOUS_FROM = 3;
/** Failures farther apart than this are not "in a row". */
const WINDOW_MS = 30_000;
const FIRST_OPEN_MS = 2_000;
const MAX_OPEN_MS = 60_000;
/** While one call finds out, the others come back after this long. */
const PROBE_WAIT_MS = 1_000;

export interface Circuit {
  /** In a row, since `failingSinceMs`. */
  failures: number;
  failingSinceMs: number;
  /** 0: closed. Later than that the next call is the probe. */
  openUntilMs: number;
  /** How often it opened without closing between. */
  opens: number;
  /** A probe is under way until then at the latest; 0: none. */
  probeUntilMs: number;
}

export const CLOSED: Circuit = { failures: 0, failingSinceMs: 0, openUntilMs: 0, opens: 0, probeUntilMs: 0 };

export type Gate = { state: 'closed' } | { state: 'probe' } | { state: 'open'; retryAfterMs: number };

export function gateOf(circuit: Circuit, nowMs: number): Gate {
  if (circuit.openUntilMs === 0) return { state: 'closed' };
  if (nowMs < circuit.openUntilMs) return { state: 'open', retryAfterMs: circuit.openUntilMs - nowMs };
  return nowMs < circuit.probeUntilMs ? { state: 'open', retryAfterMs: PROBE_WAIT_MS } : { state: 'probe' };
}

/** How many calls may be under way while the gateway may be down: what is under way when it goes down fails anyway, more need not. */
export function callsAtOnce(circuit: Circuit, nowMs: number): number {
  const failing = nowMs - circuit.failingSinceMs < WINDOW_MS ? circuit.failures : 0;
  return failing < CAUTIOUS_FROM ? Infinity : FAILURES - failing;
}

/** The gateway did not answer. What was called before the circuit opened says nothing new. */
export function afterFailure(circuit: Circuit, isProbe: boolean, nowMs: number): Circuit {
  if (circuit.openUntilMs !== 0) return isProbe ? open(circuit, nowMs) : circuit;
  const inRow = circuit.failures > 0 && nowMs - circuit.failingSinceMs < WINDOW_MS;
  const counted = {
    ...circuit,
    failures: inRow ? circuit.failures + 1 : 1,
    failingSinceMs: inRow ? circuit.failingSinceMs : nowMs,
  };
  return counted.failures >= FAILURES ? open(counted, nowMs) : counted;
}

/** The gateway answered, whatever it said. While open only the probe's answer counts. */
export function afterAnswer(circuit: Circuit, isProbe: boolean): Circuit {
  return circuit.openUntilMs === 0 || isProbe ? CLOSED : circuit;
}

/** A probe ended without having called. */
export function afterUnusedProbe(circuit: Circuit): Circuit {
  return { ...circuit, probeUntilMs: 0 };
}

function open(circuit: Circuit, nowMs: number): Circuit {
  const opens = circuit.opens + 1;
  const openMs = Math.min(MAX_OPEN_MS, FIRST_OPEN_MS * 2 ** (opens - 1));
  return { failures: 0, failingSinceMs: 0, openUntilMs: nowMs + openMs, opens, probeUntilMs: 0 };
}

/** A clock that was set back must not keep a circuit open. */
export function sane(circuit: Circuit, nowMs: number): Circuit {
  const { openUntilMs, failingSinceMs } = circuit;
  if (openUntilMs - nowMs > MAX_OPEN_MS) return { ...circuit, openUntilMs: nowMs, probeUntilMs: 0 };
  return failingSinceMs > nowMs ? { ...circuit, failingSinceMs: nowMs } : circuit;
}

export const CIRCUIT_RULES = { FAILURES, CAUTIOUS_FROM, WINDOW_MS, FIRST_OPEN_MS, MAX_OPEN_MS, PROBE_WAIT_MS } as const;
