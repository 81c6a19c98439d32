import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { currentRate, FULL_RATE, lowerRate, RATE_RULES, sane } from './adaptive-rate.js';

const CEILING = 100;
const NOW = 1_700_000_000_000;
const MINUTE = { retryAfterMs: 60_000, askedAtMs: NOW };

describe('a 429', () => {
  it('halves the rate at once, pauses, and then it comes back in small steps', () => {
    const lowered = lowerRate(FULL_RATE, CEILING, MINUTE, NOW);
    expect(currentRate(lowered, CEILING, NOW)).toBe(50);
    expect(lowered.pausedUntilMs).toBe(NOW + 500);
    expect(currentRate(lowered, CEILING, lowered.fromMs + 1_000)).toBe(52);
    expect(currentRate(lowered, CEILING, lowered.fromMs + 10_000)).toBe(70);
    expect(currentRate(lowered, CEILING, lowered.fromMs + 25_000)).toBe(CEILING);
    expect(currentRate(lowered, CEILING, lowered.fromMs + 3_600_000)).toBe(CEILING);
  });

  it('counts once for all calls that were under way', () => {
    const lowered = lowerRate(FULL_RATE, CEILING, MINUTE, NOW);
    expect(lowerRate(lowered, CEILING, { ...MINUTE, askedAtMs: NOW - 1 }, NOW + 40)).toEqual(lowered);
  });

  it('after the pause doubles it, up to what the gateway asks for', () => {
    let rate = FULL_RATE;
    let nowMs = NOW;
    const pauses: number[] = [];
    for (let refusal = 0; refusal < 10; refusal += 1) {
      rate = lowerRate(rate, CEILING, { retryAfterMs: 20_000, askedAtMs: nowMs }, nowMs);
      pauses.push(rate.pausedUntilMs - nowMs);
      nowMs = rate.pausedUntilMs + 10;
    }
    expect(pauses).toEqual([500, 1_000, 2_000, 4_000, 8_000, 16_000, ...Array<number>(4).fill(20_000)]);
    expect(currentRate(rate, CEILING, nowMs)).toBeGreaterThanOrEqual(CEILING * RATE_RULES.FLOOR);
  });

  it('a minute later is a new episode', () => {
    const first = lowerRate(FULL_RATE, CEILING, MINUTE, NOW);
    const laterMs = NOW + 61_000;
    const second = lowerRate(first, CEILING, { ...MINUTE, askedAtMs: laterMs }, laterMs);
    expect(second.pausedUntilMs - laterMs).toBe(500);
  });

  it('is paused no longer than the gateway asks, nor at all if it asks for nothing', () => {
    expect(lowerRate(FULL_RATE, CEILING, { ...MINUTE, retryAfterMs: 120 }, NOW).pausedUntilMs).toBe(NOW + 120);
    expect(lowerRate(FULL_RATE, CEILING, { ...MINUTE, retryAfterMs: 0 }, NOW).pausedUntilMs).toBe(NOW);
  });

  it('keeps the rate between floor and ceiling, whatever comes when', () => {
    const refusals = fc.array(
      fc.record({ waitMs: fc.integer({ min: 0, max: 90_000 }), retryAfterMs: fc.integer({ min: 0, max: 3_600_000 }) }),
    );
    fc.assert(
      fc.property(refusals, fc.double({ min: 0.05, max: 10_000, noNaN: true }), (steps, ceiling) => {
        let rate = FULL_RATE;
        let nowMs = NOW;
        for (const { waitMs, retryAfterMs } of steps) {
          nowMs += waitMs;
          const before = currentRate(rate, ceiling, nowMs);
          rate = lowerRate(rate, ceiling, { retryAfterMs, askedAtMs: nowMs }, nowMs);
          const after = currentRate(rate, ceiling, nowMs);
          expect(after).toBeLessThanOrEqual(Math.max(before, ceiling * RATE_RULES.FLOOR) + 1e-9);
          expect(after).toBeGreaterThanOrEqual(ceiling * RATE_RULES.FLOOR - 1e-9);
          expect(currentRate(rate, ceiling, nowMs + 86_400_000)).toBe(ceiling);
          expect(rate.pausedUntilMs - nowMs).toBeLessThanOrEqual(RATE_RULES.MAX_PAUSE_MS);
        }
      }),
    );
  });

  it('does not outlast a clock that was set back', () => {
    const lowered = lowerRate(FULL_RATE, CEILING, MINUTE, NOW);
    const hourBefore = NOW - 3_600_000;
    const now = sane(lowered, hourBefore);
    expect(now.pausedUntilMs).toBeLessThanOrEqual(hourBefore);
    expect(currentRate(now, CEILING, hourBefore + 25_000)).toBe(CEILING);
    expect(sane(lowered, NOW)).toEqual(lowered);
  });
});
