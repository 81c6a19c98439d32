import { Injectable } from '@nestjs/common';
import { Db } from '../database/db.js';
import { Refund } from './refund.entity.js';

/** Finds refunds whose next look is due, and moves that look ahead so that nobody else takes them meanwhile. */
@Injectable()
export class DueRefundService {
  constructor(private readonly db: Db) {}

  /** Every gateway account that a refund names, also one that is gone. */
  async accountIds(): Promise<string[]> {
    // One seek per account in the index of the claim, however many refunds there are.
    const rows: { id: string }[] = await this.db.read((manager) =>
      manager.query('SELECT DISTINCT gatewayAccountId AS id FROM refund WHERE gatewayAccountId IS NOT NULL'),
    );
    return rows.map(({ id }) => id);
  }

  /** The account of a refund, which never changes; null where there is no gateway to ask, undefined when there is no such refund. */
  async accountOf(refundId: string): Promise<string | null | undefined> {
    const refund = await this.db.read((manager) =>
      manager.findOne(Refund, { select: { id: true, gatewayAccountId: true }, where: { id: refundId } }),
    );
    return refund?.gatewayAccountId ?? (refund ? null : undefined);
  }

  /**
   * Claims due refunds of one account in the order of their due time: what one account cannot work off stays where it is and is in nobody's
   * way. Any number of processes may claim at once: rows that another one holds are skipped, and a claimed row is due again after
   * `claimMs`, so that a lost queue or a killed process forgets nothing.
   *
   * @returns the ids of at most `limit` refunds.
   */
  async claim(gatewayAccountId: string, limit: number, claimMs: number): Promise<string[]> {
    return this.db.transaction(async (manager) => {
      const due = await this.db
        .forUpdate(
          manager
            .createQueryBuilder(Refund, 'refund')
            .select(['refund.id', 'refund.nextSyncAt'])
            .where(`refund.gatewayAccountId = :gatewayAccountId AND refund.nextSyncAt <= ${this.db.sqlNow()}`, {
              gatewayAccountId,
            })
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

  /**
   * Makes everything due that may have been claimed for a queue which has lost it since. What was planned for so soon anyway is looked
   * at a little early.
   */
  async takeBackClaims(gatewayAccountId: string, claimMs: number): Promise<void> {
    await this.db.transaction((manager) =>
      manager
        .createQueryBuilder()
        .update(Refund)
        .set({ nextSyncAt: () => this.db.sqlNow() })
        .where(
          `gatewayAccountId = :gatewayAccountId AND nextSyncAt > ${this.db.sqlNow()} AND nextSyncAt <= ${this.db.sqlNow(claimMs)}`,
          { gatewayAccountId },
        )
        .execute(),
    );
  }

  /** Puts a claimed refund back: it is due again after `afterMs`. Nothing was asked, so nothing is recorded. */
  async postpone(refundId: string, afterMs: number): Promise<void> {
    await this.db.read((manager) =>
      manager
        .createQueryBuilder()
        .update(Refund)
        .set({ nextSyncAt: () => this.db.sqlNow(afterMs) })
        .where('id = :refundId AND nextSyncAt IS NOT NULL', { refundId })
        .execute(),
    );
  }

  /** Makes a refund due now: a callback hinted that there is news, or nobody can tell whether its job still exists. */
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
