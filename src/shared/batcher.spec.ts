import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Batcher } from './batcher.js';

const tick = () => sleep(1);

describe('Batcher', () => {
  it('does together what came in together, and what came while a round was running', async () => {
    const rounds: number[][] = [];
    const batcher = new Batcher<number, number>(
      async (items) => {
        rounds.push([...items]);
        await tick();
        return items.map((item) => item * 10);
      },
      { maxBatch: 3, maxParallel: 1 },
      String,
    );
    const first = [1, 2].map((item) => batcher.submit(item));
    expect(rounds).toEqual([]);
    await nextTurn();
    expect(rounds).toEqual([[1, 2]]);
    const then = [3, 4, 5, 6].map((item) => batcher.submit(item));
    expect(await Promise.all([...first, ...then])).toEqual([10, 20, 30, 40, 50, 60]);
    expect(rounds).toEqual([[1, 2], [3, 4, 5], [6]]);
  });

  it('starts a round beside a running one only for as many as are worth it', async () => {
    const rounds: number[][] = [];
    const batcher = new Batcher<number, number>(
      async (items) => {
        rounds.push([...items]);
        await sleep(50);
        return [...items];
      },
      { maxBatch: 3, maxParallel: 2, worthwhile: 3 },
      String,
    );
    const results = [batcher.submit(1)];
    await nextTurn();
    results.push(batcher.submit(2), batcher.submit(3));
    await nextTurn();
    expect(rounds).toEqual([[1]]);
    results.push(batcher.submit(4));
    await nextTurn();
    expect(rounds).toEqual([[1], [2, 3, 4]]);
    expect(await Promise.all(results)).toEqual([1, 2, 3, 4]);
  });

  it('lets a round that is held up keep nobody waiting', async () => {
    let free: () => void = () => undefined;
    const lock = new Promise<void>((resolve) => (free = resolve));
    const batcher = new Batcher<number, number>(
      async (items) => {
        if (items.includes(1)) await lock;
        return [...items];
      },
      { maxBatch: 3, maxParallel: 2, worthwhile: 3 },
      String,
    );
    const blocked = batcher.submit(1);
    await nextTurn();
    expect(await batcher.submit(2)).toBe(2);
    expect(await batcher.submit(3)).toBe(3);
    free();
    expect(await blocked).toBe(1);
  });

  it('runs no more rounds at once than allowed', async () => {
    let running = 0;
    let most = 0;
    const batcher = new Batcher<number, number>(
      async (items) => {
        running += 1;
        most = Math.max(most, running);
        await tick();
        running -= 1;
        return items;
      },
      { maxBatch: 1, maxParallel: 2 },
      String,
    );
    await Promise.all([1, 2, 3, 4, 5, 6].map((item) => batcher.submit(item)));
    expect(most).toBe(2);
  });

  it('does each alone when together fails: one bad item spoils nobody', async () => {
    const batcher = new Batcher<number, number>(
      async (items) => {
        await tick();
        if (items.includes(3)) throw new Error('bad item');
        return items;
      },
      { maxBatch: 10, maxParallel: 1 },
      String,
    );
    const results = await Promise.allSettled([1, 2, 3, 4].map((item) => batcher.submit(item)));
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled']);
  });

  it('keeps two items with one key out of one round, and their order', async () => {
    const rounds: string[][] = [];
    const batcher = new Batcher<string, string>(
      async (items) => {
        rounds.push([...items]);
        await tick();
        return items;
      },
      { maxBatch: 10, maxParallel: 1 },
      (item) => item.slice(0, 1),
    );
    await Promise.all(['x', 'a1', 'b1', 'a2', 'c1', 'a3'].map((item) => batcher.submit(item)));
    expect(rounds).toEqual([['x', 'a1', 'b1', 'c1'], ['a2'], ['a3']]);
  });

  it('fails loudly when results are missing', async () => {
    const batcher = new Batcher<number, number>(() => Promise.resolve([]), { maxBatch: 1, maxParallel: 1 }, String);
    await expect(batcher.submit(1)).rejects.toThrow('1 items were asked for, 0 results came');
  });
});
