/**
 * What a 429 does to the rate of an account: half of it at once, then back in small steps (additive increase, multiplicative
 * decrease), and a pause that doubles while the gateway keeps refusing.
 */

const DECREASE = 0.5;
/** Of the ceiling, per second: from half to whole in 25 s. */
const RECOVERY_PER_S = 0.02;
/** Of the ceiling. */
const FLOOR = 0.05;
/**
 * The first pause. Connectors report a documented minute where a gateway names no time: a minute of silence for one stray 429 would
 * fail every merchant's sync meanwhile. A gateway that goes on refusing gets as much as it asks for.
 */
const FIRST_PAUSE_MS = 500;
const MAX_PAUSE_MS = 300_000;
/** Refusals closer together than this belong to one episode. */
const EPISODE_MS = 60_000;

export interface AdaptiveRate {
  /** 0: never lowered. */
  perSecond: number;
  /** From when it recovers. */
  fromMs: number;
  pausedUntilMs: number;
  loweredAtMs: number;
  /** Pauses in this episode. */
  pauses: number;
}

export const FULL_RATE: AdaptiveRate = { perSecond: 0, fromMs: 0, pausedUntilMs: 0, loweredAtMs: 0, pauses: 0 };

export function currentRate(rate: AdaptiveRate, ceiling: number, nowMs: number): number {
  if (rate.perSecond === 0) return ceiling;
  const recovered = (ceiling * RECOVERY_PER_S * Math.max(0, nowMs - rate.fromMs)) / 1_000;
  return Math.min(ceiling, rate.perSecond + recovered);
}

/**
 * The rate after a 429.
 *
 * @param askedAtMs when the refused call began: calls that were under way at the last lowering say nothing new.
 */
export function lowerRate(
  rate: AdaptiveRate,
  ceiling: number,
  refusal: { retryAfterMs: number; askedAtMs: number },
  nowMs: number,
): AdaptiveRate {
  if (refusal.askedAtMs < rate.loweredAtMs) return rate;
  const pauses = nowMs - rate.loweredAtMs < EPISODE_MS ? rate.pauses + 1 : 1;
  const pauseMs = Math.min(refusal.retryAfterMs, FIRST_PAUSE_MS * 2 ** (pauses - 1), MAX_PAUSE_MS);
  return {
    perSecond: Math.max(ceiling * FLOOR, currentRate(rate, ceiling, nowMs) * DECREASE),
    fromMs: nowMs + pauseMs,
    pausedUntilMs: nowMs + pauseMs,
    loweredAtMs: nowMs,
    pauses,
  };
}

/** A clock that was set back must not stop an account: times too far ahead are of another clock. */
export function sane(rate: AdaptiveRate, nowMs: number): AdaptiveRate {
  const ahead = Math.max(rate.pausedUntilMs, rate.fromMs, rate.loweredAtMs) - nowMs;
  return ahead > MAX_PAUSE_MS ? { ...rate, fromMs: nowMs, pausedUntilMs: 0, loweredAtMs: 0, pauses: 0 } : rate;
}

export const RATE_RULES = { DECREASE, RECOVERY_PER_S, FLOOR, FIRST_PAUSE_MS, MAX_PAUSE_MS, EPISODE_MS } as const;
