import { Injectable } from '@nestjs/common';
import { Db } from '../database/db.js';
import type { ObservationKind, RawAnswer } from '../gateway/observation.js';
import { CallbackRecord, type CallbackState } from './callback-record.entity.js';

export interface CallbackFilter {
  state?: CallbackState;
  /** `wechat`, `alipay` … */
  gateway?: string;
  gatewayAccountId?: string;
  refundId?: string;
  /** The number under which the gateway knows the refund. */
  gatewayRequestNo?: string;
  /** Received at or after. */
  from?: Date;
  /** Received before. */
  to?: Date;
  /** Callbacks older than this one: the last id of the page before. */
  beforeId?: string;
  limit: number;
}

/** What may be shown of a callback; what the gateway said is redacted already. */
export interface CallbackView extends Omit<CallbackRecord, 'observation' | 'claimedAt'> {
  /** What it told of the refund. */
  told: ObservationKind;
  raw: RawAnswer;
}

/** Reads the inbox; writes nothing. */
@Injectable()
export class CallbackQueryService {
  constructor(private readonly db: Db) {}

  /** The newest first. */
  async list(filter: CallbackFilter): Promise<CallbackView[]> {
    const records = await this.db.read((manager) => {
      const query = manager.createQueryBuilder(CallbackRecord, 'callback').orderBy('callback.id', 'DESC');
      for (const name of ['state', 'gateway', 'gatewayAccountId', 'refundId', 'gatewayRequestNo'] as const) {
        const value = filter[name];
        if (value !== undefined) query.andWhere(`callback.${name} = :${name}`, { [name]: value });
      }
      if (filter.from !== undefined) query.andWhere('callback.receivedAt >= :from', { from: filter.from });
      if (filter.to !== undefined) query.andWhere('callback.receivedAt < :to', { to: filter.to });
      if (filter.beforeId !== undefined) query.andWhere('callback.id < :beforeId', { beforeId: filter.beforeId });
      return query.limit(filter.limit).getMany();
    });
    return records.map(({ observation, claimedAt: _claimedAt, ...shown }) => ({
      ...shown,
      told: observation.kind,
      raw: observation.raw,
    }));
  }
}
