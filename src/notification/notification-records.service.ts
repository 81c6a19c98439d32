import { Inject, Injectable } from '@nestjs/common';
import type { EntityManager, SelectQueryBuilder } from 'typeorm';
import { Db } from '../database/db.js';
import { Notification, type NotificationState } from '../refund/notification.entity.js';
import { CLOCK, type Clock } from '../shared/clock.js';
import { ConflictError, NotFoundError } from '../shared/errors.js';
import { NotificationAttempt } from './notification-attempt.entity.js';
import { NotificationEndpoints } from './notification-endpoint.service.js';

export interface NotificationFilter {
  appId?: string;
  refundId?: string;
  state?: NotificationState;
  /** Written at or after. */
  from?: Date;
  /** Written before. */
  to?: Date;
}

/** What notifications cost and owe, for metrics and alerts. */
export interface NotificationFigures {
  pending: number;
  /** Age of the longest due one that nobody has delivered yet; 0 when nothing is due. */
  lagMs: number;
  exhausted: number;
  /** Waiting for a paused receiver. */
  paused: number;
  pausedEndpoints: number;
}

/** One that is on its way need not be sent again, one that the merchant did not want must not be. */
const REDELIVERABLE: ReadonlySet<NotificationState> = new Set(['pending', 'delivered', 'exhausted', 'notNeeded']);
const MAX_ATTEMPTS_LISTED = 500;

/** Notifications and their attempts as operators see them. */
@Injectable()
export class NotificationRecords {
  constructor(
    private readonly db: Db,
    private readonly endpoints: NotificationEndpoints,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /** In the order of ids. */
  async list(filter: NotificationFilter & { afterId?: string; limit: number }): Promise<Notification[]> {
    return this.db.read((manager) => {
      const query = filtered(manager, filter);
      if (filter.afterId !== undefined) query.andWhere('n.id > :afterId', { afterId: filter.afterId });
      return query.limit(filter.limit).getMany();
    });
  }

  /** @throws NotFoundError */
  async find(id: string): Promise<Notification> {
    const found = await this.db.read((manager) => manager.findOneBy(Notification, { id }));
    if (!found) throw new NotFoundError(`no notification ${id}`);
    return found;
  }

  /** The newest attempts, oldest first. */
  async attempts(notificationId: string): Promise<NotificationAttempt[]> {
    const newest = await this.db.read((manager) =>
      manager.find(NotificationAttempt, {
        where: { notificationId },
        order: { id: 'DESC' },
        take: MAX_ATTEMPTS_LISTED,
      }),
    );
    return newest.reverse();
  }

  /**
   * Makes a notification due now, with the whole ladder before it; the earlier ones of its refund still go first.
   *
   * @throws NotFoundError; ConflictError where the merchant wants none, or its receiver is paused.
   */
  async redeliver(id: string): Promise<{ before: Notification; after: Notification }> {
    return this.db.transaction(async (manager) => {
      const before = await this.db
        .forUpdate(manager.createQueryBuilder(Notification, 'n').where('n.id = :id', { id }))
        .getOne();
      if (!before) throw new NotFoundError(`no notification ${id}`);
      if (before.state === 'suppressed') throw new ConflictError('id', 'the merchant asked not to be notified');
      if (before.state === 'paused')
        throw new ConflictError('id', `waits for endpoint ${before.endpointId}: resume that instead`);
      await this.makeDue(manager, [id]);
      return { before, after: await manager.findOneByOrFail(Notification, { id }) };
    });
  }

  /**
   * Makes at most `limit` notifications due, the oldest first; suppressed and paused ones are left as they are.
   *
   * @returns the id of the last one: the next range begins after it; null when nothing was left.
   */
  async redeliverMany(
    filter: NotificationFilter & { afterId?: string; limit: number },
  ): Promise<{ redelivered: number; lastId: string | null; more: boolean }> {
    const { limit } = filter;
    return this.db.transaction(async (manager) => {
      const query = filtered(manager, filter).select(['n.id']);
      query.andWhere('n.state IN (:...redeliverable)', { redeliverable: [...REDELIVERABLE] });
      if (filter.afterId !== undefined) query.andWhere('n.id > :afterId', { afterId: filter.afterId });
      const found = await query.limit(limit + 1).getMany();
      const ids = found.slice(0, limit).map(({ id }) => id);
      if (ids.length > 0) await this.makeDue(manager, ids);
      return { redelivered: ids.length, lastId: ids.at(-1) ?? null, more: found.length > limit };
    });
  }

  async figures(): Promise<NotificationFigures> {
    const count = (state: NotificationState): Promise<number> =>
      this.db.read((manager) => manager.countBy(Notification, { state }));
    const [oldest] = await this.db.read((manager) =>
      manager
        .createQueryBuilder(Notification, 'n')
        .select(['n.id', 'n.nextAttemptAt'])
        .where(`n.state = 'pending' AND n.nextAttemptAt <= ${this.db.sqlNow()}`)
        .orderBy('n.nextAttemptAt', 'ASC')
        .limit(1)
        .getMany(),
    );
    const nowMs = this.clock.now().getTime();
    return {
      pending: await count('pending'),
      lagMs: Math.max(0, nowMs - (oldest?.nextAttemptAt?.getTime() ?? nowMs)),
      exhausted: await count('exhausted'),
      paused: await count('paused'),
      pausedEndpoints: await this.endpoints.pausedCount(),
    };
  }

  /** One that is being delivered just now keeps its lease: the outcome of that attempt is the first of the new ladder. */
  private async makeDue(manager: EntityManager, ids: readonly string[]): Promise<void> {
    await manager
      .createQueryBuilder()
      .update(Notification)
      .set({ state: 'pending', attempts: 0, nextAttemptAt: () => this.db.sqlNow(), deliveredAt: null })
      .where('id IN (:...ids) AND state IN (:...redeliverable)', { ids, redeliverable: [...REDELIVERABLE] })
      .execute();
  }
}

function filtered(
  manager: EntityManager,
  { appId, refundId, state, from, to }: NotificationFilter,
): SelectQueryBuilder<Notification> {
  const query = manager.createQueryBuilder(Notification, 'n').orderBy('n.id', 'ASC');
  if (appId !== undefined) query.andWhere('n.appId = :appId', { appId });
  if (refundId !== undefined) query.andWhere('n.refundId = :refundId', { refundId });
  if (state !== undefined) query.andWhere('n.state = :state', { state });
  if (from !== undefined) query.andWhere('n.createdAt >= :from', { from });
  if (to !== undefined) query.andWhere('n.createdAt < :to', { to });
  return query;
}
