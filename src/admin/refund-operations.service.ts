import { Inject, Injectable } from '@nestjs/common';
import type { PaymentFacts } from '../refund/payment.service.js';
import { RefundQueryService } from '../refund/refund-query.service.js';
import type { RegisterRefund } from '../refund/register.service.js';
import type { Payment } from '../refund/payment.entity.js';
import type { Refund } from '../refund/refund.entity.js';
import { CLOCK, type Clock } from '../shared/clock.js';
import { DomainError, NotFoundError } from '../shared/errors.js';
import type { SyncRecord } from '../refund/sync-record.entity.js';
import { SyncRequestService } from '../sync/sync-request.service.js';
import { RefundIntake } from './refund-intake.service.js';
import { assertPlausibleTimes } from './plausible-times.js';
import { viewOf, type RefundView } from './refund-view.js';
import { RefundRecords, type TimelineEntry } from './refund-records.service.js';

export type RefundDetail = RefundView & { payment: Payment; timeline: TimelineEntry[] };

export interface SyncView {
  state: 'done' | 'goesOn';
  refund: RefundView;
  records: SyncRecord[];
}

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
    assertPlausibleTimes(command, this.clock.now());
    const { refund, payment, created } = await this.intake.refund(appId, command, actor);
    return { view: { ...viewOf(refund), payment }, created };
  }

  async detail(id: string): Promise<RefundDetail> {
    const refund = await this.find(id);
    const payment = await this.refunds.payment(refund.paymentId);
    return { ...viewOf(refund), payment, timeline: await this.records.timeline(refund.id) };
  }

  async sync(id: string, actor: string): Promise<SyncView> {
    const refund = await this.find(id);
    if (refund.gatewayAccountId === null)
      throw new DomainError('instantChannel', `${refund.channel} settles at once, there is nothing to sync`);
    await this.intake.recordSync(refund.id, actor);
    const outcome = await this.syncs.request(refund, 'operator');
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

  private async find(id: string): Promise<Refund> {
    const refund = /^\d{1,19}$/.test(id) ? await this.refunds.find(id) : null;
    if (!refund) throw new NotFoundError(`no refund ${id.slice(0, 32)}`);
    return refund;
  }
}
