import { Inject, Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { APP_CONFIG, type AppConfig } from '../config/app-config.js';
import { idList, selectByIds } from '../database/bulk.js';
import { Db } from '../database/db.js';
import { Batcher } from '../shared/batcher.js';
import { IdGenerator } from '../shared/ids.js';
import { Payment } from './payment.entity.js';
import { Refund } from './refund.entity.js';

/** Leases asked for at the same time are taken by one statement. */
const MAX_BATCH = 128;
/** A second round beside a running one is for at least so many. */
const WORTHWHILE = 32;

/** The right to call the gateway about one refund. */
export interface Lease {
  token: string;
  refund: Refund;
  payment: Payment;
}

/**
 * At most one gateway call per refund at any time, over all processes. The lease lives in the refund row and nowhere else:
 * queues may run a job twice or forget it, and neither does harm.
 *
 * It is longer than the longest gateway call and the transaction after it. A process that dies holds its refunds that long; one that is
 * merely paused longer finds its token gone, and its answer is not used.
 */
@Injectable()
export class LeaseService {
  private readonly batcher: Batcher<string, Lease | 'busy' | 'absent'>;

  constructor(
    private readonly db: Db,
    private readonly ids: IdGenerator,
    @Inject(APP_CONFIG) private readonly config: AppConfig,
  ) {
    this.batcher = new Batcher(
      (refundIds) => this.acquireTogether(refundIds),
      { maxBatch: MAX_BATCH, maxParallel: db.isMysql ? 2 : 1, worthwhile: WORTHWHILE },
      (refundId) => refundId,
    );
  }

  /** @returns `busy` when somebody else holds it, `absent` when there is no such refund. */
  async acquire(refundId: string): Promise<Lease | 'busy' | 'absent'> {
    return this.batcher.submit(refundId);
  }

  /** One token for the round: it tells one holder of a row from the next, and the rows of a round are different ones. */
  private async acquireTogether(refundIds: readonly string[]): Promise<(Lease | 'busy' | 'absent')[]> {
    const token = this.ids.next();
    return this.db.read(async (manager) => {
      await manager.query(
        `UPDATE refund SET leaseToken = ?, leaseUntil = ${this.db.sqlNow(this.config.leaseMs)}
         WHERE id IN (${idList(manager, refundIds)}) AND (leaseUntil IS NULL OR leaseUntil <= ${this.db.sqlNow()})`,
        [token],
      );
      const refunds = await selectByIds(manager, Refund, refundIds);
      const taken = [...refunds.values()].filter(({ leaseToken }) => leaseToken === token);
      const payments = await selectByIds(manager, Payment, [...new Set(taken.map(({ paymentId }) => paymentId))]);
      return refundIds.map((id) => {
        const refund = refunds.get(id);
        if (!refund) return 'absent';
        if (refund.leaseToken !== token) return 'busy';
        const payment = payments.get(refund.paymentId);
        if (!payment) throw new Error(`payment ${refund.paymentId} of refund ${id} is gone`);
        return { token, refund, payment };
      });
    });
  }

  /**
   * For the transaction that inserts a refund: it is born with its lease held, and due when that runs out, should this process die before
   * it asked.
   *
   * @returns the token.
   */
  async holdNew(manager: EntityManager, refundId: string): Promise<string> {
    const token = this.ids.next();
    const until = (): string => this.db.sqlNow(this.config.leaseMs);
    await manager
      .createQueryBuilder()
      .update(Refund)
      .set({ leaseToken: token, leaseUntil: until, nextSyncAt: until })
      .where('id = :refundId', { refundId })
      .execute();
    return token;
  }

  /** Starts the lease anew before another call. @returns false when it was lost meanwhile. */
  async renew(refundId: string, token: string): Promise<boolean> {
    const renewed = await this.db.read((manager) =>
      manager
        .createQueryBuilder()
        .update(Refund)
        .set({ leaseUntil: () => this.db.sqlNow(this.config.leaseMs) })
        .where('id = :refundId AND leaseToken = :token', { refundId, token })
        .execute(),
    );
    return renewed.affected === 1;
  }

  /** Gives the lease back where no apply() did. Harmless when it was lost. */
  async release(refundId: string, token: string): Promise<void> {
    await this.db.read((manager) =>
      manager
        .createQueryBuilder()
        .update(Refund)
        .set({ leaseToken: null, leaseUntil: null })
        .where('id = :refundId AND leaseToken = :token', { refundId, token })
        .execute(),
    );
  }
}
