import { Inject, Injectable } from '@nestjs/common';
import { CallbackStore } from '../../callback/callback.store.js';
import { Db } from '../../database/db.js';
import { CaseQueries } from '../../refund/case-query.service.js';
import type { Payment } from '../../refund/payment.entity.js';
import type { Refund } from '../../refund/refund.entity.js';
import { RefundQueryService } from '../../refund/refund-query.service.js';
import { CLOCK, type Clock } from '../../shared/clock.js';
import { durationMs } from '../../shared/duration.js';
import { ConflictError, invalidField, NotFoundError } from '../../shared/errors.js';
import { isId } from '../../shared/ids.js';
import { AuditService } from '../audit.service.js';
import { DEFAULT_PAGE, pageOf, type Page } from '../page.js';
import type { CaseView, EvidenceView, ListCasesDto } from './case.dto.js';

/** Records shown with a case; the whole story is the refund's timeline. */
const EVIDENCE_LIMIT = 20;
/** No database agrees on times before it. */
const EARLIEST_MS = Date.UTC(2000, 0, 1);

/** Finds cases, shows what they rest on, and says who has taken them. */
@Injectable()
export class CaseDesk {
  constructor(
    private readonly db: Db,
    private readonly cases: CaseQueries,
    private readonly refunds: RefundQueryService,
    private readonly callbacks: CallbackStore,
    private readonly audit: AuditService,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  async list({ owner, olderThan, cursor, limit = DEFAULT_PAGE, ...filter }: ListCasesDto): Promise<Page<CaseView>> {
    const ageMs = olderThan === undefined ? undefined : durationMs(olderThan);
    if (olderThan !== undefined && ageMs === undefined) throw invalidField('olderThan', 'must be longer than 0');
    const now = this.clock.now();
    const rows = await this.cases.list({
      ...filter,
      owner: owner === 'none' ? null : owner,
      openSince: ageMs === undefined ? undefined : new Date(Math.max(EARLIEST_MS, now.getTime() - ageMs)),
      afterId: cursor,
      limit,
    });
    return pageOf(rows, limit, (refund) => caseViewOf(refund, now));
  }

  /** @throws NotFoundError */
  async find(refundId: string): Promise<{ refund: Refund; payment: Payment }> {
    const refund = isId(refundId) ? await this.refunds.find(refundId) : null;
    if (!refund) throw new NotFoundError(`no refund ${refundId.slice(0, 32)}`);
    return { refund, payment: await this.refunds.payment(refund.paymentId) };
  }

  /** What the gateway said, as it said it, redacted; the newest, oldest first. */
  async evidence(refundId: string): Promise<EvidenceView[]> {
    const { syncs } = await this.refunds.history(refundId);
    const callbacks = await this.callbacks.ofRefund(refundId, EVIDENCE_LIMIT);
    const answers = syncs
      .filter(({ operation, answer }) => answer !== null && operation !== 'command' && operation !== 'callback')
      .map(({ id, operation, finishedAt, result, explanation, answer }) => ({
        id,
        how: operation,
        at: finishedAt,
        result: result,
        explanation,
        answer: answer,
      }));
    const told = callbacks.map(({ id, receivedAt, observation, outcome }) => ({
      id,
      how: 'callback',
      at: receivedAt,
      result: observation.kind,
      explanation: outcome ?? '',
      answer: observation.raw,
    }));
    return [...answers, ...told]
      .sort((one, other) => one.at.getTime() - other.at.getTime() || (one.id < other.id ? -1 : 1))
      .slice(-EVIDENCE_LIMIT);
  }

  /** @param owner null: nobody. */
  async assign(refundId: string, owner: string | null, actor: string): Promise<CaseView> {
    await this.find(refundId);
    await this.db.transaction(async () => {
      const assigned = await this.cases.assign(refundId, owner);
      if (!assigned) throw new ConflictError('refund', 'is no case');
      await this.audit.record({
        actor,
        action: 'case.assign',
        targetType: 'refund',
        targetId: refundId,
        before: { owner: assigned.before },
        after: { owner },
      });
    });
    return this.view((await this.find(refundId)).refund);
  }

  view(refund: Refund): CaseView {
    return caseViewOf(refund, this.clock.now());
  }
}

function caseViewOf(refund: Refund, now: Date): CaseView {
  return {
    refundId: refund.id,
    refundNo: refund.refundNo,
    appId: refund.appId,
    channel: refund.channel,
    gatewayAccountId: refund.gatewayAccountId,
    amount: refund.amount,
    currency: refund.currency,
    status: refund.status,
    version: refund.version,
    reserved: refund.reserved,
    statusBefore: refund.statusBeforeReview,
    reason: refund.reviewCode,
    reasonText: refund.reviewReason,
    owner: refund.reviewOwner,
    since: refund.statusChangedAt,
    ageSeconds: Math.max(0, Math.floor((now.getTime() - refund.statusChangedAt.getTime()) / 1000)),
    lastEvidence: refund.lastEvidence,
    nextLookAt: refund.nextSyncAt,
  };
}
