import { Injectable } from '@nestjs/common';
import { CallbackStore } from '../callback/callback.store.js';
import { notificationFacts } from '../notification/notification-view.js';
import { RefundQueryService } from '../refund/refund-query.service.js';
import { AuditService } from './audit.service.js';

export interface TimelineEntry {
  type: 'sync' | 'command' | 'callback' | 'repair' | 'notification' | 'audit';
  at: Date;
  /** The record itself. */
  entry: object;
}

const TIMELINE_LIMIT = 500;

/** All records of one refund, in the order of time. */
@Injectable()
export class RefundRecords {
  constructor(
    private readonly refunds: RefundQueryService,
    private readonly callbacks: CallbackStore,
    private readonly audit: AuditService,
  ) {}

  async timeline(refundId: string): Promise<TimelineEntry[]> {
    const { syncs, repairs, notifications } = await this.refunds.history(refundId);
    const callbacks = await this.callbacks.ofRefund(refundId, TIMELINE_LIMIT);
    const audits = await this.audit.ofTarget('refund', refundId, TIMELINE_LIMIT);
    const entries: (TimelineEntry & { id: string })[] = [
      ...audits.map((entry) => ({ type: 'audit' as const, at: entry.createdAt, entry, id: entry.id })),
      ...callbacks.map((entry) => ({ type: 'callback' as const, at: entry.receivedAt, entry, id: entry.id })),
      ...syncs.map((entry) => ({
        type: entry.operation === 'command' ? ('command' as const) : ('sync' as const),
        at: entry.finishedAt,
        entry,
        id: entry.id,
      })),
      ...repairs.map((entry) => ({ type: 'repair' as const, at: entry.createdAt, entry, id: entry.id })),
      ...notifications.map((entry) => ({
        type: 'notification' as const,
        at: entry.createdAt,
        entry: notificationFacts(entry),
        id: entry.id,
      })),
    ];
    // Ids grow with time, so they settle what happened in the same millisecond.
    entries.sort((a, b) => a.at.getTime() - b.at.getTime() || (a.id < b.id ? -1 : 1));
    return entries.map(({ type, at, entry }) => ({ type, at, entry }));
  }
}
