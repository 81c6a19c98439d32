import { Inject, Injectable } from '@nestjs/common';
import { In, type EntityManager } from 'typeorm';
import { insertRows, selectByIds, updateVersioned } from '../database/bulk.js';
import { Db } from '../database/db.js';
import { isInstantChannel } from '../gateway/gateway.port.js';
import type { RawAnswer } from '../gateway/observation.js';
import { Batcher } from '../shared/batcher.js';
import { CLOCK, type Clock } from '../shared/clock.js';
import { IdGenerator } from '../shared/ids.js';
import { currentTraceId } from '../shared/trace.js';
import {
  decide,
  newGatewayRefundNo,
  type DecideInput,
  type Decision,
  type DecisionPolicy,
  type RefundFacts,
} from './decide.js';
import { CommandRefused, decideCommand, type CommandInput } from './decide-command.js';
import { Notification, type NotificationSnapshot } from './notification.entity.js';
import { Payment } from './payment.entity.js';
import { Refund } from './refund.entity.js';
import { movePayment, newMove, writePaymentMoves, type PaymentMove } from './payment-move.js';
import { isEnd, visibleStatus, type PaymentStatus, type RefundStatus } from './refund-status.js';
import { appliedAnswers } from './refund.telemetry.js';
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
  /** Default: the trace that is running. */
  traceId?: string | null;
}

export interface Applied {
  decision: Decision;
  record: SyncRecord;
  /** The row as committed. */
  refund: Refund;
}

export type ApplyInput = DecideInput | CommandInput;

/** One answer, or one command of an operator, to be applied. */
export interface ApplyItem {
  refundId: string;
  paymentId: string;
  input: ApplyInput;
  context: ApplyContext;
}

/** What a decision makes of one refund, in memory; written together with the others of its round. */
interface Judged extends Applied {
  before: Readonly<Refund>;
  repairs: RepairRecord[];
  notification: Notification | undefined;
}

/** The columns of a refund that apply() may write. */
const WRITTEN_COLUMNS = [
  ...([
    'status',
    'reserved',
    'nextSyncAt',
    'syncAttempts',
    'version',
    'statusChangedAt',
    'leaseUntil',
    'leaseToken',
  ] as const),
  ...([
    'gatewayRefundNo',
    'refundTime',
    'errorCode',
    'errorMsg',
    'createState',
    'createAttempts',
    'notFoundSince',
    'notFoundCount',
  ] as const),
  ...(['statusBeforeReview', 'reviewCode', 'reviewReason', 'reviewOwner', 'lastEvidence'] as const),
];

/** Answers of many refunds that come in at the same time share a commit; more than this would hold locks too long. */
const MAX_BATCH = 128;
/** A second round beside a running one is for at least so many. */
const WORTHWHILE = 32;

/**
 * The only writer of a refund's status.
 *
 * One short transaction: payments and refunds are locked (always in this order, each in the order of ids), decide() judges the
 * locked rows, and balance, refund, sync record, repair records and outbox row are written together or not at all. It never runs
 * while a gateway call is open. Answers that arrive while a transaction is running go together in the next one; when that fails, each
 * is applied alone.
 */
@Injectable()
export class ApplyService {
  private readonly batcher: Batcher<ApplyItem, Applied>;

  constructor(
    private readonly db: Db,
    private readonly ids: IdGenerator,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {
    this.batcher = new Batcher(
      (items) => this.applyTogether(items),
      // SQLite has one writer; on MySQL one round may wait for its commit while the next is judged.
      { maxBatch: MAX_BATCH, maxParallel: db.isMysql ? 2 : 1, worthwhile: WORTHWHILE },
      // The second answer for a refund is judged by what the first made of the row.
      ({ refundId }) => refundId,
    );
  }

  async apply(refundId: string, paymentId: string, input: DecideInput, context: ApplyContext): Promise<Applied> {
    const traced = { ...context, traceId: context.traceId ?? currentTraceId() ?? null };
    const applied = await this.batcher.submit({ refundId, paymentId, input, context: traced });
    appliedAnswers.publish({ channel: applied.refund.channel, record: applied.record });
    return applied;
  }

  /**
   * For callers that already are in a transaction: to insert the refund in it, or to write down who commanded what.
   *
   * @throws CommandRefused for a command that may not be given (any more); nothing has been written then.
   */
  async applyWithin(manager: EntityManager, item: ApplyItem): Promise<Applied> {
    const [applied] = await this.applyAll(manager, [item]);
    if (!applied) throw new Error('apply() answered nothing');
    return applied;
  }

  private applyTogether(items: readonly ApplyItem[]): Promise<Applied[]> {
    // Alone, a gateway refund number that another refund took between look and write shows as a duplicate: the second run sees it.
    return this.db.transaction((manager) => this.applyAll(manager, items), { retryDuplicates: items.length === 1 });
  }

  private async applyAll(manager: EntityManager, items: readonly ApplyItem[]): Promise<Applied[]> {
    const payments = await selectByIds(manager, Payment, distinct(items.map(({ paymentId }) => paymentId)), {
      forUpdate: true,
    });
    const refunds = await selectByIds(manager, Refund, distinct(items.map(({ refundId }) => refundId)), {
      forUpdate: true,
    });
    const takenNumbers = await takenGatewayRefundNos(
      manager,
      items.length === 1 ? items : items.filter(mustLook(refunds)),
      refunds,
    );
    const now = this.clock.now();
    const moves = new Map<string, PaymentMove>();
    for (const [id, payment] of payments) moves.set(id, newMove(payment));

    const judged = items.map((item) => {
      const refund = refunds.get(item.refundId);
      const move = moves.get(item.paymentId);
      if (!refund || !move || refund.paymentId !== item.paymentId)
        throw new Error(`refund ${item.refundId} of payment ${item.paymentId} is gone`);
      return this.judge(item, refund, move, takenNumbers.has(item.refundId), now);
    });

    const written = await updateVersioned(
      manager,
      Refund,
      WRITTEN_COLUMNS,
      judged.map(({ refund, before }) => ({ row: refund, before })),
    );
    if (written !== judged.length) throw new Error(`${judged.length - written} refunds changed under their lock`);
    await insertRows(
      manager,
      SyncRecord,
      judged.map(({ record }) => record),
    );
    await writePaymentMoves(manager, this.db.isMysql, [...moves.values()]);
    await insertRows(
      manager,
      RepairRecord,
      judged.flatMap(({ repairs }) => repairs),
    );
    await insertRows(
      manager,
      Notification,
      judged.flatMap(({ notification }) => (notification ? [notification] : [])),
    );
    return judged;
  }

  /** Decides, and changes the rows in memory. */
  private judge(item: ApplyItem, refund: Refund, move: PaymentMove, gatewayRefundNoTaken: boolean, now: Date): Judged {
    const { input, context } = item;
    const leaseLost = context.leaseToken !== undefined && refund.leaseToken !== context.leaseToken;
    const { refundableBalance, gatewayPaymentNo } = move.payment;
    const facts: RefundFacts = { refund, refundableBalance, gatewayPaymentNo, gatewayRefundNoTaken };
    const decision = leaseLost ? leaseLostDecision(refund) : judgeInput(facts, input, context.policy, now);
    const changed = decision.status !== refund.status;
    const repairNo = changed ? this.ids.next() : null;
    const record = this.recordOf(item, refund, decision, repairNo, now);
    const before = { ...refund };

    Object.assign(refund, decision.patch, {
      status: decision.status,
      reserved: decision.reserved,
      nextSyncAt: decision.nextSyncAt,
      syncAttempts: refund.syncAttempts + (isQuestion(input) ? 1 : 0),
      version: changed ? refund.version + 1 : refund.version,
      statusChangedAt: changed ? now : refund.statusChangedAt,
      ...(context.releaseLease === true && !leaseLost ? { leaseUntil: null, leaseToken: null } : {}),
    } satisfies Partial<Refund>);

    if (repairNo === null) return { decision, record, refund, before, repairs: [], notification: undefined };
    const paymentBefore = { status: move.payment.status, balance: move.payment.refundableBalance };
    movePayment(move, refund, before, decision.overRefund);
    const repairs = this.repairsOf(record, refund, before.status, move.payment, paymentBefore, repairNo, now);
    const notification = isEnd(decision.status) ? this.notificationOf(refund, repairNo, now) : undefined;
    return { decision, record, refund, before, repairs, notification };
  }

  private repairsOf(
    record: SyncRecord,
    refund: Refund,
    statusBefore: RefundStatus,
    payment: Payment,
    paymentBefore: { status: PaymentStatus; balance: number },
    repairNo: string,
    now: Date,
  ): RepairRecord[] {
    const common = {
      repairNo,
      refundId: refund.id,
      source: record.source,
      balanceBefore: paymentBefore.balance,
      balanceAfter: payment.refundableBalance,
      explanation: record.explanation,
      syncRecordId: record.id,
      createdAt: now,
      seq: null,
      hash: null,
      prevHash: null,
    };
    return [
      {
        ...common,
        id: this.ids.next(),
        target: 'refund',
        targetId: refund.id,
        statusBefore,
        statusAfter: refund.status,
      },
      {
        ...common,
        id: this.ids.next(),
        target: 'payment',
        targetId: payment.id,
        statusBefore: paymentBefore.status,
        statusAfter: payment.status,
      },
    ];
  }

  private notificationOf(refund: Refund, repairNo: string, now: Date): Notification {
    return {
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
      refundVersion: refund.version,
      receiver: receiverOf(refund.notifyUrl),
      position: null,
      leaseUntil: null,
      leaseToken: null,
      endpointId: null,
      deliveredAt: null,
    };
  }

  private recordOf(
    { input, context }: ApplyItem,
    refund: Refund,
    decision: Decision,
    repairNo: string | null,
    now: Date,
  ): SyncRecord {
    return {
      id: this.ids.next(),
      refundId: refund.id,
      source: context.source,
      operation: input.kind === 'command' ? 'command' : input.via,
      traceId: context.traceId ?? currentTraceId() ?? null,
      startedAt: context.startedAt,
      finishedAt: now,
      result: resultOf(input),
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

function judgeInput(facts: RefundFacts, input: ApplyInput, policy: DecisionPolicy, now: Date): Decision {
  if (input.kind !== 'command') return decide(facts, input, policy, now);
  const verdict = decideCommand(facts, input, policy, now);
  if (!verdict.allowed) throw new CommandRefused(verdict);
  return verdict.decision;
}

function isQuestion(input: ApplyInput): boolean {
  if (input.kind === 'command' || input.via !== 'query') return false;
  return input.kind === 'observation' || input.fault.notAsked !== true;
}

function resultOf(input: ApplyInput): SyncRecord['result'] {
  switch (input.kind) {
    case 'observation':
      return input.observation.kind;
    case 'fault':
      return 'error';
    case 'command':
      return 'command';
  }
}

function leaseLostDecision(refund: Refund): Decision {
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

/**
 * In a round of many, a number that is certainly written need not be looked up before: the unique index refuses one that is taken, and the
 * round is repeated one by one.
 */
function mustLook(refunds: ReadonlyMap<string, Refund>): (item: ApplyItem) => boolean {
  return ({ refundId, input }) =>
    !(
      input.kind === 'observation' &&
      input.observation.kind === 'success' &&
      refunds.get(refundId)?.status === 'progress'
    );
}

/** Refunds whose answer names a gateway refund number that another refund of the account carries, or that this round gives to another. */
async function takenGatewayRefundNos(
  manager: EntityManager,
  items: readonly ApplyItem[],
  refunds: ReadonlyMap<string, Refund>,
): Promise<Set<string>> {
  const asked = items.flatMap(({ refundId, input }) => {
    const refund = refunds.get(refundId);
    if (input.kind !== 'observation' || !refund?.gatewayAccountId) return [];
    const gatewayRefundNo = newGatewayRefundNo(refund, input.observation);
    return gatewayRefundNo === null ? [] : [{ refundId, gatewayAccountId: refund.gatewayAccountId, gatewayRefundNo }];
  });
  if (asked.length === 0) return new Set();
  const holders = await manager.find(Refund, {
    select: { id: true, gatewayAccountId: true, gatewayRefundNo: true },
    where: distinct(asked.map(({ gatewayAccountId }) => gatewayAccountId)).map((gatewayAccountId) => ({
      gatewayAccountId,
      gatewayRefundNo: In(
        asked.filter((one) => one.gatewayAccountId === gatewayAccountId).map((one) => one.gatewayRefundNo),
      ),
    })),
  });
  const holderOf = new Map(
    holders.map((holder) => [`${holder.gatewayAccountId} ${holder.gatewayRefundNo}`, holder.id]),
  );
  const taken = new Set<string>();
  for (const { refundId, gatewayAccountId, gatewayRefundNo } of asked) {
    const key = `${gatewayAccountId} ${gatewayRefundNo}`;
    const holder = holderOf.get(key);
    if (holder === undefined) holderOf.set(key, refundId);
    else if (holder !== refundId) taken.add(refundId);
  }
  return taken;
}

function distinct(values: readonly string[]): string[] {
  return [...new Set(values)];
}

function receiverOf(url: string | null): string {
  return url !== null && URL.canParse(url) ? new URL(url).origin : '';
}

function snapshotOf(refund: Refund): NotificationSnapshot {
  return {
    refundId: refund.id,
    refundNo: refund.refundNo,
    amount: refund.amount,
    currency: refund.currency,
    channel: refund.channel,
    asyncPay: !isInstantChannel(refund.channel),
    status: visibleStatus(refund.status),
    refundTime: refund.refundTime?.toISOString() ?? null,
    createTime: refund.createdAt.toISOString(),
    attach: refund.attach,
    errorCode: refund.errorCode,
    errorMsg: refund.errorMsg,
  };
}
