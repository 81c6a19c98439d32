import type { GatewayPolicy } from '../gateway/gateway.port.js';
import { addMs, DAY_MS, MINUTE_MS } from '../shared/clock.js';

/** A review keeps looking, and so does a refund that was closed without the gateway's word. */
export const REVIEW_LOOK_MS = DAY_MS;
export const CLOSED_LOOK_FOR_MS = 30 * DAY_MS;

/** Two looks at one refund are never planned closer than this, however old the refund is. */
const MIN_PAUSE_MS = 10_000;
const JITTER = 0.1;

/**
 * When to look next, from the age of the thing looked at. The pauses are added up to points in time after `since`; the answer is the
 * first point that is still ahead, and past the last one the last pause repeats.
 *
 * Age counts, not the number of looks: a merchant that asks twenty times in a minute must not push the next look by a day.
 *
 * @param jitter from -1 to 1: spreads refunds that were sent in the same second.
 */
export function nextLookAt(pausesMs: readonly number[], since: Date, now: Date, jitter: number): Date {
  const ageMs = Math.max(0, now.getTime() - since.getTime());
  let pointMs = 0;
  for (const pauseMs of pausesMs) {
    pointMs += pauseMs;
    const aheadMs = pointMs - ageMs;
    // A point this near was just served by a look that jitter brought forward.
    if (aheadMs > Math.max(MIN_PAUSE_MS, Math.ceil(pauseMs * JITTER)))
      return later(now, aheadMs, pauseMs * JITTER * jitter);
  }
  const lastPauseMs = pausesMs.at(-1) ?? MINUTE_MS;
  return later(now, lastPauseMs, lastPauseMs * JITTER * jitter);
}

function later(now: Date, waitMs: number, jitterMs: number): Date {
  return addMs(now, Math.max(MIN_PAUSE_MS, Math.round(waitMs + jitterMs)));
}

/** The next look at a refund that ended by the gateway's word; null where the gateway's end is the end. */
export function nextLookAfterEnd(policy: GatewayPolicy, endedAt: Date, now: Date, jitter: number): Date | null {
  const after = policy.verifyAfterEnd;
  if (!after || now.getTime() - endedAt.getTime() >= after.forMs) return null;
  return nextLookAt(after.scheduleMs, endedAt, now, jitter);
}
