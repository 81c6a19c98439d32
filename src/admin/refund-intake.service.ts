import { Injectable } from '@nestjs/common';
import type { Payment } from '../refund/payment.entity.js';
import { PaymentService, type PaymentFacts } from '../refund/payment.service.js';
import { RegisterService, type Registered, type RegisterRefund } from '../refund/register.service.js';
import { OutboundPolicy } from '../shared/outbound/outbound-policy.js';
import { AuditService } from './audit.service.js';

/** Registrations, with their entry in the audit. */
@Injectable()
export class RefundIntake {
  constructor(
    private readonly payments: PaymentService,
    private readonly registrations: RegisterService,
    private readonly audit: AuditService,
    private readonly outbound: OutboundPolicy,
  ) {}

  async payment(appId: string, facts: PaymentFacts, actor: string): Promise<{ view: Payment; created: boolean }> {
    const { payment, created } = await this.payments.register(appId, facts);
    if (created)
      await this.audit.record({
        actor,
        action: 'payment.register',
        targetType: 'payment',
        targetId: payment.id,
        after: { ...payment },
      });
    return { view: payment, created };
  }

  async refund(appId: string, command: RegisterRefund, actor: string): Promise<Registered> {
    this.outbound.check('notifyUrl', command.notifyUrl);
    const registered = await this.registrations.register(appId, command);
    if (registered.created) {
      const { id, refundNo, amount, currency, channel } = registered.refund;
      await this.audit.record({
        actor,
        action: 'refund.register',
        targetType: 'refund',
        targetId: id,
        after: { refundNo, amount, currency, channel },
      });
    }
    return registered;
  }
}
