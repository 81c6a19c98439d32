import { describe, expect, it } from 'vitest';
import { IdGenerator, isId } from './ids.js';

describe('IdGenerator', () => {
  it('makes 19 digits today and at the ends of the promised range', () => {
    for (const day of ['2018-06-01', '2026-11-22', '2080-01-01']) {
      const id = new IdGenerator({ now: () => new Date(day) }, 1023).next();
      expect(id).toMatch(/^\d{19}$/);
      expect(isId(id)).toBe(true);
    }
  });

  it('never repeats and always grows, with a standing clock and one that goes backwards', () => {
    let nowMs = Date.parse('2026-11-22T00:00:00Z');
    const ids = new IdGenerator({ now: () => new Date(nowMs) }, 7);
    let last = 0n;
    for (let i = 0; i < 20_000; i += 1) {
      if (i === 10_000) nowMs -= 60_000;
      const id = BigInt(ids.next());
      expect(id > last).toBe(true);
      last = id;
    }
  });

  it('keeps two nodes apart', () => {
    const now = () => new Date('2026-11-22T00:00:00Z');
    expect(new IdGenerator({ now }, 1).next()).not.toBe(new IdGenerator({ now }, 2).next());
  });
});
