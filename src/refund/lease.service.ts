import { Injectable } from '@nestjs/common';
import { Db } from '../database/db.js';
import { SECOND_MS } from '../shared/clock.js';
import { IdGenerator } from '../shared/ids.js';
import { Payment } from './payment.entity.js';
import { Refund } from './refund.entity.js';

/**
 * Longer than the longest gateway call (15 s) and the transaction after it. A process that dies holds its refunds this long; one that is
 * merely paused longer finds its token gone, and its answer is not used.
 */
export const LEASE_MS = 30 * SECOND_MS;

/** The right to call the gateway about one refund. */
export interface Lease {
  token: string;
  refund: Refund;
  payment: Payment;
}

/**
 * At most one gateway call per refund at any time, over all processes. The lease lives in the refund row and nowhere else:
 * queues may run a job twice or forget it, and neither does harm.
 */
@Injectable()
export class LeaseService {
  constructor(
    private readonly db: Db,
    private readonly ids: IdGenerator,
  ) {}

  /** @returns `busy` when somebody else holds it, `absent` when there is no such refund. */
  async acquire(refundId: string): Promise<Lease | 'busy' | 'absent'> {
    const token = this.ids.next();
    return this.db.transaction(async (manager) => {
      const taken = await manager
        .createQueryBuilder()
        .update(Refund)
        .set({ leaseToken: token, leaseUntil: () => this.db.sqlNow(LEASE_MS) })
        .where(`id = :refundId AND (leaseUntil IS NULL OR leaseUntil <= ${this.db.sqlNow()})`, { refundId })
        .execute();
      const refund = await manager.findOneBy(Refund, { id: refundId });
      if (!refund) return 'absent';
      if (taken.affected !== 1) return 'busy';
      const payment = await manager.findOneByOrFail(Payment, { id: refund.paymentId });
      return { token, refund, payment };
    });
  }

  /** Starts the lease anew before another call. @returns false when it was lost meanwhile. */
  async renew(refundId: string, token: string): Promise<boolean> {
    const renewed = await this.db.read((manager) =>
      manager
        .createQueryBuilder()
        .update(Refund)
        .set({ leaseUntil: () => this.db.sqlNow(LEASE_MS) })
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
