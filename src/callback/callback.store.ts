import { Injectable } from '@nestjs/common';
import { Brackets, In, LessThanOrEqual, type EntityManager, type SelectQueryBuilder } from 'typeorm';
import { Db } from '../database/db.js';
import { RefundQueryService } from '../refund/refund-query.service.js';
import { Refund } from '../refund/refund.entity.js';
import { CallbackRecord } from './callback-record.entity.js';

@Injectable()
export class CallbackStore {
  constructor(
    private readonly db: Db,
    private readonly refunds: RefundQueryService,
  ) {}

  async refundOf(record: CallbackRecord): Promise<Refund | null> {
    return this.refunds.findAtGateway(record.gatewayAccountId, record);
  }

  /** Acknowledged, and not worked on since. What failed before comes after what was never tried. */
  async leftBehind(claimedBefore: Date, limit: number): Promise<CallbackRecord[]> {
    return this.db.read((manager) =>
      manager.find(CallbackRecord, {
        where: { state: 'stored', claimedAt: LessThanOrEqual(claimedBefore) },
        order: { claimedAt: 'ASC', id: 'ASC' },
        take: limit,
      }),
    );
  }

  /** Callbacks that had no refund and have one now, in the order in which they came. @param afterId the last one of the page before. */
  async appeared(afterId: string, limit: number): Promise<CallbackRecord[]> {
    return this.db.read(async (manager) => {
      const ids = new Set<string>();
      // One index for each of the two numbers; with OR between them MySQL would use neither.
      for (const number of ['gatewayRequestNo', 'gatewayRefundNo'] as const) {
        const found = await unmatchedWith(manager, number, afterId, limit).getMany();
        for (const { id } of found) ids.add(id);
      }
      const records = await manager.find(CallbackRecord, { where: { id: In([...ids]) }, order: { id: 'ASC' } });
      return records.slice(0, limit);
    });
  }

  /**
   * Takes a callback in hand: of several processes that find it, one.
   *
   * @param free when nobody has claimed it since.
   */
  async claim(record: CallbackRecord, free: Date, now: Date): Promise<boolean> {
    const written = await this.db.read((manager) =>
      manager
        .createQueryBuilder()
        .update(CallbackRecord)
        .set({ claimedAt: now })
        .where('id = :id AND state = :state', { id: record.id, state: record.state })
        .andWhere(new Brackets((or) => or.where('claimedAt IS NULL').orWhere('claimedAt <= :free', { free })))
        .execute(),
    );
    return written.affected === 1;
  }

  /** Gives up on callbacks whose refund never appeared. @returns how many. */
  async expire(receivedBefore: Date, limit: number, outcome: string, at: Date): Promise<number> {
    return this.db.transaction(async (manager) => {
      const old = await manager.find(CallbackRecord, {
        select: { id: true },
        where: { state: 'unmatched', receivedAt: LessThanOrEqual(receivedBefore) },
        order: { id: 'ASC' },
        take: limit,
      });
      if (old.length === 0) return 0;
      const set = { state: 'expired' as const, outcome, processedAt: at };
      const written = await manager.update(
        CallbackRecord,
        { id: In(old.map(({ id }) => id)), state: 'unmatched' as const },
        set,
      );
      return written.affected ?? 0;
    });
  }

  async ofRefund(refundId: string, limit: number): Promise<CallbackRecord[]> {
    const newest = await this.db.read((manager) =>
      manager.find(CallbackRecord, { where: { refundId }, order: { id: 'DESC' }, take: limit }),
    );
    return newest.reverse();
  }

  async finish(
    record: CallbackRecord,
    state: 'done' | 'unmatched',
    refundId: string | null,
    outcome: string,
    at: Date,
  ): Promise<void> {
    await this.db.read((manager) =>
      manager.update(
        CallbackRecord,
        { id: record.id },
        { state, refundId, outcome: outcome.slice(0, 500), processedAt: at },
      ),
    );
  }
}

function unmatchedWith(
  manager: EntityManager,
  number: 'gatewayRequestNo' | 'gatewayRefundNo',
  afterId: string,
  limit: number,
): SelectQueryBuilder<CallbackRecord> {
  return manager
    .createQueryBuilder(CallbackRecord, 'callback')
    .select('callback.id')
    .innerJoin(
      Refund,
      'refund',
      `refund.gatewayAccountId = callback.gatewayAccountId AND refund.${number} = callback.${number}` +
        ' AND (callback.outTradeNo IS NULL OR refund.outTradeNo = callback.outTradeNo)',
    )
    .where("callback.state = 'unmatched' AND callback.id > :afterId", { afterId })
    .orderBy('callback.id', 'ASC')
    .limit(limit);
}
