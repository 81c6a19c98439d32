import { Injectable } from '@nestjs/common';
import { LessThan } from 'typeorm';
import { Db } from '../database/db.js';
import { RefundQueryService } from '../refund/refund-query.service.js';
import type { Refund } from '../refund/refund.entity.js';
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

  async leftBehind(receivedBefore: Date, limit: number): Promise<CallbackRecord[]> {
    return this.db.read((manager) =>
      manager.find(CallbackRecord, {
        where: { state: 'stored', receivedAt: LessThan(receivedBefore) },
        order: { id: 'ASC' },
        take: limit,
      }),
    );
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
