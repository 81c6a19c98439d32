import { describe, expect, it } from 'vitest';
import { durationMs } from './duration.js';

describe('a duration', () => {
  it.each([
    ['1s', 1_000],
    ['30s', 30_000],
    ['5m', 300_000],
    ['24h', 86_400_000],
    ['30d', 2_592_000_000],
    ['007d', 604_800_000],
    ['999999d', 86_399_913_600_000],
  ])('%s is %i ms', (text, ms) => {
    expect(durationMs(text)).toBe(ms);
  });

  it.each([
    '',
    '0s',
    '000d',
    '5',
    'm',
    '-5m',
    '+5m',
    '1.5h',
    '5 m',
    ' 5m',
    '5m ',
    '5m\n',
    '5M',
    '5min',
    '5ms',
    '1h30m',
    '1e3s',
    '1000000d',
    '٥m',
  ])('%j is none', (text) => {
    expect(durationMs(text)).toBeUndefined();
  });
});
