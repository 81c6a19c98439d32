import { describe, expect, it } from 'vitest';
import { LADDER_MS, pauseAfter } from './ladder.js';

describe('the ladder', () => {
  it('is that of the reference system', () => {
    const text = '0 15s 15s 30s 3m 10m 20m 30m 30m 30m 60m 3h 3h 3h 6h 6h';
    const units: Record<string, number> = { s: 1_000, m: 60_000, h: 3_600_000 };
    expect(LADDER_MS).toEqual(
      text.split(' ').map((step) => Number.parseInt(step, 10) * (units[step.replace(/\d/g, '')] ?? 0)),
    );
  });

  it('ends after sixteen attempts', () => {
    expect([pauseAfter(1), pauseAfter(15), pauseAfter(16)]).toEqual([15_000, 21_600_000, undefined]);
  });
});
