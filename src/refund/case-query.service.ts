import { Injectable } from '@nestjs/common';
import { Db } from '../database/db.js';
import { Refund } from './refund.entity.js';
import type { ReviewCode } from './review-code.js';

export interface CaseFilter {
  appId?: string | undefined;
  channel?: string | undefined;
  reason?: ReviewCode | undefined;
  /** Null: cases that nobody has taken. */
  owner?: string | null | undefined;
  /** Cases since this moment or longer. */
  openSince?: Date | undefined;
  /** Cases of refunds after this id. */
  afterId?: string | undefined;
  limit: number;
}

/** Refunds in review: each is a case. */
@Injectable()
export class CaseQueries {
  constructor(private readonly db: Db) {}

  /** In the order of ids, which is the order in which the refunds were registered. */
  async list({ appId, channel, reason, owner, openSince, afterId, limit }: CaseFilter): Promise<Refund[]> {
    return this.db.read((manager) => {
      const query = manager
        .createQueryBuilder(Refund, 'refund')
        .where("refund.status = 'review'")
        .orderBy('refund.id', 'ASC')
        .limit(limit);
      if (afterId !== undefined) query.andWhere('refund.id > :afterId', { afterId });
      if (appId !== undefined) query.andWhere('refund.appId = :appId', { appId });
      if (channel !== undefined) query.andWhere('refund.channel = :channel', { channel });
      if (reason !== undefined) query.andWhere('refund.reviewCode = :reason', { reason });
      if (owner === null) query.andWhere('refund.reviewOwner IS NULL');
      else if (owner !== undefined) query.andWhere('refund.reviewOwner = :owner', { owner });
      if (openSince !== undefined) query.andWhere('refund.statusChangedAt <= :openSince', { openSince });
      return query.getMany();
    });
  }

  /**
   * Within a transaction: gives a case to somebody, or to nobody.
   *
   * @returns who had it before; undefined when the refund is no case (any more).
   */
  async assign(refundId: string, owner: string | null): Promise<{ before: string | null } | undefined> {
    return this.db.read(async (manager) => {
      const query = manager.createQueryBuilder(Refund, 'refund').where('refund.id = :refundId', { refundId });
      const refund = await this.db.forUpdate(query).getOne();
      if (refund?.status !== 'review') return undefined;
      await manager.update(Refund, { id: refundId }, { reviewOwner: owner });
      return { before: refund.reviewOwner };
    });
  }
}
