import { describe, expect, it } from 'vitest';
import { currentTraceId, newTraceId, runWithTrace } from './trace.js';

describe('a trace id', () => {
  const ids = Array.from({ length: 20_000 }, newTraceId);

  it('is 12 letters and digits', () => {
    expect(ids.filter((id) => !/^[A-Za-z0-9]{12}$/.test(id))).toEqual([]);
  });

  it('is new each time', () => {
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('prefers no letter', () => {
    const counts = new Map<string, number>();
    for (const letter of ids.join('')) counts.set(letter, (counts.get(letter) ?? 0) + 1);
    const expected = (ids.length * 12) / 62;
    expect(counts.size).toBe(62);
    // Eight standard deviations; a byte taken modulo 62 without the rest thrown away gives the first eight letters 21 % more, thirteen.
    for (const count of counts.values()) expect(Math.abs(count - expected)).toBeLessThan(8 * Math.sqrt(expected));
  });
});

describe('the current trace', () => {
  it('is none outside of a request', () => {
    expect(currentTraceId()).toBeUndefined();
  });

  it('is the same across every await, and gone afterwards', async () => {
    const seen = await runWithTrace('A', async () => {
      const before = currentTraceId();
      await new Promise((resolve) => setImmediate(resolve));
      return [before, currentTraceId()];
    });
    expect(seen).toEqual(['A', 'A']);
    expect(currentTraceId()).toBeUndefined();
  });

  it('is each one’s own where two run at once', async () => {
    const run = (id: string) =>
      runWithTrace(id, async () => {
        for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
        return currentTraceId();
      });
    expect(await Promise.all([run('A'), run('B')])).toEqual(['A', 'B']);
  });

  it('inside another one is the inner one', () => {
    expect(runWithTrace('A', () => [runWithTrace('B', currentTraceId), currentTraceId()])).toEqual(['B', 'A']);
  });

  it('ends with an error, too, which passes through', () => {
    const broken = (): never =>
      runWithTrace('A', () => {
        throw new RangeError('broken');
      });
    expect(broken).toThrow(RangeError);
    expect(currentTraceId()).toBeUndefined();
  });
});
