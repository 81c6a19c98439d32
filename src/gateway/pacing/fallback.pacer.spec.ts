import { describe, expect, it } from 'vitest';
import { FallbackPacer } from './fallback.pacer.js';
import { MemoryPacer } from './memory.pacer.js';
import type { Pacer } from './pacer.port.js';

const ACCOUNT = { id: 'shop', limits: { perSecond: 100, concurrency: 8 } };
const REQUEST = { held: 0, wanted: 50, outcomes: [], horizonMs: 1_000, holdMs: 10_000 };

describe('without Redis', () => {
  it('the pace is a quarter, said once, and whole again when Redis is back', async () => {
    let nowMs = 1_000;
    let away = false;
    const asked: number[] = [];
    const memory = new MemoryPacer(() => nowMs);
    const shared: Pacer = {
      exchange: async (account, request) => {
        asked.push(nowMs);
        if (away) throw new Error('Redis is away');
        return memory.exchange(account, request);
      },
      close: async () => undefined,
    };
    const said: [boolean, string][] = [];
    const pacer = new FallbackPacer(
      shared,
      new MemoryPacer(() => nowMs),
      (...change) => said.push(change),
      () => nowMs,
    );

    expect(await pacer.exchange(ACCOUNT, REQUEST)).toMatchObject({ granted: 8, perSecond: 100 });
    away = true;
    const alone = await Promise.all([pacer.exchange(ACCOUNT, REQUEST), pacer.exchange(ACCOUNT, REQUEST)]);
    expect(alone).toMatchObject([
      { granted: 2, perSecond: 25 },
      { granted: 2, perSecond: 25 },
    ]);
    expect(said).toEqual([[true, 'Error: Redis is away']]);
    nowMs += 999;
    await pacer.exchange(ACCOUNT, REQUEST);
    // Nobody waits for Redis meanwhile.
    expect(asked).toEqual([1_000, 1_000, 1_000]);
    nowMs += 1;
    await pacer.exchange(ACCOUNT, REQUEST);
    expect(asked).toHaveLength(4);
    away = false;
    nowMs += 1_000;
    expect(await pacer.exchange(ACCOUNT, REQUEST)).toMatchObject({ perSecond: 100 });
    expect(said).toEqual([
      [true, 'Error: Redis is away'],
      [false, ''],
    ]);
  });
});
