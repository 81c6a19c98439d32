/** Values as drivers hand them over for statements that TypeORM knows nothing of. */

/** MySQL hands over a Date, SQLite the text as TypeORM wrote it: `2026-01-31 08:00:00.123`, in UTC. @returns null for what is no time. */
export function rawTime(value: unknown): Date | null {
  const time =
    value instanceof Date ? value : typeof value === 'string' ? new Date(`${value.replace(' ', 'T')}Z`) : undefined;
  return time === undefined || Number.isNaN(time.getTime()) ? null : time;
}
