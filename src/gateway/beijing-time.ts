/** Chinese gateways write times in GMT+8 and do not say so (gateways.md §0.3). China has no summer time. */

const BEIJING_OFFSET_MS = 8 * 3_600_000;

/** `yyyy-MM-dd HH:mm:ss` in GMT+8, wherever this runs. */
export function beijingTime(at: Date): string {
  return new Date(at.getTime() + BEIJING_OFFSET_MS).toISOString().slice(0, 19).replace('T', ' ');
}

/** The same as 14 digits, `yyyyMMddHHmmss`. */
export function beijingDigits(at: Date): string {
  return beijingTime(at).replace(/\D/g, '');
}

/** `yyyy-MM-dd HH:mm:ss`, with or without milliseconds. @returns null for everything else, a day that the calendar does not have included. */
export function parseBeijingTime(text: string | null): Date | null {
  const [, day, time, milliseconds = '.000'] = /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(\.\d{3})?$/.exec(text ?? '') ?? [];
  if (day === undefined || time === undefined) return null;
  const beijing = `${day}T${time}${milliseconds}`;
  const at = new Date(`${beijing}+08:00`);
  // A day that the calendar does not have would be moved to another one.
  const isReal = !Number.isNaN(at.getTime()) && new Date(`${beijing}Z`).toISOString() === `${beijing}Z`;
  return isReal ? at : null;
}

/** 14 digits, `yyyyMMddHHmmss`. */
export function parseBeijingDigits(text: string | null): Date | null {
  const [, ...parts] = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)$/.exec(text ?? '') ?? [];
  if (parts.length === 0) return null;
  return parseBeijingTime(`${parts.slice(0, 3).join('-')} ${parts.slice(3).join(':')}`);
}
