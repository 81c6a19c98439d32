import { describe, expect, it } from 'vitest';
import { KeyLimit } from './key-limit.js';

/** Works that end when they are told to, and say when they begin. */
function works() {
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  const work = (name: string) => (): Promise<string> => {
    begun.push(name);
    return new Promise((resolve) => ends.set(name, () => resolve(name)));
  };
  return { begun, work, end: (name: string) => ends.get(name)?.() };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('KeyLimit', () => {
  it('runs so many of a key at once, the others first come first served, and keys beside each other', async () => {
    const limit = new KeyLimit(2);
    const { begun, work, end } = works();
    const runs = ['a1', 'a2', 'a3', 'a4', 'b1'].map((name) => limit.run(name.slice(0, 1), work(name)));
    await turn();
    expect(begun).toEqual(['a1', 'a2', 'b1']);
    end('a2');
    await turn();
    expect(begun).toEqual(['a1', 'a2', 'b1', 'a3']);
    for (const name of ['a1', 'a3', 'b1']) end(name);
    await turn();
    end('a4');
    expect(await Promise.all(runs)).toEqual(['a1', 'a2', 'a3', 'a4', 'b1']);
  });

  it('gives the place on when a work fails', async () => {
    const limit = new KeyLimit(1);
    const failing = limit.run('a', () => Promise.reject(new Error('no')));
    const next = limit.run('a', () => Promise.resolve('yes'));
    await expect(failing).rejects.toThrow('no');
    expect(await next).toBe('yes');
  });

  it('sends away who waits when it is closed, and lets end what runs', async () => {
    const limit = new KeyLimit(1);
    const { begun, work, end } = works();
    const runs = ['a1', 'a2'].map((name) => limit.run('a', work(name)));
    await turn();
    limit.close();
    expect(await runs[1]).toBeUndefined();
    end('a1');
    expect(await runs[0]).toBe('a1');
    expect(await limit.run('a', work('a3'))).toBeUndefined();
    expect(begun).toEqual(['a1']);
  });
});
