import { currentRate, FULL_RATE, lowerRate, sane as saneRate, type AdaptiveRate } from './adaptive-rate.js';
import * as circuits from './circuit.js';
import { CLOSED, type Circuit } from './circuit.js';
import { takeSlots } from './token-bucket.js';

/**
 * What all processes together know of one account, and what happens to it when a process asks. The same steps as a Lua script are in
 * `redis-pace.script.ts`; a test runs both side by side.
 */

export interface PaceLimits {
  /** Calls a second, over all processes. */
  perSecond: number;
  /** Calls at the same time, over all processes. */
  concurrency: number;
}

/** How a call ended, as far as the pace of the next ones depends on it. */
export type CallOutcome =
  /** The gateway answered, whatever it said. */
  | { kind: 'answered'; probe: boolean }
  /** It did not, or not believably. */
  | { kind: 'failed'; probe: boolean }
  /** It wants fewer calls. */
  | { kind: 'limited'; probe: boolean; retryAfterMs: number; askedAtMs: number }
  /** A probe that never called. */
  | { kind: 'unused'; probe: true };

export interface PaceRequest {
  /** Who asks. */
  process: string;
  /** Calls of this process that may run or are running: the whole number, so that a lost answer of ours is made good by the next. */
  held: number;
  /** What ended since it last asked, in order. */
  outcomes: readonly CallOutcome[];
  /** Calls that want to begin. */
  wanted: number;
  /** Slots farther ahead are not given. */
  horizonMs: number;
  /** A process that says nothing for so long holds nothing any more: it was killed. */
  holdMs: number;
}

export type PaceRefusal = 'busy' | 'full' | 'paused' | 'open';

export interface PaceReply {
  /** How many calls may begin: at `firstAtMs + i * spacingMs`, or now where that is past. */
  granted: number;
  firstAtMs: number;
  spacingMs: number;
  /** The granted call finds out whether the gateway is back. */
  probe: boolean;
  /** Why not all that were wanted may begin. */
  refusal: PaceRefusal | null;
  /** When it makes sense to ask again. */
  retryAfterMs: number;
  nowMs: number;
  /** The rate as it is now. */
  perSecond: number;
  /** Calls that all processes hold. */
  inFlight: number;
}

export interface PaceState {
  nextAtMs: number;
  rate: AdaptiveRate;
  circuit: Circuit;
  holders: Map<string, { held: number; untilMs: number }>;
}

/** When permits run out: calls that end give them back in this process at once, those of others are asked for again. */
const FULL_RETRY_MS = 25;
/** No slot is ever this far ahead: a clock was set back. */
const MAX_AHEAD_MS = 120_000;

export function newPaceState(): PaceState {
  return { nextAtMs: 0, rate: FULL_RATE, circuit: CLOSED, holders: new Map() };
}

/** One exchange of a process with the account's state, which is changed. */
export function exchange(state: PaceState, limits: PaceLimits, request: PaceRequest, nowMs: number): PaceReply {
  if (state.nextAtMs - nowMs > MAX_AHEAD_MS) state.nextAtMs = nowMs;
  state.rate = saneRate(state.rate, nowMs);
  state.circuit = circuits.sane(state.circuit, nowMs);
  for (const outcome of request.outcomes) take(state, limits, outcome, nowMs);

  const inFlight = holdersOf(state, request, nowMs) + request.held;
  const perSecond = currentRate(state.rate, limits.perSecond, nowMs);
  const reply: PaceReply = {
    granted: 0,
    firstAtMs: nowMs,
    spacingMs: 0,
    probe: false,
    refusal: null,
    retryAfterMs: 0,
    nowMs,
    perSecond,
    inFlight,
  };
  if (request.wanted > 0) grant(state, limits, request, reply);
  reply.inFlight += reply.granted;
  const held = request.held + reply.granted;
  if (held > 0) state.holders.set(request.process, { held, untilMs: nowMs + request.holdMs });
  else state.holders.delete(request.process);
  return reply;
}

function grant(state: PaceState, limits: PaceLimits, request: PaceRequest, reply: PaceReply): void {
  const { nowMs } = reply;
  const gate = circuits.gateOf(state.circuit, nowMs);
  if (gate.state === 'open') return refuse(reply, 'open', gate.retryAfterMs);
  if (state.rate.pausedUntilMs > nowMs) return refuse(reply, 'paused', state.rate.pausedUntilMs - nowMs);
  const permits = Math.min(limits.concurrency, circuits.callsAtOnce(state.circuit, nowMs)) - reply.inFlight;
  if (permits <= 0) return refuse(reply, 'full', FULL_RETRY_MS);
  const wanted = Math.min(request.wanted, permits, gate.state === 'probe' ? 1 : Infinity);
  const { horizonMs } = request;
  const slots = takeSlots(state.nextAtMs, reply.perSecond, { wanted, nowMs, horizonMs });
  state.nextAtMs = slots.nextAtMs;
  reply.granted = slots.count;
  reply.firstAtMs = slots.firstAtMs;
  reply.spacingMs = slots.spacingMs;
  if (slots.count > 0 && gate.state === 'probe') {
    reply.probe = true;
    state.circuit = { ...state.circuit, probeUntilMs: nowMs + request.holdMs };
  }
  if (slots.count < wanted) {
    const nextAtMs = slots.firstAtMs + slots.count * slots.spacingMs;
    refuse(reply, 'busy', Math.max(1, nextAtMs - nowMs - horizonMs));
  } else if (wanted < request.wanted) {
    if (gate.state === 'probe') refuse(reply, 'open', circuits.CIRCUIT_RULES.PROBE_WAIT_MS);
    else refuse(reply, 'full', FULL_RETRY_MS);
  }
}

function refuse(reply: PaceReply, refusal: PaceRefusal, retryAfterMs: number): void {
  reply.refusal = refusal;
  reply.retryAfterMs = retryAfterMs;
}

function take(state: PaceState, limits: PaceLimits, outcome: CallOutcome, nowMs: number): void {
  switch (outcome.kind) {
    case 'answered':
      state.circuit = circuits.afterAnswer(state.circuit, outcome.probe);
      return;
    case 'failed':
      state.circuit = circuits.afterFailure(state.circuit, outcome.probe, nowMs);
      return;
    case 'limited':
      // Somebody is there to say so.
      state.circuit = circuits.afterAnswer(state.circuit, outcome.probe);
      state.rate = lowerRate(state.rate, limits.perSecond, outcome, nowMs);
      return;
    case 'unused':
      state.circuit = circuits.afterUnusedProbe(state.circuit);
      return;
  }
}

/** What the other processes hold; who has been silent for too long is forgotten. */
function holdersOf(state: PaceState, { process, holdMs }: PaceRequest, nowMs: number): number {
  let others = 0;
  for (const [holder, { held, untilMs }] of state.holders) {
    if (untilMs <= nowMs || untilMs - nowMs > holdMs + MAX_AHEAD_MS) state.holders.delete(holder);
    else if (holder !== process) others += held;
  }
  return others;
}

export const PACE_RULES = { FULL_RETRY_MS, MAX_AHEAD_MS } as const;
