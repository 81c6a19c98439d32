import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { burstOf, takeSlots, type SlotRequest } from './token-bucket.js';

const HORIZON_MS = 100;

/** Takes slots one request after the other. @returns the times at which calls may begin, in order. */
function slotsOf(perSecond: number, requests: readonly SlotRequest[]): number[] {
  let nextAtMs = 0;
  const times: number[] = [];
  for (const request of requests) {
    const slots = takeSlots(nextAtMs, perSecond, request);
    nextAtMs = slots.nextAtMs;
    for (let index = 0; index < slots.count; index += 1)
      times.push(Math.max(request.nowMs, slots.firstAtMs + index * slots.spacingMs));
  }
  return times;
}

/** By how much the fullest of all windows exceeds `perSecond * t`; the best place for a window to begin is kept on the way. */
function worstExcess(times: readonly number[], perSecond: number): number {
  let lowest = Infinity;
  let worst = 0;
  for (const [index, atMs] of times.entries()) {
    const ahead = index - (perSecond * (atMs - (times[0] ?? 0))) / 1_000;
    lowest = Math.min(lowest, ahead);
    worst = Math.max(worst, ahead - lowest + 1);
  }
  return worst;
}

/** Requests at moments that never go back. */
const requests = fc
  .array(
    fc.record({
      waitMs: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 50, noNaN: true }), fc.integer({ min: 0, max: 3_000 })),
      wanted: fc.integer({ min: 1, max: 200 }),
      horizonMs: fc.constantFrom(0, HORIZON_MS, 150, 2_000),
    }),
    { minLength: 1, maxLength: 60 },
  )
  .map((steps) => {
    let nowMs = 1_000_000;
    return steps.map(({ waitMs, wanted, horizonMs }): SlotRequest => {
      nowMs += waitMs;
      return { nowMs, wanted, horizonMs };
    });
  });
const rates = fc.oneof(fc.double({ min: 0.05, max: 50, noNaN: true }), fc.integer({ min: 51, max: 5_000 }));

describe('a bucket', () => {
  it('never gives more than rate times t plus burst in any window, whoever asks when', () => {
    fc.assert(
      fc.property(rates, requests, (perSecond, asked) => {
        expect(worstExcess(slotsOf(perSecond, asked), perSecond)).toBeLessThanOrEqual(burstOf(perSecond) + 1e-2);
      }),
    );
  });

  it('gives slots in order and none beyond the horizon', () => {
    fc.assert(
      fc.property(rates, requests, (perSecond, asked) => {
        let nextAtMs = 0;
        let lastMs = 0;
        for (const request of asked) {
          const slots = takeSlots(nextAtMs, perSecond, request);
          nextAtMs = slots.nextAtMs;
          expect(slots.count).toBeLessThanOrEqual(request.wanted);
          if (slots.count === 0) continue;
          const firstMs = Math.max(request.nowMs, slots.firstAtMs);
          const atLastMs = Math.max(request.nowMs, slots.firstAtMs + (slots.count - 1) * slots.spacingMs);
          expect(firstMs).toBeGreaterThanOrEqual(lastMs - 1e-6);
          expect(atLastMs).toBeLessThanOrEqual(request.nowMs + request.horizonMs + 1e-6);
          lastMs = atLastMs;
        }
      }),
    );
  });

  it('keeps a gateway busy: whoever always wants more gets the whole rate', () => {
    const perSecond = 97;
    const asked = Array.from({ length: 400 }, (_, index) => ({ nowMs: index * 25, wanted: 3, horizonMs: HORIZON_MS }));
    const times = slotsOf(perSecond, asked).filter((atMs) => atMs < 10_000);
    expect(times.length).toBeGreaterThanOrEqual(969);
    expect(times.length).toBeLessThanOrEqual(970 + burstOf(perSecond));
  });

  it('saves up no more than its burst while nobody calls', () => {
    const perSecond = 500;
    expect(burstOf(perSecond)).toBe(10);
    expect(takeSlots(0, perSecond, { nowMs: 86_400_000, wanted: 100, horizonMs: 0 }).count).toBe(10);
    expect(burstOf(0.1)).toBe(1);
  });
});
