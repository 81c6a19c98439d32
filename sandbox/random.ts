import { randomInt } from 'node:crypto';

/**
 * mulberry32: a 32-bit generator small enough to check by eye. It decides which calls a fault spoils, so that a run
 * can be repeated; it has no part in keys, nonces or signatures.
 *
 * @param seed any integer; only its low 32 bits count.
 * @returns a function that answers the next number, 0 <= n < 1.
 */
export function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const ALPHANUMERICS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/** For keys and nonces: not seeded. */
export function randomAlphanumerics(length: number): string {
  let text = '';
  for (let index = 0; index < length; index += 1) text += ALPHANUMERICS.charAt(randomInt(ALPHANUMERICS.length));
  return text;
}
