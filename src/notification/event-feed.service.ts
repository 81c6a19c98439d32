import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { Db } from '../database/db.js';
import { Notification } from '../refund/notification.entity.js';

const BATCH = 500;
/** Who reads the feed helps with at most so much before it is answered. */
const MAX_BATCHES_PER_READ = 20;

interface Unplaced {
  id: string;
  refundId: string;
  refundVersion: number;
}

/**
 * The events of an app in an order that never changes and never grows in the middle, so that a reader who goes on from where it stopped
 * misses nothing.
 *
 * Ids do not give that: they are made before the commit, so one that is smaller may become visible later. Here a place is given after the
 * commit, by whoever holds the row lock on the head of the feed, and becomes visible when that lock is released: whoever sees place n
 * sees all below it. Within one refund events stand in the order of its changes.
 */
@Injectable()
export class EventFeed {
  constructor(private readonly db: Db) {}

  /** Events after a place, in their order. */
  async read(appId: string, afterPosition: number, limit: number): Promise<Notification[]> {
    for (let batch = 0; batch < MAX_BATCHES_PER_READ; batch += 1) if ((await this.place()) < BATCH) break;
    return this.db.read((manager) =>
      manager
        .createQueryBuilder(Notification, 'n')
        .where('n.appId = :appId AND n.position > :afterPosition', { appId, afterPosition })
        .orderBy('n.position', 'ASC')
        .limit(limit)
        .getMany(),
    );
  }

  /** Gives places to committed events that have none. @returns how many: fewer than a batch when none is left. */
  async place(): Promise<number> {
    const hasWork = await this.db.read((manager) => unplaced(manager, 1));
    if (hasWork.length === 0) return 0;
    return this.db.transaction(async (manager) => {
      // Everybody who gives places waits here for the commit of whoever does.
      const [head] = await manager.query<{ position: string | number }[]>(
        `SELECT position FROM event_feed_head WHERE id = 'feed'${this.db.isMysql ? ' FOR UPDATE' : ''}`,
      );
      if (!head) throw new Error('the head of the event feed is gone');
      const events = await inOrder(manager, await unplaced(manager, BATCH));
      if (events.length === 0) return 0;
      const first = Number(head.position) + 1;
      const cases = events.map(({ id }, index) => `WHEN '${digits(id)}' THEN ${first + index}`).join(' ');
      await manager
        .createQueryBuilder()
        .update(Notification)
        .set({ position: () => `CASE id ${this.db.isMysql ? cases.replaceAll("'", '') : cases} END` })
        .where('id IN (:...ids)', { ids: events.map(({ id }) => id) })
        .execute();
      await manager.query(`UPDATE event_feed_head SET position = ? WHERE id = 'feed'`, [first + events.length - 1]);
      return events.length;
    });
  }
}

function unplaced(manager: EntityManager, limit: number): Promise<Unplaced[]> {
  return manager
    .createQueryBuilder(Notification, 'n')
    .select(['n.id', 'n.refundId', 'n.refundVersion'])
    .where('n.position IS NULL')
    .orderBy('n.id', 'ASC')
    .limit(limit)
    .getMany();
}

/**
 * The events, with all others of the same refunds that have no place yet, each refund's in the order of its versions: an earlier change
 * may have the larger id, made by a process whose clock is ahead. It was committed before the later one could begin, so it is seen here.
 */
async function inOrder(manager: EntityManager, events: readonly Unplaced[]): Promise<Unplaced[]> {
  if (events.length === 0) return [];
  const refundIds = [...new Set(events.map(({ refundId }) => refundId))];
  const all: Unplaced[] = await manager
    .createQueryBuilder(Notification, 'n')
    .select(['n.id', 'n.refundId', 'n.refundVersion'])
    .where('n.position IS NULL AND n.refundId IN (:...refundIds)', { refundIds })
    .orderBy('n.refundVersion', 'ASC')
    .addOrderBy('n.id', 'ASC')
    .getMany();
  const byRefund = new Map<string, Unplaced[]>();
  for (const event of all) {
    const own = byRefund.get(event.refundId);
    if (own) own.push(event);
    else byRefund.set(event.refundId, [event]);
  }
  return refundIds.flatMap((refundId) => byRefund.get(refundId) ?? []);
}

function digits(id: string): string {
  if (!/^\d{1,19}$/.test(id)) throw new Error('not an id');
  return id;
}
