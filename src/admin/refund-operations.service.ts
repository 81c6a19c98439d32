import { Inject, Injectable } from '@nestjs/common';
import type { PaymentFacts } from '../refund/payment.service.js';
import { RefundQueryService } from '../refund/refund-query.service.js';
import type { RegisterRefund } from '../refund/register.service.js';
import type { Payment } from '../refund/payment.entity.js';
import type { Refund } from '../refund/refund.entity.js';
import { CLOCK, type Clock } from '../shared/clock.js';
import { DomainError, invalidField, NotFoundError } from '../shared/errors.js';
import { durationMs } from '../shared/duration.js';
import type { SyncRecord } from '../refund/sync-record.entity.js';
import { SyncRequestService } from '../sync/sync-request.service.js';
import type { ListRefundsDto } from './admin.dto.js';
import { RefundIntake } from './refund-intake.service.js';
import { RefundRecords, type TimelineEntry } from './refund-records.service.js';

/** A refund as operators read it: everything but the lease token and the stored request. */
export type RefundView = Omit<Refund, 'leaseToken' | 'createPayload' | 'leaseUntil'> & { payment?: Payment };

export type RefundDetail = RefundView & { payment: Payment; timeline: TimelineEntry[] };

export interface SyncView {
  state: 'done' | 'goesOn';
  refund: RefundView;
  records: SyncRecord[];
}

const DEFAULT_PAGE = 50;
/** Clocks of merchants run ahead a little. */
const MAX_AHEAD_MS = 300_000;
/** Older than any gateway: seconds and years mixed up. Databases do not agree on such times either. */
const EARLIEST = new Date('2000-01-01T00:00:00Z');

/** What operators do with refunds. */
@Injectable()
export class RefundOperations {
  constructor(
    private readonly intake: RefundIntake,
    private readonly refunds: RefundQueryService,
    private readonly syncs: SyncRequestService,
    private readonly records: RefundRecords,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  registerPayment(appId: string, facts: PaymentFacts, actor: string): Promise<{ view: Payment; created: boolean }> {
    return this.intake.payment(appId, facts, actor);
  }

  async registerRefund(
    appId: string,
    command: RegisterRefund,
    actor: string,
  ): Promise<{ view: RefundView; created: boolean }> {
    for (const field of ['createdAt', 'gatewayRequestTime'] as const) {
      const time = command[field];
      if (time === undefined) continue;
      if (time.getTime() > this.clock.now().getTime() + MAX_AHEAD_MS) throw invalidField(field, 'is in the future');
      if (time < EARLIEST) throw invalidField(field, `is before ${EARLIEST.toISOString()}`);
    }
    const { refund, payment, created } = await this.intake.refund(appId, command, actor);
    return { view: { ...viewOf(refund), payment }, created };
  }

  async list(query: ListRefundsDto): Promise<{ items: RefundView[]; nextCursor: string | null }> {
    const limit = query.limit ?? DEFAULT_PAGE;
    const { status, channel, appId, from, to, cursor, stuckFor } = query;
    const stuckSince = stuckFor === undefined ? undefined : this.before(stuckFor);
    const refunds = await this.refunds.list({ status, channel, appId, from, to, stuckSince, afterId: cursor, limit });
    return { items: refunds.map(viewOf), nextCursor: refunds.length === limit ? (refunds.at(-1)?.id ?? null) : null };
  }

  async detail(id: string): Promise<RefundDetail> {
    const refund = await this.find(id);
    const payment = await this.refunds.payment(refund.paymentId);
    return { ...viewOf(refund), payment, timeline: await this.records.timeline(refund.id) };
  }

  async sync(id: string): Promise<SyncView> {
    const refund = await this.find(id);
    if (refund.gatewayAccountId === null)
      throw new DomainError('instantChannel', `${refund.channel} settles at once, there is nothing to sync`);
    const outcome = await this.syncs.request(refund.id, 'operator');
    switch (outcome.state) {
      case 'running':
        throw new DomainError('syncRunning', 'a sync of this refund is running');
      case 'queueAway':
        throw new DomainError('failed', 'the sync queue is away; the refund will be synced later by itself');
      case 'broken':
        throw new DomainError('internal', 'the service could not finish the sync');
      case 'goesOn':
        return { state: 'goesOn', refund: viewOf(refund), records: [] };
      case 'done':
        return { state: 'done', refund: viewOf(outcome.refund), records: outcome.records };
    }
  }

  private before(duration: string): Date {
    const ms = durationMs(duration);
    if (ms === undefined) throw invalidField('stuckFor', 'must be longer than 0');
    return new Date(Math.max(EARLIEST.getTime(), this.clock.now().getTime() - ms));
  }

  private async find(id: string): Promise<Refund> {
    const refund = /^\d{1,19}$/.test(id) ? await this.refunds.find(id) : null;
    if (!refund) throw new NotFoundError(`no refund ${id.slice(0, 32)}`);
    return refund;
  }
}

function viewOf(refund: Refund): RefundView {
  const { leaseToken: _token, leaseUntil: _until, createPayload: _payload, ...view } = refund;
  return view;
}
