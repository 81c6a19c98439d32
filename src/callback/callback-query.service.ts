import { Injectable } from '@nestjs/common';
import { Db } from '../database/db.js';
import { keyset, matching, type Keyset } from '../database/keyset.js';
import type { ObservationKind, RawAnswer } from '../gateway/observation.js';
import { CallbackRecord, type CallbackState } from './callback-record.entity.js';

/** By the time of receipt. */
export interface CallbackFilter extends Keyset {
  state?: CallbackState;
  /** `wechat`, `alipay` … */
  gateway?: string;
  gatewayAccountId?: string;
  refundId?: string;
  /** The number under which the gateway knows the refund. */
  gatewayRequestNo?: string;
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
  async list({
    state,
    gateway,
    gatewayAccountId,
    refundId,
    gatewayRequestNo,
    ...part
  }: CallbackFilter): Promise<CallbackView[]> {
    const records = await this.db.read((manager) => {
      const query = manager.createQueryBuilder(CallbackRecord, 'callback');
      keyset(query, { ...part, timeColumn: 'receivedAt', order: 'DESC' });
      return matching(query, { state, gateway, gatewayAccountId, refundId, gatewayRequestNo }).getMany();
    });
    return records.map(({ observation, claimedAt: _claimedAt, ...shown }) => ({
      ...shown,
      told: observation.kind,
      raw: observation.raw,
    }));
  }
}
