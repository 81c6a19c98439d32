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

  it('is the snowflake digit for digit, also where the last digits carry over', () => {
    const snowflake = (ms: number, node: number, sequence: number) =>
      String(((BigInt(ms) - 1_288_834_974_657n) << 22n) | (BigInt(node) << 12n) | BigInt(sequence));
    const carriesAt = (ms: number) => BigInt(snowflake(ms, 777, 0)) % 10n ** 9n > 10n ** 9n - 4_096n;
    let ms = Date.parse('2026-11-22T00:00:00Z');
    while (!carriesAt(ms)) ms += 1;
    const ids = new IdGenerator({ now: () => new Date(ms) }, 777);
    for (let sequence = 0; sequence < 4_096; sequence += 1) expect(ids.next()).toBe(snowflake(ms, 777, sequence));
  });

  it('keeps two nodes apart', () => {
    const now = () => new Date('2026-11-22T00:00:00Z');
    expect(new IdGenerator({ now }, 1).next()).not.toBe(new IdGenerator({ now }, 2).next());
  });
});
