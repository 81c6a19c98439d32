import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { aGatewayPolicy, ago, ahead, NOW } from '../../test/support/refund-builders.js';
import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from '../shared/clock.js';
import { nextLookAfterEnd, nextLookAt } from './look-schedule.js';

const PAUSES = [MINUTE_MS, 2 * MINUTE_MS, 5 * MINUTE_MS];

/** How long after a look at this age the next one is planned. */
function waitAt(ageMs: number, { pausesMs = PAUSES, jitter = 0 } = {}): number {
  return nextLookAt(pausesMs, ago(ageMs), NOW, jitter).getTime() - NOW.getTime();
}

describe('the next look', () => {
  it.each([
    ['at the start', 0, MINUTE_MS],
    ['on the way to the first point', 30 * SECOND_MS, 30 * SECOND_MS],
    ['at the first point', MINUTE_MS, 2 * MINUTE_MS],
    ['between the points', 2 * MINUTE_MS, MINUTE_MS],
    ['at the second point', 3 * MINUTE_MS, 5 * MINUTE_MS],
    ['at the last point', 8 * MINUTE_MS, 5 * MINUTE_MS],
    ['long after the last point', 40 * DAY_MS, 5 * MINUTE_MS],
  ])('%s', (_when, ageMs, waitMs) => {
    expect(waitAt(ageMs)).toBe(waitMs);
  });

  it('leaves out a point that is too near', () => {
    expect(waitAt(MINUTE_MS - 10 * SECOND_MS)).toBe(10 * SECOND_MS + 2 * MINUTE_MS);
    expect(waitAt(MINUTE_MS - 11 * SECOND_MS)).toBe(11 * SECOND_MS);
  });

  it('goes by age: twenty looks in a minute do not push the next one away', () => {
    const waits = Array.from({ length: 20 }, (_, look) => waitAt(3 * MINUTE_MS + look * SECOND_MS));
    expect(waits.map((waitMs, look) => waitMs + look * SECOND_MS)).toEqual(waits.map(() => 5 * MINUTE_MS));
  });

  it('of something that has not begun yet counts from now', () => {
    expect(nextLookAt(PAUSES, ahead(HOUR_MS), NOW, 0)).toEqual(ahead(MINUTE_MS));
  });

  it('is a minute away where there is no schedule', () => {
    expect(waitAt(0, { pausesMs: [] })).toBe(MINUTE_MS);
  });

  it('is spread by a tenth of the pause to either side', () => {
    expect(waitAt(0, { pausesMs: [HOUR_MS], jitter: 1 })).toBe(66 * MINUTE_MS);
    expect(waitAt(0, { pausesMs: [HOUR_MS], jitter: -0.5 })).toBe(57 * MINUTE_MS);
    expect(waitAt(9 * HOUR_MS, { pausesMs: [HOUR_MS], jitter: -1 })).toBe(54 * MINUTE_MS);
  });

  const pauses = fc.array(fc.integer({ min: 1, max: DAY_MS }), { minLength: 1, maxLength: 30 });
  const jitters = fc.double({ min: -1, max: 1, noNaN: true });

  it('is never less than ten seconds away, nor further than a pause, its jitter and the nearness of a point allow', () => {
    fc.assert(
      fc.property(pauses, fc.integer({ min: -DAY_MS, max: 60 * DAY_MS }), jitters, (pausesMs, ageMs, jitter) => {
        const waitMs = waitAt(ageMs, { pausesMs, jitter });
        expect(Number.isInteger(waitMs)).toBe(true);
        expect(waitMs).toBeGreaterThanOrEqual(10 * SECOND_MS);
        expect(waitMs).toBeLessThanOrEqual(1.2 * Math.max(...pausesMs) + 10 * SECOND_MS * pausesMs.length);
      }),
    );
  });

  // A look that jitter had brought forward saw its own point still ahead and was repeated there, so that half of the points
  // were looked at two or three times: 54 looks in a day instead of 31.
  it('serves every point of a schedule once, whatever the jitter of each look', () => {
    const growing = fc
      .array(fc.integer({ min: 2 * MINUTE_MS, max: DAY_MS }), { minLength: 1, maxLength: 20 })
      .map((list) => list.toSorted((a, b) => a - b));
    const manyJitters = fc.array(jitters, { minLength: 20, maxLength: 20 });
    fc.assert(
      fc.property(growing, manyJitters, (pausesMs, jitterOf) => {
        const points = pausesMs.map((_, index) => pausesMs.slice(0, index + 1).reduce((sum, pause) => sum + pause));
        let ageMs = 0;
        for (const [index, pointMs] of points.entries()) {
          ageMs += waitAt(ageMs, { pausesMs, jitter: jitterOf[index] ?? 0 });
          expect(Math.abs(ageMs - pointMs)).toBeLessThanOrEqual(0.1 * (pausesMs[index] ?? 0) + 1);
        }
      }),
    );
  });
});

describe('the next look after the end', () => {
  const policy = aGatewayPolicy({ verifyAfterEnd: { scheduleMs: [HOUR_MS, DAY_MS], forMs: 30 * DAY_MS } });

  it('is none where the gateway’s end is the end', () => {
    expect(nextLookAfterEnd(aGatewayPolicy(), NOW, NOW, 0)).toBeNull();
  });

  it('goes by the age of the end, until it has lasted', () => {
    expect(nextLookAfterEnd(policy, NOW, NOW, 0)).toEqual(ahead(HOUR_MS));
    expect(nextLookAfterEnd(policy, ago(HOUR_MS), NOW, 0)).toEqual(ahead(DAY_MS));
    expect(nextLookAfterEnd(policy, ago(30 * DAY_MS - 1), NOW, 0)).not.toBeNull();
    expect(nextLookAfterEnd(policy, ago(30 * DAY_MS), NOW, 0)).toBeNull();
  });

  it('is spread, too', () => {
    expect(nextLookAfterEnd(policy, NOW, NOW, 1)).toEqual(ahead(66 * MINUTE_MS));
  });
});
