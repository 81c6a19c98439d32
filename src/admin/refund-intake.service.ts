import { Injectable } from '@nestjs/common';
import type { DomainError } from '../shared/errors.js';
import type { Payment } from '../refund/payment.entity.js';
import { PaymentService, type PaymentFacts } from '../refund/payment.service.js';
import { RegisterService, type Registered, type RegisterRefund } from '../refund/register.service.js';
import { OutboundPolicy } from '../shared/outbound/outbound-policy.js';
import { AuditService } from './audit.service.js';

/** What comes in from operators, with its entry in the audit. */
@Injectable()
export class RefundIntake {
  constructor(
    private readonly payments: PaymentService,
    private readonly registrations: RegisterService,
    private readonly audit: AuditService,
    private readonly outbound: OutboundPolicy,
  ) {}

  async payment(appId: string, facts: PaymentFacts, actor: string): Promise<{ view: Payment; created: boolean }> {
    const { payment, created } = await this.payments.register(appId, facts, async ({ payment, created }) => {
      if (!created) return;
      await this.audit.record({
        actor,
        action: 'payment.register',
        targetType: 'payment',
        targetId: payment.id,
        after: { ...payment },
      });
    });
    return { view: payment, created };
  }

  async refund(appId: string, command: RegisterRefund, actor: string): Promise<Registered> {
    this.outbound.check('notifyUrl', command.notifyUrl);
    return this.registrations.register(appId, command, (registered) => this.recordRefund(registered, actor));
  }

  /** @returns in the order of `commands`, what was registered or why not. */
  refunds(
    commands: readonly { appId: string; command: RegisterRefund }[],
    options: { dryRun: boolean },
    actor: string,
  ): Promise<(Registered | DomainError)[]> {
    return this.registrations.registerAll(commands, options, (registered) => this.recordRefund(registered, actor));
  }

  /** Who asked for a look at a refund; what came of it is in its sync record. */
  recordSync(refundId: string, actor: string): Promise<void> {
    return this.audit.record({ actor, action: 'refund.sync', targetType: 'refund', targetId: refundId });
  }

  private async recordRefund({ refund, created }: Registered, actor: string): Promise<void> {
    if (!created) return;
    const { id, refundNo, amount, currency, channel } = refund;
    await this.audit.record({
      actor,
      action: 'refund.register',
      targetType: 'refund',
      targetId: id,
      after: { refundNo, amount, currency, channel },
    });
  }
}
