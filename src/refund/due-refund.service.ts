import { Injectable } from '@nestjs/common';
import { Db } from '../database/db.js';
import { Refund } from './refund.entity.js';

/** Finds refunds whose next look is due, and moves that look ahead so that nobody else takes them meanwhile. */
@Injectable()
export class DueRefundService {
  constructor(private readonly db: Db) {}

  /**
   * Claims due refunds in the order of their due time. Any number of processes may claim at once: rows that another one holds are
   * skipped, and a claimed row is due again after `claimMs`, so that a lost queue or a killed process forgets nothing.
   *
   * @returns the ids of at most `limit` refunds.
   */
  async claim(limit: number, claimMs: number): Promise<string[]> {
    return this.db.transaction(async (manager) => {
      const due = await this.db
        .forUpdate(
          manager
            .createQueryBuilder(Refund, 'refund')
            .select(['refund.id', 'refund.nextSyncAt'])
            .where(`refund.nextSyncAt <= ${this.db.sqlNow()}`)
            .orderBy('refund.nextSyncAt', 'ASC')
            .addOrderBy('refund.id', 'ASC')
            .limit(limit),
          'skip_locked',
        )
        .getMany();
      const ids = due.map(({ id }) => id);
      if (ids.length > 0) {
        await manager
          .createQueryBuilder()
          .update(Refund)
          .set({ nextSyncAt: () => this.db.sqlNow(claimMs) })
          .where('id IN (:...ids)', { ids })
          .execute();
      }
      return ids;
    });
  }

  /** Makes a refund due now: a callback hinted that there is news. */
  async hint(refundId: string): Promise<void> {
    await this.db.read((manager) =>
      manager
        .createQueryBuilder()
        .update(Refund)
        .set({ nextSyncAt: () => this.db.sqlNow() })
        .where('id = :refundId AND nextSyncAt IS NOT NULL', { refundId })
        .execute(),
    );
  }
}
