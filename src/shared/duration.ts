import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from './clock.js';

const UNITS_MS: Record<string, number> = { s: SECOND_MS, m: MINUTE_MS, h: HOUR_MS, d: DAY_MS };

/** `30s`, `5m`, `24h`, `30d` to milliseconds; undefined when the text is no such duration, or none at all. */
export function durationMs(text: string): number | undefined {
  const match = /^(\d{1,6})([smhd])$/.exec(text);
  const unitMs = match?.[2] === undefined ? undefined : UNITS_MS[match[2]];
  const count = Number(match?.[1]);
  return unitMs === undefined || count === 0 ? undefined : count * unitMs;
}
