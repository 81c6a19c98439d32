import { Inject, Injectable } from '@nestjs/common';
import { Db } from '../database/db.js';
import { GatewayCaller } from '../gateway/gateway.caller.js';
import type { ResolvedAccount } from '../gateway/gateway-account.service.js';
import { CLOCK, type Clock } from '../shared/clock.js';
import { ApplyService, type Applied } from './apply.service.js';
import { gatewayAnswer } from './gateway-answer.js';
import type { Payment } from './payment.entity.js';
import { PolicyService } from './policy.service.js';
import { refundOrderOf } from './refund-order.js';
import { Refund } from './refund.entity.js';
import type { SyncSource } from './sync-record.entity.js';

/** Sends creates: the first one, and repeats of the very same payload where the gateway's rule allows them. */
@Injectable()
export class CreateSender {
  constructor(
    private readonly db: Db,
    private readonly caller: GatewayCaller,
    private readonly applyService: ApplyService,
    private readonly policies: PolicyService,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /** Sends the stored payload under a lease that the caller holds, and applies what comes back. */
  async send(
    refund: Refund,
    payment: Payment,
    account: ResolvedAccount,
    context: { source: SyncSource; leaseToken: string },
  ): Promise<Applied> {
    if (refund.createPayload === null) throw new Error(`refund ${refund.id} has no stored create to send`);
    const startedAt = this.clock.now();
    const answer = await gatewayAnswer(
      this.caller.create(account, refundOrderOf(refund, payment), refund.createPayload),
      'create',
      refund.version,
    );
    return this.applyService.apply(refund.id, payment.id, answer.input, {
      ...context,
      policy: this.policies.forAccount(account),
      startedAt,
      answer: answer.raw,
      releaseLease: true,
    });
  }

  /**
   * Writes down that a repeat is about to be sent, before it is: a crash after this leaves the outcome unknown, never unsuspected.
   *
   * @returns false when the lease was lost; then nothing may be sent.
   */
  async announceRepeat(refund: Refund, leaseToken: string): Promise<boolean> {
    const now = this.clock.now();
    const set = { createState: 'inFlight' as const, createAttempts: refund.createAttempts + 1, lastCreateAt: now };
    const written = await this.db.read((manager) =>
      manager.update(Refund, { id: refund.id, leaseToken, version: refund.version }, set),
    );
    if (written.affected !== 1) return false;
    Object.assign(refund, set);
    return true;
  }
}
