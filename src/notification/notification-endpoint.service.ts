import { Inject, Injectable, Logger } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { APP_CONFIG, type AppConfig } from '../config/app-config.js';
import { Db } from '../database/db.js';
import { Notification } from '../refund/notification.entity.js';
import { CLOCK, type Clock } from '../shared/clock.js';
import { ConflictError, NotFoundError } from '../shared/errors.js';
import { IdGenerator } from '../shared/ids.js';
import type { DeliveryFault } from './notification-attempt.entity.js';
import { NotificationEndpoint } from './notification-endpoint.entity.js';

const UNPARK_BATCH = 500;

/** Receivers that fail: since when, and whether they are left in peace. */
@Injectable()
export class NotificationEndpoints {
  private readonly logger = new Logger('Notifications');

  constructor(
    private readonly db: Db,
    private readonly ids: IdGenerator,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(APP_CONFIG) private readonly config: AppConfig,
  ) {}

  /**
   * Keeps what an attempt says of its receiver, in the transaction that keeps the attempt.
   *
   * @returns the receiver's row when it is paused, and whether it was paused just now.
   */
  async recordWithin(
    manager: EntityManager,
    appId: string,
    origin: string,
    fault: DeliveryFault | null,
  ): Promise<{ paused: NotificationEndpoint | null; isNews: boolean }> {
    const stored = await this.find(manager, appId, origin);
    const now = this.clock.now();
    if (fault === null) {
      if (stored && stored.failures > 0)
        await manager.update(NotificationEndpoint, stored.id, { failures: 0, failingSince: null, updatedAt: now });
      return { paused: stored?.pausedAt ? stored : null, isNews: false };
    }
    if (!stored) {
      await manager.insert(NotificationEndpoint, {
        id: this.ids.next(),
        appId,
        origin,
        failures: 1,
        failingSince: now,
        lastFailureAt: now,
        lastFault: fault,
        pausedAt: null,
        resuming: false,
        updatedAt: now,
      });
      return { paused: null, isNews: false };
    }
    const failingSince = stored.failingSince ?? now;
    const isNews = stored.pausedAt === null && now.getTime() - failingSince.getTime() >= this.config.notifyPauseAfterMs;
    const change = {
      failures: stored.failures + 1,
      failingSince,
      lastFailureAt: now,
      lastFault: fault,
      pausedAt: isNews ? now : stored.pausedAt,
      updatedAt: now,
    };
    await manager.update(NotificationEndpoint, stored.id, change);
    const current = { ...stored, ...change };
    return { paused: current.pausedAt === null ? null : current, isNews };
  }

  /** For who is about to deliver. Reads under lock, so that whoever resumes the receiver finds what was parked before. */
  async pausedWithin(manager: EntityManager, appId: string, origin: string): Promise<NotificationEndpoint | null> {
    const seen = await manager.findOneBy(NotificationEndpoint, { appId, origin });
    if (!seen?.pausedAt) return null;
    const locked = await this.find(manager, appId, origin);
    return locked?.pausedAt ? locked : null;
  }

  /** A person has to know: nothing is sent there until somebody resumes it. */
  alert({ id, appId, origin, failingSince, failures, lastFault }: NotificationEndpoint): void {
    this.logger.error({
      code: 'NOTIFY_ENDPOINT_PAUSED',
      msg: 'a receiver of notifications has failed for too long and is paused',
      endpointId: id,
      appId,
      origin,
      failingSince,
      failures,
      lastFault,
    });
  }

  /** Receivers that have failed at some time, paused ones first. */
  async list(filter: { paused?: boolean; appId?: string; limit: number }): Promise<NotificationEndpoint[]> {
    return this.db.read((manager) => {
      const query = manager.createQueryBuilder(NotificationEndpoint, 'endpoint').limit(filter.limit);
      if (filter.appId !== undefined) query.andWhere('endpoint.appId = :appId', { appId: filter.appId });
      if (filter.paused === true) query.andWhere('endpoint.pausedAt IS NOT NULL');
      if (filter.paused === false) query.andWhere('endpoint.pausedAt IS NULL');
      return query.orderBy('endpoint.id', 'ASC').getMany();
    });
  }

  /**
   * Lets a paused receiver have its notifications again; what waited for it becomes due within seconds.
   *
   * @throws NotFoundError, or ConflictError when it is not paused.
   */
  async resume(id: string): Promise<{ before: NotificationEndpoint; after: NotificationEndpoint }> {
    return this.db.transaction(async (manager) => {
      const before = await this.db
        .forUpdate(manager.createQueryBuilder(NotificationEndpoint, 'endpoint').where('endpoint.id = :id', { id }))
        .getOne();
      if (!before) throw new NotFoundError(`no notification endpoint ${id}`);
      if (before.pausedAt === null) throw new ConflictError('id', `${id} is not paused`);
      const change = {
        pausedAt: null,
        resuming: true,
        failures: 0,
        failingSince: null,
        updatedAt: this.clock.now(),
      };
      await manager.update(NotificationEndpoint, id, change);
      return { before, after: { ...before, ...change } };
    });
  }

  /** Makes due what waited for receivers that were resumed, in small steps; what a process leaves, the next one finds. */
  async unpark(): Promise<number> {
    const resumed = await this.db.read((manager) => manager.findBy(NotificationEndpoint, { resuming: true }));
    let total = 0;
    for (const { id: endpointId } of resumed) {
      for (;;) {
        const count = await this.unparkSome(endpointId);
        total += count;
        if (count < UNPARK_BATCH) break;
      }
    }
    return total;
  }

  async pausedCount(): Promise<number> {
    return this.db.read((manager) =>
      manager.createQueryBuilder(NotificationEndpoint, 'endpoint').where('endpoint.pausedAt IS NOT NULL').getCount(),
    );
  }

  private async unparkSome(endpointId: string): Promise<number> {
    return this.db.transaction(async (manager) => {
      const parked = await manager.find(Notification, {
        select: { id: true },
        where: { endpointId, state: 'paused' },
        order: { id: 'ASC' },
        take: UNPARK_BATCH,
      });
      if (parked.length < UNPARK_BATCH) await manager.update(NotificationEndpoint, endpointId, { resuming: false });
      if (parked.length === 0) return 0;
      await manager
        .createQueryBuilder()
        .update(Notification)
        .set({ state: 'pending', endpointId: null, nextAttemptAt: () => this.db.sqlNow() })
        .where("id IN (:...ids) AND state = 'paused'", { ids: parked.map(({ id }) => id) })
        .execute();
      return parked.length;
    });
  }

  private find(manager: EntityManager, appId: string, origin: string): Promise<NotificationEndpoint | null> {
    return this.db
      .forUpdate(
        manager
          .createQueryBuilder(NotificationEndpoint, 'endpoint')
          .where('endpoint.appId = :appId AND endpoint.origin = :origin', { appId, origin }),
      )
      .getOne();
  }
}
