/**
 * When calls may begin. A bucket is one number: the time at which the next token would be full, were calls spread evenly
 * (GCRA). Taking a token answers a slot in time rather than yes or no, so that nobody asks again and again.
 */

/** What the bucket may hold, as seconds of its rate; at least one call. */
export const BURST_S = 0.02;

export interface SlotRequest {
  /** How many calls want to begin. */
  wanted: number;
  nowMs: number;
  /** Slots farther ahead are not given: whoever stalls would keep them from the others. */
  horizonMs: number;
}

export interface Slots {
  count: number;
  /** The slots are `firstAtMs + i * spacingMs`; what lies in the past is now. */
  firstAtMs: number;
  spacingMs: number;
  /** The bucket afterwards. */
  nextAtMs: number;
}

export function burstOf(perSecond: number): number {
  return Math.max(1, Math.round(perSecond * BURST_S));
}

/**
 * Takes slots from a bucket. In any window of `t` seconds lie at most `perSecond * t + burstOf(perSecond)` of them, whoever asks
 * when.
 */
export function takeSlots(nextAtMs: number, perSecond: number, { wanted, nowMs, horizonMs }: SlotRequest): Slots {
  const spacingMs = 1_000 / perSecond;
  const fullAtMs = Math.max(nextAtMs, nowMs);
  const firstAtMs = fullAtMs - (burstOf(perSecond) - 1) * spacingMs;
  const within = Math.floor((nowMs + horizonMs - firstAtMs) / spacingMs) + 1;
  const count = Math.max(0, Math.min(wanted, within));
  return { count, firstAtMs, spacingMs, nextAtMs: count === 0 ? nextAtMs : fullAtMs + count * spacingMs };
}
