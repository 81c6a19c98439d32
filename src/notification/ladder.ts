import { HOUR_MS, MINUTE_MS, SECOND_MS } from '../shared/clock.js';

/**
 * Pauses before each attempt, counted from the one before: what merchants of the reference system know. Sixteen attempts in about a
 * day.
 */
export const LADDER_MS: readonly number[] = [
  0,
  15 * SECOND_MS,
  15 * SECOND_MS,
  30 * SECOND_MS,
  3 * MINUTE_MS,
  10 * MINUTE_MS,
  20 * MINUTE_MS,
  30 * MINUTE_MS,
  30 * MINUTE_MS,
  30 * MINUTE_MS,
  HOUR_MS,
  3 * HOUR_MS,
  3 * HOUR_MS,
  3 * HOUR_MS,
  6 * HOUR_MS,
  6 * HOUR_MS,
];

/** How long to wait after so many attempts in vain; undefined when that was the last one. */
export function pauseAfter(attempts: number): number | undefined {
  return LADDER_MS[attempts];
}
