import { Inject, Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { nothingAlongside, type Alongside } from '../database/alongside.js';
import { Db } from '../database/db.js';
import { isInstantChannel } from '../gateway/gateway.port.js';
import { GatewayAccountService, type ResolvedAccount } from '../gateway/gateway-account.service.js';
import { CLOCK, type Clock } from '../shared/clock.js';
import { ConflictError, invalidField } from '../shared/errors.js';
import { IdGenerator } from '../shared/ids.js';
import { paymentStatus } from './payment-move.js';
import { Payment } from './payment.entity.js';

/** A payment as its merchant knows it. Amounts in minor units of `currency`. */
export interface PaymentFacts {
  businessNo: string;
  channel: string;
  amount: number;
  currency: string;
  title?: string;
  gatewayAccountId?: string;
  /** Default: `businessNo`. */
  outTradeNo?: string;
  gatewayPaymentNo?: string;
  /** What was refunded before the service saw the payment; counts as spent. Default 0. */
  refundedAmount?: number;
}

export interface RegisteredPayment {
  payment: Payment;
  created: boolean;
}

/** How the caller called a field of the payment: a fault names what was sent. */
export type FieldName = (field: keyof PaymentFacts) => string;

const MAX_OUT_TRADE_NO = 64;

/** Registers payments, and takes amounts from their balance under the same lock as the check. */
@Injectable()
export class PaymentService {
  constructor(
    private readonly db: Db,
    private readonly ids: IdGenerator,
    private readonly accounts: GatewayAccountService,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /**
   * @returns the payment, and whether it is new. The same facts again are no fault.
   * @throws ConflictError naming the field that differs from the stored payment.
   */
  async register(
    appId: string,
    facts: PaymentFacts,
    alongside: Alongside<RegisteredPayment> = nothingAlongside,
  ): Promise<RegisteredPayment> {
    const accountId = (await this.accountFor(appId, facts))?.account.id ?? null;
    return this.db.transaction(
      async (manager) => {
        const registered = await this.findOrCreateLocked(manager, appId, facts, accountId);
        await alongside(registered);
        return registered;
      },
      { retryDuplicates: true },
    );
  }

  async find(appId: string, by: { id: string } | { businessNo: string }): Promise<Payment | null> {
    return exactly(by, await this.db.read((manager) => manager.findOneBy(Payment, { appId, ...by })));
  }

  /** The account that the payment's channel uses; null for channels that settle at once. */
  async accountFor(
    appId: string,
    facts: Pick<PaymentFacts, 'channel' | 'gatewayAccountId'>,
  ): Promise<ResolvedAccount | null> {
    if (isInstantChannel(facts.channel)) {
      if (facts.gatewayAccountId !== undefined)
        throw invalidField('gatewayAccountId', `does not go with ${facts.channel}, which settles at once`);
      return null;
    }
    return this.accounts.choose(appId, facts.channel, facts.gatewayAccountId);
  }

  /** Finds the payment and locks it, or makes it. Two that make it at once: one is refused by the unique key and runs again. */
  async findOrCreateLocked(
    manager: EntityManager,
    appId: string,
    facts: PaymentFacts,
    accountId: string | null,
    nameOf: FieldName = (field) => field,
  ): Promise<RegisteredPayment> {
    const stored = await this.lock(manager, appId, { businessNo: facts.businessNo });
    if (stored) return { payment: await this.compare(manager, stored, facts, accountId, nameOf), created: false };
    const outTradeNo = facts.outTradeNo ?? facts.businessNo;
    if (outTradeNo.length > MAX_OUT_TRADE_NO) {
      throw invalidField(
        nameOf('outTradeNo'),
        `is required when businessNo is longer than ${MAX_OUT_TRADE_NO} characters`,
      );
    }
    const spentBefore = facts.refundedAmount ?? 0;
    if (spentBefore > facts.amount)
      throw invalidField(nameOf('refundedAmount'), `must not exceed the payment's amount ${facts.amount}`);
    const payment = manager.create(Payment, {
      id: this.ids.next(),
      appId,
      businessNo: facts.businessNo,
      title: facts.title ?? null,
      channel: facts.channel,
      gatewayAccountId: accountId,
      outTradeNo,
      gatewayPaymentNo: facts.gatewayPaymentNo ?? null,
      amount: facts.amount,
      currency: facts.currency,
      refundableBalance: facts.amount - spentBefore,
      overRefunded: 0,
      spentBefore,
      refundedAmount: spentBefore,
      status: paymentStatus(spentBefore, facts.amount),
      version: 0,
      createdAt: this.clock.now(),
    });
    await manager.insert(Payment, payment);
    return { payment, created: true };
  }

  async lock(
    manager: EntityManager,
    appId: string,
    by: { id: string } | { businessNo: string },
  ): Promise<Payment | null> {
    const query = manager.createQueryBuilder(Payment, 'payment').where('payment.appId = :appId', { appId });
    if ('id' in by) query.andWhere('payment.id = :id', { id: by.id });
    else query.andWhere('payment.businessNo = :businessNo', { businessNo: by.businessNo });
    return exactly(by, await this.db.forUpdate(query).getOne());
  }

  /** Takes `amount` from the balance of a locked payment. @returns false when the balance does not allow it. */
  async reserve(manager: EntityManager, payment: Payment, amount: number): Promise<boolean> {
    const taken = await manager
      .createQueryBuilder()
      .update(Payment)
      .set({ refundableBalance: () => `refundableBalance - (${amount})`, version: () => 'version + 1' })
      .where('id = :id AND refundableBalance >= :amount', { id: payment.id, amount })
      .execute();
    if (taken.affected !== 1) return false;
    payment.refundableBalance -= amount;
    payment.version += 1;
    return true;
  }

  private async compare(
    manager: EntityManager,
    stored: Payment,
    facts: PaymentFacts,
    accountId: string | null,
    nameOf: FieldName,
  ): Promise<Payment> {
    const pairs: [keyof PaymentFacts, string | number | null | undefined, string | number | null | undefined][] = [
      ['channel', facts.channel, stored.channel],
      ['amount', facts.amount, stored.amount],
      ['currency', facts.currency, stored.currency],
      ['gatewayAccountId', accountId, stored.gatewayAccountId],
      ['outTradeNo', facts.outTradeNo, stored.outTradeNo],
      ['title', facts.title, stored.title ?? facts.title],
      ['gatewayPaymentNo', facts.gatewayPaymentNo, stored.gatewayPaymentNo ?? facts.gatewayPaymentNo],
      ['refundedAmount', facts.refundedAmount, stored.spentBefore],
    ];
    for (const [field, given, known] of pairs) {
      if (given !== undefined && given !== known) {
        throw new ConflictError(
          nameOf(field),
          `is ${String(given)}, but payment ${stored.businessNo} is known with ${String(known)}`,
        );
      }
    }
    const learned = {
      ...(stored.title === null && facts.title !== undefined ? { title: facts.title } : {}),
      ...(stored.gatewayPaymentNo === null && facts.gatewayPaymentNo !== undefined
        ? { gatewayPaymentNo: facts.gatewayPaymentNo }
        : {}),
    };
    if (Object.keys(learned).length > 0) {
      await manager.update(Payment, { id: stored.id }, learned);
      Object.assign(stored, learned);
    }
    return stored;
  }
}

/** MySQL compares text without its trailing spaces. */
function exactly(by: { id: string } | { businessNo: string }, payment: Payment | null): Payment | null {
  return payment && 'businessNo' in by && payment.businessNo !== by.businessNo ? null : payment;
}
