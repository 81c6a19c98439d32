import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import type { Observation } from '../gateway/observation.js';
import { ApplyService } from './apply.service.js';
import { Payment } from './payment.entity.js';
import { PolicyService } from './policy.service.js';
import type { Refund } from './refund.entity.js';
import type { SyncSource } from './sync-record.entity.js';

/** Cash and wallet refunds are over when they are made: no gateway, but the same decide and apply as everything else. */
@Injectable()
export class InstantSettlement {
  constructor(
    private readonly applyService: ApplyService,
    private readonly policies: PolicyService,
  ) {}

  async settle(
    manager: EntityManager,
    refund: Refund,
    payment: Payment,
    source: SyncSource,
  ): Promise<{ refund: Refund; payment: Payment }> {
    const observation: Observation = {
      kind: 'success',
      authenticated: true,
      amountMinor: refund.amount,
      currency: refund.currency,
      gatewayRefundNo: null,
      finishedAt: refund.registeredAt,
      identity: {},
      raw: { code: 'SETTLED_AT_ONCE', message: `${refund.channel} settles at once`, body: {} },
    };
    const applied = await this.applyService.applyWithin(manager, {
      refundId: refund.id,
      paymentId: payment.id,
      input: { kind: 'observation', via: 'create', observation, askedAtVersion: refund.version },
      context: {
        source,
        policy: this.policies.forInstantChannel(),
        startedAt: refund.registeredAt,
        answer: observation.raw,
      },
    });
    return { refund: applied.refund, payment: await manager.findOneByOrFail(Payment, { id: payment.id }) };
  }
}
