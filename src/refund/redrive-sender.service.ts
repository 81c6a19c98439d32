import { Inject, Injectable } from '@nestjs/common';
import { GatewayAccountService } from '../gateway/gateway-account.service.js';
import { GatewayCaller } from '../gateway/gateway.caller.js';
import type { RedriveTarget } from '../gateway/gateway.port.js';
import { CLOCK, type Clock } from '../shared/clock.js';
import { ApplyService, type Applied } from './apply.service.js';
import { gatewayAnswer } from './gateway-answer.js';
import type { Payment } from './payment.entity.js';
import { PolicyService } from './policy.service.js';
import { refundOrderOf } from './refund-order.js';
import type { Refund } from './refund.entity.js';

/** Has a gateway send an abnormal refund on its way again. */
@Injectable()
export class RedriveSender {
  constructor(
    private readonly accounts: GatewayAccountService,
    private readonly caller: GatewayCaller,
    private readonly applyService: ApplyService,
    private readonly policies: PolicyService,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /**
   * Under a lease that the caller holds, and which goes back with the commit of the answer.
   *
   * @param refund as the command left it: back in progress.
   */
  async send(
    refund: Refund,
    payment: Payment,
    gatewayAccountId: string,
    target: RedriveTarget,
    leaseToken: string,
  ): Promise<Applied> {
    const startedAt = this.clock.now();
    const account = await this.accounts.resolve(gatewayAccountId);
    const answer = await gatewayAnswer(
      this.caller.redrive(account, refundOrderOf(refund, payment), target),
      'redrive',
      refund.version,
    );
    return this.applyService.apply(refund.id, payment.id, answer.input, {
      source: 'operator',
      policy: this.policies.forAccount(account),
      startedAt,
      answer: answer.raw,
      leaseToken,
      releaseLease: true,
    });
  }
}
