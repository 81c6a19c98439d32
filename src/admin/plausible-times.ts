import type { RegisterRefund } from '../refund/register.service.js';
import { invalidField } from '../shared/errors.js';

/** Clocks of merchants run ahead a little. */
const MAX_AHEAD_MS = 300_000;
/** Older than any gateway: seconds and years mixed up. Databases do not agree on such times either. */
export const EARLIEST = new Date('2000-01-01T00:00:00Z');

/** @throws DomainError naming the time that cannot be. */
export function assertPlausibleTimes(
  command: Pick<RegisterRefund, 'createdAt' | 'gatewayRequestTime'>,
  now: Date,
): void {
  for (const field of ['createdAt', 'gatewayRequestTime'] as const) {
    const time = command[field];
    if (time === undefined) continue;
    if (time.getTime() > now.getTime() + MAX_AHEAD_MS) throw invalidField(field, 'is in the future');
    if (time < EARLIEST) throw invalidField(field, `is before ${EARLIEST.toISOString()}`);
  }
}
