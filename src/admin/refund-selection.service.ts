import { Inject, Injectable } from '@nestjs/common';
import { RefundListService } from '../refund/refund-list.service.js';
import type { Refund } from '../refund/refund.entity.js';
import type { RefundStatus } from '../refund/refund-status.js';
import { CLOCK, SECOND_MS, type Clock } from '../shared/clock.js';
import { durationMs } from '../shared/duration.js';
import { invalidField } from '../shared/errors.js';
import { SyncRequestService, type SyncOutcome } from '../sync/sync-request.service.js';
import { DEFAULT_BATCH, type ListRefundsDto, type SyncRefundsDto } from './admin.dto.js';
import { AuditService } from './audit.service.js';
import { DEFAULT_PAGE, pageOf, type Page } from './page.js';
import { EARLIEST } from './plausible-times.js';
import { viewOf, type RefundView } from './refund-view.js';

/** `settlesAtOnce` and `notStarted`: the gateway was not asked. The others are those of a single sync. */
export const BATCH_OUTCOMES = [
  'done',
  'running',
  'goesOn',
  'queueAway',
  'broken',
  'settlesAtOnce',
  'notStarted',
] as const satisfies readonly (SyncOutcome['state'] | 'settlesAtOnce' | 'notStarted')[];
export type BatchOutcome = (typeof BATCH_OUTCOMES)[number];

export interface BatchItem {
  id: string;
  refundNo: string;
  outcome: BatchOutcome;
  statusBefore: RefundStatus;
  /** As far as it is known when the answer is sent. */
  statusAfter: RefundStatus;
}

/** The answer must be out before the time limit of requests; what was not begun until then is for the next call. */
const BATCH_MS = 15 * SECOND_MS;
/** Asked at the same time by one batch: merchants must not wait behind it. */
const BATCH_CONCURRENCY = 16;

/** Refunds chosen by filter: listed, or synced together. */
@Injectable()
export class RefundSelection {
  constructor(
    private readonly lists: RefundListService,
    private readonly syncs: SyncRequestService,
    private readonly audit: AuditService,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  async list(query: ListRefundsDto): Promise<Page<RefundView>> {
    const limit = query.limit ?? DEFAULT_PAGE;
    return pageOf(await this.matching(query, limit), limit, viewOf);
  }

  /**
   * Asks the gateway about each refund that matches, at most `limit` of them, and reports each. Those that are not begun in time come
   * again with `nextCursor`.
   */
  async sync(filter: SyncRefundsDto, actor: string): Promise<Page<BatchItem>> {
    const limit = filter.limit ?? DEFAULT_BATCH;
    // Without a word on it, those that hang: the others have their end.
    const status = filter.status ?? (filter.stuckFor === undefined ? 'progress' : undefined);
    const chosen = await this.matching({ ...filter, status }, limit);
    const { items: refunds, nextCursor } = pageOf(chosen, limit, (refund) => refund);
    const { cursor: _cursor, limit: _limit, ...criteria } = filter;
    await this.audit.record({
      actor,
      action: 'refunds.sync',
      targetType: 'refunds',
      targetId: 'filter',
      after: { filter: { ...criteria, status }, refunds: refunds.length },
    });
    const until = performance.now() + BATCH_MS;
    const items: BatchItem[] = [];
    const waiting = refunds.map((refund, index) => ({ refund, index }));
    const work = async (): Promise<void> => {
      for (let next = waiting.shift(); next; next = waiting.shift()) {
        items[next.index] = await this.syncOne(next.refund, performance.now() < until);
      }
    };
    await Promise.all(Array.from({ length: BATCH_CONCURRENCY }, work));
    const firstLeft = items.findIndex(({ outcome }) => outcome === 'notStarted');
    return { items, nextCursor: firstLeft === -1 ? nextCursor : (items[firstLeft - 1]?.id ?? filter.cursor ?? null) };
  }

  private async syncOne(refund: Refund, inTime: boolean): Promise<BatchItem> {
    const { id, refundNo, status } = refund;
    const item = { id, refundNo, statusBefore: status, statusAfter: status };
    if (refund.gatewayAccountId === null) return { ...item, outcome: 'settlesAtOnce' };
    if (!inTime) return { ...item, outcome: 'notStarted' };
    const outcome = await this.syncs.request(refund, 'operator');
    const statusAfter = outcome.state === 'done' ? outcome.refund.status : status;
    return { ...item, outcome: outcome.state, statusAfter };
  }

  private matching({ stuckFor, ...filter }: ListRefundsDto, limit: number): Promise<Refund[]> {
    const stuckSince = stuckFor === undefined ? undefined : this.before(stuckFor);
    return this.lists.refunds({ ...filter, stuckSince, limit });
  }

  private before(duration: string): Date {
    const ms = durationMs(duration);
    if (ms === undefined) throw invalidField('stuckFor', 'must be longer than 0');
    return new Date(Math.max(EARLIEST.getTime(), this.clock.now().getTime() - ms));
  }
}
