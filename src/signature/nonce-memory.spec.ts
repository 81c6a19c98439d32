import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NonceMemory } from './nonce-memory.js';

const TTL_MS = 600_000;
const FULL = 200_000;

/** A memory with nonces up to the brim, all of them good until TTL_MS. */
function aFullMemory(): NonceMemory {
  const memory = new NonceMemory();
  for (let index = 0; index < FULL; index += 1) memory.remember(`n${index}`, 0, TTL_MS);
  return memory;
}

describe('a nonce', () => {
  it('is good once', () => {
    const memory = new NonceMemory();
    expect(memory.remember('app:n1', 0, TTL_MS)).toBe(true);
    expect(memory.remember('app:n1', 1, TTL_MS)).toBe(false);
    expect(memory.remember('app:n2', 1, TTL_MS)).toBe(true);
    expect(memory.remember('other:n1', 1, TTL_MS)).toBe(true);
  });

  // At the last moment a time stamp is still in the window; the nonce was forgotten by then, and the request could be repeated.
  it('is remembered to the last moment of its window', () => {
    const memory = new NonceMemory();
    memory.remember('n1', 0, TTL_MS);
    expect(memory.remember('n1', TTL_MS, TTL_MS)).toBe(false);
    expect(memory.remember('n1', TTL_MS + 1, TTL_MS)).toBe(true);
  });

  it('that was refused does not live longer for it', () => {
    const memory = new NonceMemory();
    memory.remember('n1', 0, TTL_MS);
    memory.remember('n1', TTL_MS - 1, TTL_MS);
    expect(memory.remember('n1', TTL_MS + 1, TTL_MS)).toBe(true);
  });

  it('behind one that lives longer is good again after its own window', () => {
    const memory = new NonceMemory();
    memory.remember('long', 0, 10 * TTL_MS);
    memory.remember('short', 0, TTL_MS);
    expect(memory.remember('short', TTL_MS + 1, TTL_MS)).toBe(true);
    expect(memory.remember('short', TTL_MS + 2, TTL_MS)).toBe(false);
    expect(memory.remember('long', 10 * TTL_MS, TTL_MS)).toBe(false);
  });

  it('is told apart as by a memory that forgets nothing early and nothing late', () => {
    const step = fc.record({ nonce: fc.constantFrom('a', 'b', 'c'), waitMs: fc.nat(50), ttlMs: fc.nat(100) });
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const memory = new NonceMemory();
        const goodUntil = new Map<string, number>();
        let nowMs = 0;
        for (const { nonce, waitMs, ttlMs } of steps) {
          nowMs += waitMs;
          const isNew = nowMs > (goodUntil.get(nonce) ?? -1);
          if (isNew) goodUntil.set(nonce, nowMs + ttlMs);
          expect(memory.remember(nonce, nowMs, ttlMs)).toBe(isNew);
        }
      }),
    );
  });
});

describe('a full memory', () => {
  it('refuses new nonces rather than forget old ones, and has room again when they are over', () => {
    const memory = aFullMemory();
    expect(memory.remember('new', TTL_MS, TTL_MS)).toBe(false);
    expect(memory.remember('n0', TTL_MS, TTL_MS)).toBe(false);
    expect(memory.remember('new', TTL_MS + 1, TTL_MS)).toBe(true);
  });

  // One nonce of an app with a window of a day, first in the order, kept all the others from being forgotten for that day.
  it('is not kept full by one nonce that lives longer', () => {
    const memory = new NonceMemory();
    memory.remember('long', 0, 100 * TTL_MS);
    for (let index = 1; index < FULL; index += 1) memory.remember(`n${index}`, 0, TTL_MS);
    expect(memory.remember('new', TTL_MS, TTL_MS)).toBe(false);
    expect(memory.remember('new', TTL_MS + 1, TTL_MS)).toBe(true);
    expect(memory.remember('long', TTL_MS + 1, TTL_MS)).toBe(false);
  });
});
