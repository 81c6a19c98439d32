import { Injectable } from '@nestjs/common';
import { Db } from '../database/db.js';
import { GatewayAccountService, UnusableAccount, type ResolvedAccount } from '../gateway/gateway-account.service.js';
import { DomainError } from '../shared/errors.js';
import { CreateSender } from './create-sender.service.js';
import { CreateWriter, type CreateRefund } from './create-writer.service.js';
import { Payment } from './payment.entity.js';
import { PaymentService } from './payment.service.js';
import type { Refund } from './refund.entity.js';

/** Refunds that the service sends to the gateway by itself (full mode). */
@Injectable()
export class CreateService {
  constructor(
    private readonly db: Db,
    private readonly payments: PaymentService,
    private readonly accounts: GatewayAccountService,
    private readonly writer: CreateWriter,
    private readonly sender: CreateSender,
  ) {}

  /**
   * Writes the refund and reserves its amount, commits, and only then calls the gateway, with our id as its number. Whatever is lost on
   * the way, the row exists and the sync finds out. The same refundNo with the same content answers the stored refund.
   *
   * @throws DomainError `failed` with a text that says why: no such payment, more than the balance, other content under the number.
   */
  async create(appId: string, command: CreateRefund): Promise<{ refund: Refund; payment: Payment }> {
    const known = await this.payments.find(appId, command.payment);
    if (!known) throw new DomainError('failed', { zh: '未查询到支付订单', en: 'no such payment' });
    const account = known.gatewayAccountId === null ? null : await this.accountFor(known.gatewayAccountId);
    const written = await this.db.transaction((manager) => this.writer.write(manager, appId, command, account), {
      retryDuplicates: true,
    });
    if (written.leaseToken === null || account === null || account instanceof DomainError) return written;
    const applied = await this.sender.send(written.refund, written.payment, account, {
      source: 'create',
      leaseToken: written.leaseToken,
    });
    const payment = await this.db.read((manager) => manager.findOneByOrFail(Payment, { id: written.payment.id }));
    return { refund: applied.refund, payment };
  }

  /** @returns why not, where the account takes no new refunds: what was sent through it before is still answered. */
  private async accountFor(accountId: string): Promise<ResolvedAccount | DomainError> {
    try {
      const resolved = await this.accounts.resolve(accountId);
      if (!resolved.account.enabled)
        return new DomainError('failed', { zh: '支付通道已停用', en: 'the gateway account is switched off' });
      if (!resolved.gateway.sendCreate)
        return new DomainError('failed', { zh: '该通道不支持发起退款', en: 'this channel takes no refunds here' });
      return resolved;
    } catch (error) {
      if (!(error instanceof UnusableAccount)) throw error;
      const text = { zh: '支付通道账户不可用', en: 'the gateway account cannot be used' };
      return new DomainError('failed', text, { cause: error });
    }
  }
}
