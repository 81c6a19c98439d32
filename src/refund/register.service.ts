import { Inject, Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { nothingAlongside, type Alongside } from '../database/alongside.js';
import { Db } from '../database/db.js';
import { isInstantChannel } from '../gateway/gateway.port.js';
import { addMs, CLOCK, type Clock } from '../shared/clock.js';
import { ConflictError, DomainError, invalidField } from '../shared/errors.js';
import { IdGenerator } from '../shared/ids.js';
import { InstantSettlement } from './instant-settlement.service.js';
import { newRefund } from './new-refund.js';
import type { Payment } from './payment.entity.js';
import { PaymentService, type FieldName, type PaymentFacts } from './payment.service.js';
import { Refund } from './refund.entity.js';

/** A refund that the merchant sent to the gateway by itself (follow mode). Amount in minor units of `currency`. */
export interface RegisterRefund {
  refundNo: string;
  channel: string;
  amount: number;
  currency: string;
  gatewayAccountId?: string;
  /** The number under which the gateway knows it. Default: `refundNo`. */
  gatewayRequestNo?: string;
  gatewayRequestTime?: Date;
  gatewayRefundNo?: string;
  reason?: string;
  attach?: string;
  notifyUrl?: string;
  /** When the merchant sent it. Default: now. */
  createdAt?: Date;
  payment: Omit<PaymentFacts, 'channel' | 'currency' | 'gatewayAccountId'>;
}

export interface Registered {
  refund: Refund;
  payment: Payment;
  created: boolean;
}

/** A registered refund is first looked at this soon: it may have hung for days already. */
const FIRST_LOOK_MS = 1_000;

/** A registration has these beside the payment, not in it. */
const BESIDE_PAYMENT: ReadonlySet<string> = new Set(['channel', 'currency', 'gatewayAccountId']);
const nameInRegistration: FieldName = (field) => (BESIDE_PAYMENT.has(field) ? field : `payment.${field}`);

@Injectable()
export class RegisterService {
  constructor(
    private readonly db: Db,
    private readonly ids: IdGenerator,
    private readonly payments: PaymentService,
    private readonly instant: InstantSettlement,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /**
   * Takes a refund under the service's care and reserves its amount on the payment, which is made if unknown.
   * The same refund again answers the stored one.
   *
   * @throws ConflictError naming the field that differs, or that the refundable balance does not allow; DomainError `invalid` naming what
   * the gateway needs besides.
   */
  async register(
    appId: string,
    command: RegisterRefund,
    alongside: Alongside<Registered> = nothingAlongside,
  ): Promise<Registered> {
    const { facts, accountId } = await this.prepare(appId, command);
    return this.db.transaction(
      async (manager) => {
        const registered = await this.registerWithin(manager, appId, command, facts, accountId);
        await alongside(registered);
        return registered;
      },
      { retryDuplicates: true },
    );
  }

  /**
   * Registers many in one transaction, each as if alone: what is refused leaves nothing behind and keeps no other back.
   *
   * @param options.dryRun takes everything back in the end.
   * @returns in the order of `commands`, what was registered or why not.
   */
  async registerAll(
    commands: readonly { appId: string; command: RegisterRefund }[],
    options: { dryRun: boolean },
    alongside: Alongside<Registered> = nothingAlongside,
  ): Promise<(Registered | DomainError)[]> {
    const prepared: (Prepared | DomainError)[] = [];
    for (const { appId, command } of commands) prepared.push(await refusalOf(() => this.prepare(appId, command)));
    const all = async (manager: EntityManager): Promise<(Registered | DomainError)[]> => {
      const results: (Registered | DomainError)[] = [];
      for (const one of prepared) {
        const within = async (own: EntityManager): Promise<Registered> => {
          const { appId, command, facts, accountId } = one as Prepared;
          const registered = await this.registerWithin(own, appId, command, facts, accountId);
          await alongside(registered);
          return registered;
        };
        results.push(one instanceof DomainError ? one : await refusalOf(() => this.db.savepoint(manager, within)));
      }
      if (options.dryRun) throw new DryRun(results);
      return results;
    };
    return this.db.transaction(all, { retryDuplicates: true }).catch((error: unknown) => {
      if (error instanceof DryRun) return error.results;
      throw error;
    });
  }

  private async prepare(appId: string, command: RegisterRefund): Promise<Prepared> {
    const { channel, currency, gatewayAccountId } = command;
    const facts: PaymentFacts = {
      ...command.payment,
      channel,
      currency,
      ...(gatewayAccountId === undefined ? {} : { gatewayAccountId }),
    };
    const account = await this.payments.accountFor(appId, facts);
    const fault = account?.gateway.registrationFault?.({
      gatewayRequestNo: command.gatewayRequestNo ?? command.refundNo,
      gatewayRequestTime: command.gatewayRequestTime ?? null,
      outTradeNo: facts.outTradeNo ?? facts.businessNo,
    });
    if (fault) throw invalidField(fault.field, fault.fault);
    return { appId, command, facts, accountId: account?.account.id ?? null };
  }

  private async registerWithin(
    manager: EntityManager,
    appId: string,
    command: RegisterRefund,
    facts: PaymentFacts,
    accountId: string | null,
  ): Promise<Registered> {
    const { payment } = await this.payments.findOrCreateLocked(manager, appId, facts, accountId, nameInRegistration);
    // Read under the payment's lock: of equal registrations at once, all but the first find it here. And before the balance, which may
    // have been used since.
    const stored = await manager.findOneBy(Refund, { appId, refundNo: command.refundNo });
    if (stored) {
      assertSame(stored, command, payment, accountId);
      return { refund: stored, payment, created: false };
    }
    const gatewayRequestNo = command.gatewayRequestNo ?? command.refundNo;
    await assertNumbersAreFree(manager, accountId, payment.outTradeNo, gatewayRequestNo, command.gatewayRefundNo);
    if (!(await this.payments.reserve(manager, payment, command.amount))) {
      throw new ConflictError(
        'amount',
        `is ${command.amount}, but only ${payment.refundableBalance} of payment ${payment.businessNo} can still be refunded`,
      );
    }
    const now = this.clock.now();
    const instant = isInstantChannel(command.channel);
    const refund = newRefund(
      {
        id: this.ids.next(),
        refundNo: command.refundNo,
        gatewayRequestNo,
        amount: command.amount,
        source: 'registered',
        gatewayRequestTime: command.gatewayRequestTime ?? null,
        gatewayRefundNo: command.gatewayRefundNo ?? null,
        reason: command.reason ?? null,
        attach: command.attach ?? null,
        notifyUrl: command.notifyUrl ?? null,
        createdAt: command.createdAt ?? now,
        nextSyncAt: addMs(now, FIRST_LOOK_MS),
      },
      payment,
      now,
    );
    await manager.insert(Refund, refund);
    if (!instant) return { refund, payment, created: true };
    return { ...(await this.instant.settle(manager, refund, payment, 'operator')), created: true };
  }
}

interface Prepared {
  appId: string;
  command: RegisterRefund;
  facts: PaymentFacts;
  accountId: string | null;
}

/** Takes the transaction back and carries out what would have been. */
class DryRun extends Error {
  constructor(readonly results: (Registered | DomainError)[]) {
    super('dry run');
  }
}

async function refusalOf<T>(work: () => Promise<T>): Promise<T | DomainError> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof DomainError) return error;
    throw error;
  }
}

/** One refund of an account goes by one number: under a second name it would be asked and repaired twice. */
async function assertNumbersAreFree(
  manager: EntityManager,
  gatewayAccountId: string | null,
  outTradeNo: string,
  gatewayRequestNo: string,
  gatewayRefundNo: string | undefined,
): Promise<void> {
  if (gatewayAccountId === null) return;
  const sameRequestNo = await manager.findOneBy(Refund, { gatewayAccountId, outTradeNo, gatewayRequestNo });
  if (sameRequestNo) throw taken('gatewayRequestNo', gatewayRequestNo, sameRequestNo);
  if (gatewayRefundNo === undefined) return;
  const sameRefundNo = await manager.findOneBy(Refund, { gatewayAccountId, gatewayRefundNo });
  if (sameRefundNo) throw taken('gatewayRefundNo', gatewayRefundNo, sameRefundNo);
}

function taken(field: string, value: string, by: Refund): ConflictError {
  return new ConflictError(field, `${value} is already followed as refund ${by.refundNo}`);
}

function assertSame(stored: Refund, command: RegisterRefund, payment: Payment, accountId: string | null): void {
  const pairs: [string, unknown, unknown][] = [
    ['payment.businessNo', payment.id, stored.paymentId],
    ['channel', command.channel, stored.channel],
    ['amount', command.amount, stored.amount],
    ['currency', command.currency, stored.currency],
    ['gatewayAccountId', accountId, stored.gatewayAccountId],
    ['gatewayRequestNo', command.gatewayRequestNo ?? command.refundNo, stored.gatewayRequestNo],
    ['gatewayRequestTime', command.gatewayRequestTime?.getTime(), stored.gatewayRequestTime?.getTime()],
    // The stored one may have been learned from the gateway since.
    ['gatewayRefundNo', command.gatewayRefundNo ?? stored.gatewayRefundNo, stored.gatewayRefundNo],
    ['reason', command.reason ?? null, stored.reason],
    ['attach', command.attach ?? null, stored.attach],
    ['notifyUrl', command.notifyUrl ?? null, stored.notifyUrl],
    ['createdAt', command.createdAt?.getTime() ?? stored.createdAt.getTime(), stored.createdAt.getTime()],
  ];
  for (const [field, given, known] of pairs) {
    if (given !== known) throw new ConflictError(field, `differs from refund ${stored.refundNo} as registered before`);
  }
}
