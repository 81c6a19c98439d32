import { Inject, Injectable } from '@nestjs/common';
import type { EntityManager, QueryDeepPartialEntity } from 'typeorm';
import { Db } from '../database/db.js';
import type { RawAnswer } from '../gateway/observation.js';
import { CLOCK, type Clock } from '../shared/clock.js';
import { IdGenerator } from '../shared/ids.js';
import { currentTraceId } from '../shared/trace.js';
import { decide, type DecideInput, type Decision, type DecisionPolicy, type RefundFacts } from './decide.js';
import { Notification, type NotificationSnapshot } from './notification.entity.js';
import { Payment } from './payment.entity.js';
import { Refund } from './refund.entity.js';
import { isEnd, visibleStatus, type PaymentStatus } from './refund-status.js';
import { RepairRecord } from './repair-record.entity.js';
import { SyncRecord, type SyncSource } from './sync-record.entity.js';

export interface ApplyContext {
  source: SyncSource;
  policy: DecisionPolicy;
  startedAt: Date;
  /** What the gateway said, redacted; kept with the record. */
  answer: RawAnswer | null;
  /** The lease under which the gateway was asked. When it was lost meanwhile, the answer is not used. */
  leaseToken?: string;
  /** Gives the lease back with the same commit. */
  releaseLease?: boolean;
}

export interface Applied {
  decision: Decision;
  record: SyncRecord;
  /** The row as committed. */
  refund: Refund;
}

/** A balance would have become negative: a bug, since decide() saw the locked row. Nothing was written. */
export class BalanceViolation extends Error {
  override readonly name = 'BalanceViolation';
}

/**
 * The only writer of a refund's status.
 *
 * One short transaction: payment and refund are locked (always in this order), decide() judges the locked rows, and
 * balance, refund, sync record, repair records and outbox row are written together or not at all. It never runs while a
 * gateway call is open.
 */
@Injectable()
export class ApplyService {
  constructor(
    private readonly db: Db,
    private readonly ids: IdGenerator,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  async apply(refundId: string, paymentId: string, input: DecideInput, context: ApplyContext): Promise<Applied> {
    // A gateway refund number that another refund took between look and write shows as a duplicate: the second run sees it.
    return this.db.transaction((manager) => this.applyWithin(manager, refundId, paymentId, input, context), {
      retryDuplicates: true,
    });
  }

  /** For callers that already are in a transaction and insert the refund in it. */
  async applyWithin(
    manager: EntityManager,
    refundId: string,
    paymentId: string,
    input: DecideInput,
    context: ApplyContext,
  ): Promise<Applied> {
    const payment = await this.db
      .forUpdate(manager.createQueryBuilder(Payment, 'payment').where('payment.id = :paymentId', { paymentId }))
      .getOneOrFail();
    const refund = await this.db
      .forUpdate(manager.createQueryBuilder(Refund, 'refund').where('refund.id = :refundId', { refundId }))
      .getOneOrFail();
    const now = this.clock.now();
    const leaseLost = context.leaseToken !== undefined && refund.leaseToken !== context.leaseToken;
    const facts: RefundFacts = {
      refund,
      refundableBalance: payment.refundableBalance,
      gatewayRefundNoTaken: await isGatewayRefundNoTaken(manager, refund, input),
    };
    const decision = leaseLost ? superseded(refund) : decide(facts, input, context.policy, now);
    const repairNo = decision.status === refund.status ? null : this.ids.next();
    const record = this.recordOf(refund, input, decision, context, repairNo, now);
    const before = { ...refund };

    await this.writeRefund(manager, refund, input, decision, context, leaseLost, now);
    await manager.insert(SyncRecord, record as QueryDeepPartialEntity<SyncRecord>);
    if (repairNo !== null) {
      const after = await this.writePayment(manager, payment, before, decision);
      await this.writeRepairs(manager, { before, payment, after, decision, repairNo, record, now });
      if (isEnd(decision.status)) await this.writeOutbox(manager, refund, repairNo, now);
    }
    return { decision, record, refund };
  }

  private async writeRefund(
    manager: EntityManager,
    refund: Refund,
    input: DecideInput,
    decision: Decision,
    context: ApplyContext,
    leaseLost: boolean,
    now: Date,
  ): Promise<void> {
    const changed = decision.status !== refund.status;
    const set: Partial<Refund> = {
      ...decision.patch,
      status: decision.status,
      reserved: decision.reserved,
      nextSyncAt: decision.nextSyncAt,
      syncAttempts: refund.syncAttempts + (input.via === 'query' ? 1 : 0),
      version: changed ? refund.version + 1 : refund.version,
      statusChangedAt: changed ? now : refund.statusChangedAt,
    };
    if (context.releaseLease === true && !leaseLost) Object.assign(set, { leaseUntil: null, leaseToken: null });
    const written = await manager.update(Refund, { id: refund.id, version: refund.version }, set);
    if (written.affected !== 1) throw new Error(`refund ${refund.id} changed under its lock`);
    Object.assign(refund, set);
  }

  private async writePayment(
    manager: EntityManager,
    payment: Payment,
    before: Refund,
    decision: Decision,
  ): Promise<Payment> {
    const { amount } = before;
    let balanceDelta = 0;
    let overDelta = 0;
    if (before.reserved && !decision.reserved) {
      // What comes back first pays what was refunded beyond the payment.
      overDelta = -Math.min(payment.overRefunded, amount);
      balanceDelta = amount + overDelta;
    } else if (!before.reserved && decision.reserved) {
      balanceDelta = -amount;
    }
    const refundedDelta = (decision.status === 'success' ? amount : 0) - (before.status === 'success' ? amount : 0);
    const refundedAmount = payment.refundedAmount + refundedDelta;
    const after = {
      ...payment,
      refundableBalance: payment.refundableBalance + balanceDelta,
      overRefunded: payment.overRefunded + overDelta,
      refundedAmount,
      status: paymentStatus(refundedAmount, payment.amount),
      version: payment.version + 1,
    };
    const written = await manager
      .createQueryBuilder()
      .update(Payment)
      .set({
        refundableBalance: () => `refundableBalance + (${balanceDelta})`,
        overRefunded: () => `overRefunded + (${overDelta})`,
        refundedAmount: () => `refundedAmount + (${refundedDelta})`,
        status: after.status,
        version: () => 'version + 1',
      })
      .where('id = :id AND refundableBalance + (:balanceDelta) >= 0 AND overRefunded + (:overDelta) >= 0', {
        id: payment.id,
        balanceDelta,
        overDelta,
      })
      .execute();
    if (written.affected !== 1)
      throw new BalanceViolation(`payment ${payment.id}: the balance does not allow a change of ${balanceDelta}`);
    return after;
  }

  private async writeRepairs(
    manager: EntityManager,
    change: {
      before: Refund;
      payment: Payment;
      after: Payment;
      decision: Decision;
      repairNo: string;
      record: SyncRecord;
      now: Date;
    },
  ): Promise<void> {
    const { before, payment, after, decision, repairNo, record, now } = change;
    const common = {
      repairNo,
      refundId: before.id,
      source: record.source,
      balanceBefore: payment.refundableBalance,
      balanceAfter: after.refundableBalance,
      explanation: decision.explanation,
      syncRecordId: record.id,
      createdAt: now,
      seq: null,
      hash: null,
      prevHash: null,
    };
    await manager.insert(RepairRecord, [
      {
        ...common,
        id: this.ids.next(),
        target: 'refund',
        targetId: before.id,
        statusBefore: before.status,
        statusAfter: decision.status,
      },
      {
        ...common,
        id: this.ids.next(),
        target: 'payment',
        targetId: payment.id,
        statusBefore: payment.status,
        statusAfter: after.status,
      },
    ]);
  }

  private async writeOutbox(manager: EntityManager, refund: Refund, repairNo: string, now: Date): Promise<void> {
    await manager.insert(Notification, {
      id: this.ids.next(),
      appId: refund.appId,
      refundId: refund.id,
      repairNo,
      refundStatus: visibleStatus(refund.status),
      snapshot: snapshotOf(refund),
      url: refund.notifyUrl,
      state: refund.notify ? 'pending' : 'suppressed',
      attempts: 0,
      nextAttemptAt: refund.notify ? now : null,
      createdAt: now,
    });
  }

  private recordOf(
    refund: Refund,
    input: DecideInput,
    decision: Decision,
    context: ApplyContext,
    repairNo: string | null,
    now: Date,
  ): SyncRecord {
    return {
      id: this.ids.next(),
      refundId: refund.id,
      source: context.source,
      operation: input.via,
      traceId: currentTraceId() ?? null,
      startedAt: context.startedAt,
      finishedAt: now,
      result: input.kind === 'observation' ? input.observation.kind : 'error',
      errorKind: input.kind === 'fault' ? input.fault.kind : null,
      gatewayStatus: decision.gatewayStatus,
      effect: decision.effect,
      statusBefore: refund.status,
      statusAfter: decision.status,
      explanation: decision.explanation,
      repairNo,
      answer: context.answer,
    };
  }
}

function superseded(refund: Refund): Decision {
  return {
    effect: 'superseded',
    status: refund.status,
    reserved: refund.reserved,
    nextSyncAt: refund.nextSyncAt,
    patch: {},
    explanation:
      'the lease was lost while the gateway was asked: somebody else has taken over, this answer is not used',
    gatewayStatus: null,
    followUp: 'none',
  };
}

async function isGatewayRefundNoTaken(manager: EntityManager, refund: Refund, input: DecideInput): Promise<boolean> {
  if (input.kind !== 'observation' || refund.gatewayRefundNo !== null || refund.gatewayAccountId === null) return false;
  const { observation } = input;
  const answered = 'gatewayRefundNo' in observation ? observation.gatewayRefundNo : null;
  if (answered === null) return false;
  const other = await manager.findOne(Refund, {
    select: { id: true },
    where: { gatewayAccountId: refund.gatewayAccountId, gatewayRefundNo: answered },
  });
  return other !== null && other.id !== refund.id;
}

export function paymentStatus(refundedAmount: number, amount: number): PaymentStatus {
  if (refundedAmount <= 0) return 'success';
  return refundedAmount < amount ? 'partial_refund' : 'refunded';
}

function snapshotOf(refund: Refund): NotificationSnapshot {
  return {
    refundId: refund.id,
    refundNo: refund.refundNo,
    amount: refund.amount,
    currency: refund.currency,
    channel: refund.channel,
    status: visibleStatus(refund.status),
    refundTime: refund.refundTime?.toISOString() ?? null,
    createTime: refund.createdAt.toISOString(),
    attach: refund.attach,
    errorCode: refund.errorCode,
    errorMsg: refund.errorMsg,
  };
}
