import { OBSERVATION_KINDS, type ObservationKind } from '../gateway/observation.js';
import { REFUND_STATUSES, type RefundStatus } from './refund-status.js';

/**
 * What a queried answer does to a refund, as data. `decide()` gives each cell its conditions; nothing else reads statuses.
 *
 * - succeed / fail: to the end, with repair
 * - stay: nothing changes but what is recorded
 * - countNotFound: perhaps replication delay, perhaps a create that never arrived
 * - fillIn: the same end; fill in number and time if missing
 * - lateFailure: an end that was not the end; only where the gateway declares that this happens
 * - reopen: the gateway works on it although we had given up
 * - review: a person must look
 */
export const CELLS = ['succeed', 'fail', 'stay', 'countNotFound', 'fillIn', 'lateFailure', 'reopen', 'review'] as const;
export type Cell = (typeof CELLS)[number];

export const QUERY_TABLE: Record<RefundStatus, Record<ObservationKind, Cell>> = {
  progress: { success: 'succeed', failed: 'fail', processing: 'stay', notFound: 'countNotFound', abnormal: 'review' },
  success: { success: 'fillIn', failed: 'lateFailure', processing: 'stay', notFound: 'review', abnormal: 'review' },
  fail: { success: 'review', failed: 'stay', processing: 'reopen', notFound: 'stay', abnormal: 'review' },
  close: { success: 'review', failed: 'stay', processing: 'reopen', notFound: 'stay', abnormal: 'review' },
  review: { success: 'stay', failed: 'stay', processing: 'stay', notFound: 'stay', abnormal: 'stay' },
};

/**
 * A callback decides only from `progress`, and only to success or fail: reordered events would otherwise undo newer truth.
 * Everywhere else it is a hint to ask now.
 */
export type CallbackCell = 'succeed' | 'fail' | 'askNow';

export function callbackCell(status: RefundStatus, kind: ObservationKind): CallbackCell {
  if (status !== 'progress') return 'askNow';
  if (kind === 'success') return 'succeed';
  return kind === 'failed' ? 'fail' : 'askNow';
}

/** Checked when the service starts: a status or observation that somebody adds must find its cell. */
export function assertTableIsTotal(table: Record<string, Record<string, string>> = QUERY_TABLE): void {
  for (const status of REFUND_STATUSES) {
    for (const kind of OBSERVATION_KINDS) {
      const cell = table[status]?.[kind];
      if (!CELLS.some((known) => known === cell))
        throw new Error(`the transition table has no cell for ${status} × ${kind}`);
    }
  }
}
