import { Inject, Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { GatewayError } from '../gateway/gateway.error.js';
import type { ResolvedAccount } from '../gateway/gateway-account.service.js';
import { CLOCK, type Clock } from '../shared/clock.js';
import { DomainError } from '../shared/errors.js';
import { IdGenerator } from '../shared/ids.js';
import { InstantSettlement } from './instant-settlement.service.js';
import { LeaseService } from './lease.service.js';
import { newRefund } from './new-refund.js';
import type { Payment } from './payment.entity.js';
import { PaymentService } from './payment.service.js';
import { refundOrderOf } from './refund-order.js';
import { Refund } from './refund.entity.js';

/** A refund that the service sends to the gateway (full mode). Amount in minor units of the payment's currency. */
export interface CreateRefund {
  payment: { id: string } | { businessNo: string };
  /** `all`: the whole balance, taken under the lock. A function turns text into minor units once the currency is known. */
  amount: number | 'all' | ((currency: string) => number);
  /** Absent: the payment's. */
  channel?: string;
  refundNo: string;
  reason?: string;
  attach?: string;
  notifyUrl?: string;
  notify: boolean;
  clientIp?: string;
}

export interface WrittenCreate {
  refund: Refund;
  payment: Payment;
  /** Null when nothing is to be sent: the refund was known, or its channel settles at once. */
  leaseToken: string | null;
}

/** Writes a refund before it is sent: reservation, payload and lease in one commit. */
@Injectable()
export class CreateWriter {
  constructor(
    private readonly ids: IdGenerator,
    private readonly payments: PaymentService,
    private readonly instant: InstantSettlement,
    private readonly leases: LeaseService,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /**
   * Within a transaction that is run again after a duplicate: two that bring the same refundNo at once see each other then.
   *
   * @param account null for channels that settle at once; an error when it takes no new refunds, thrown unless the refund is known.
   */
  async write(
    manager: EntityManager,
    appId: string,
    command: CreateRefund,
    account: ResolvedAccount | DomainError | null,
  ): Promise<WrittenCreate> {
    const payment = await this.payments.lock(manager, appId, command.payment);
    if (!payment) throw new DomainError('failed', { zh: '未查询到支付订单', en: 'no such payment' });
    const asked = typeof command.amount === 'function' ? command.amount(payment.currency) : command.amount;
    const stored = await manager.findOneBy(Refund, { appId, refundNo: command.refundNo });
    if (stored) {
      assertSame(stored, command, payment, asked);
      return { refund: stored, payment, leaseToken: null };
    }
    if (account instanceof DomainError) throw account;
    if (command.channel !== undefined && command.channel !== payment.channel) {
      throw new DomainError('failed', {
        zh: `支付订单的通道是 ${payment.channel}`,
        en: `the payment was made by ${payment.channel}`,
      });
    }
    const amount = asked === 'all' ? payment.refundableBalance : asked;
    if (amount <= 0 || !(await this.payments.reserve(manager, payment, amount))) {
      throw new DomainError('failed', {
        zh: `退款金额 ${amount} 超过可退余额 ${payment.refundableBalance}`,
        en: `the amount ${amount} is more than the refundable balance ${payment.refundableBalance}`,
      });
    }
    const refund = this.rowOf(command, payment, amount);
    if (account === null) {
      await manager.insert(Refund, refund);
      return { ...(await this.instant.settle(manager, refund, payment, 'create')), leaseToken: null };
    }
    Object.assign(refund, {
      createState: 'inFlight',
      createAttempts: 1,
      lastCreateAt: this.clock.now(),
      createPayload: prepare(account, refund, payment),
    } satisfies Partial<Refund>);
    await manager.insert(Refund, refund);
    refund.leaseToken = await this.leases.holdNew(manager, refund.id);
    return { refund, payment, leaseToken: refund.leaseToken };
  }

  private rowOf(command: CreateRefund, payment: Payment, amount: number): Refund {
    const id = this.ids.next();
    const now = this.clock.now();
    return newRefund(
      {
        id,
        refundNo: command.refundNo,
        gatewayRequestNo: id,
        gatewayRequestTime: now,
        amount,
        source: 'created',
        reason: command.reason ?? null,
        attach: command.attach ?? null,
        notifyUrl: command.notifyUrl ?? null,
        notify: command.notify,
        clientIp: command.clientIp ?? null,
        createdAt: now,
        nextSyncAt: now,
      },
      payment,
      now,
    );
  }
}

/** A refund that the gateway cannot express is refused before anything is written. */
function prepare(account: ResolvedAccount, refund: Refund, payment: Payment): string {
  try {
    const payload = account.gateway.prepareCreate?.(refundOrderOf(refund, payment), account.config);
    if (payload === undefined)
      throw new DomainError('failed', { zh: '该通道不支持发起退款', en: 'this channel takes no refunds here' });
    return payload;
  } catch (error) {
    if (error instanceof GatewayError) throw new DomainError('failed', error.message, { cause: error });
    throw error;
  }
}

function assertSame(stored: Refund, command: CreateRefund, payment: Payment, asked: number | 'all'): void {
  const pairs: [string, unknown, unknown][] = [
    ['paymentId', payment.id, stored.paymentId],
    ['channel', command.channel ?? stored.channel, stored.channel],
    ['amount', asked === 'all' ? stored.amount : asked, stored.amount],
    ['reason', command.reason ?? null, stored.reason],
    ['attach', command.attach ?? null, stored.attach],
    ['notifyUrl', command.notifyUrl ?? null, stored.notifyUrl],
    ['notNotify', !command.notify, !stored.notify],
  ];
  for (const [field, given, known] of pairs) {
    if (given !== known) {
      throw new DomainError('failed', {
        zh: `退款号 ${stored.refundNo} 已存在且 ${field} 不同`,
        en: `refundNo ${stored.refundNo} exists with another ${field}`,
      });
    }
  }
}
