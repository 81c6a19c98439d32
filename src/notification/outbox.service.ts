import { Injectable, Logger } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { Db } from '../database/db.js';
import type { ResolvedApp } from '../merchant/merchant-app.service.js';
import { Notification } from '../refund/notification.entity.js';
import { SECOND_MS } from '../shared/clock.js';
import { IdGenerator } from '../shared/ids.js';
import { redactText } from '../shared/redaction.js';
import { currentTraceId } from '../shared/trace.js';
import { pauseAfter } from './ladder.js';
import { NotificationAttempt } from './notification-attempt.entity.js';
import { NotificationEndpoints } from './notification-endpoint.service.js';
import type { DeliveryResult } from './notification.sender.js';

/** A worker that was told of a notification and does not begin within this is taken for lost. */
const CLAIM_MS = 30 * SECOND_MS;
/** Three times as long as the longest attempt; a process that dies holds its refund's notifications that long. */
const LEASE_MS = 15 * SECOND_MS;
/** A later notification looks again this long after the earlier one's next attempt; it is told sooner when that one is done. */
const LOOK_AGAIN_MS = SECOND_MS;
const MAX_ANSWER = 300;

/** Notifications that share a receiver: an app, and the origin of the refund's own address or empty for the app's. */
export interface Lane {
  appId: string;
  receiver: string;
}

/** The right to deliver one notification now. */
export interface Turn {
  token: string;
  notification: Notification;
  /** Null when the app is switched off. */
  url: string | null;
}

export interface Attempted {
  startedAt: Date;
  origin: string;
  result: DeliveryResult;
  /** Secrets that the answer might repeat. */
  secrets: readonly string[];
}

/**
 * The outbox as the relay sees it: what is due, who may deliver it, what became of it. The rows are the truth; queue and processes may
 * forget or repeat anything.
 */
@Injectable()
export class Outbox {
  private readonly logger = new Logger('Notifications');

  constructor(
    private readonly db: Db,
    private readonly ids: IdGenerator,
    private readonly endpoints: NotificationEndpoints,
  ) {}

  /** Every lane in which something is due. */
  async lanes(): Promise<Lane[]> {
    // Grouped by the whole beginning of the claim's index: one seek per lane, however many notifications wait.
    return this.db.read((manager) =>
      manager.query<Lane[]>(
        `SELECT appId, receiver FROM notification WHERE state = 'pending'
         GROUP BY state, appId, receiver HAVING MIN(nextAttemptAt) <= ${this.db.sqlNow()}`,
      ),
    );
  }

  /**
   * Claims due notifications of one lane, the longest due first. Any number of processes may claim at once; together they have at most about
   * `window` of a lane in hand, so that a slow receiver holds up nobody but itself.
   *
   * @returns the ids, and whether the window is full: then more may be due than was claimed.
   */
  async claim({ appId, receiver }: Lane, window: number): Promise<{ ids: string[]; isFull: boolean }> {
    return this.db.transaction(async (manager) => {
      const now = this.db.sqlNow();
      const ofLane = "n.state = 'pending' AND n.appId = :appId AND n.receiver = :receiver";
      const inHand = await manager
        .createQueryBuilder(Notification, 'n')
        .where(`${ofLane} AND n.leaseUntil > ${now}`, { appId, receiver })
        .getCount();
      if (inHand >= window) return { ids: [], isFull: true };
      const due = await this.db
        .forUpdate(
          manager
            .createQueryBuilder(Notification, 'n')
            .select(['n.id', 'n.nextAttemptAt'])
            .where(`${ofLane} AND n.nextAttemptAt <= ${now} AND (n.leaseUntil IS NULL OR n.leaseUntil <= ${now})`, {
              appId,
              receiver,
            })
            .orderBy('n.nextAttemptAt', 'ASC')
            .addOrderBy('n.id', 'ASC')
            .limit(window - inHand),
          'skip_locked',
        )
        .getMany();
      const ids = due.map(({ id }) => id);
      if (ids.length > 0) {
        await manager
          .createQueryBuilder()
          .update(Notification)
          .set({ leaseUntil: () => this.db.sqlNow(CLAIM_MS), leaseToken: null })
          .where('id IN (:...ids)', { ids })
          .execute();
      }
      return { ids, isFull: ids.length === window - inHand };
    });
  }

  /** Nobody remembers what was claimed: all of it may be claimed again. */
  async forgetClaims(): Promise<void> {
    await this.db.transaction((manager) =>
      manager
        .createQueryBuilder()
        .update(Notification)
        .set({ leaseUntil: null })
        .where("state = 'pending' AND leaseToken IS NULL AND leaseUntil IS NOT NULL")
        .execute(),
    );
  }

  async find(id: string): Promise<Notification | null> {
    return this.db.read((manager) => manager.findOneBy(Notification, { id }));
  }

  /**
   * Takes the right to deliver: the notification is due, nobody delivers another of its refund, and the earlier ones of its refund are
   * delivered or given up.
   *
   * @param app undefined when it is switched off.
   * @returns undefined when it is not its turn, or there is nothing to do; the row then says when to look again.
   */
  async take(id: string, refundId: string, app: ResolvedApp | undefined): Promise<Turn | undefined> {
    return this.db.transaction(async (manager) => {
      const siblings = await this.lockSiblings(manager, refundId);
      const mine = siblings.find((row) => row.id === id);
      if (mine?.state !== 'pending' || !mine.isDue) return undefined;
      // Its own lease, too: a queue may run a job twice.
      if (siblings.some(({ isHeld }) => isHeld)) {
        if (!mine.isHeld) await this.postpone(manager, id, LOOK_AGAIN_MS);
        return undefined;
      }
      const earlier = siblings
        .filter(({ state }) => state === 'pending' || state === 'paused')
        .filter((row) => isBefore(row, mine))
        .sort((a, b) => (isBefore(a, b) ? -1 : 1))[0];
      if (earlier?.state === 'paused') {
        await this.park(manager, id, earlier.endpointId);
        return undefined;
      }
      if (earlier) {
        await this.postpone(manager, id, Math.max(0, earlier.dueInMs) + LOOK_AGAIN_MS);
        return undefined;
      }
      const notification = await manager.findOneByOrFail(Notification, { id });
      const url = notification.url ?? app?.notifyUrl ?? null;
      if (url === null && app) {
        await this.settle(manager, notification, { state: 'notNeeded', nextAttemptAt: null });
        return undefined;
      }
      const paused =
        url === null ? null : await this.endpoints.pausedWithin(manager, notification.appId, originOf(url));
      if (paused) {
        await this.park(manager, id, paused.id);
        return undefined;
      }
      const token = this.ids.next();
      await manager
        .createQueryBuilder()
        .update(Notification)
        .set({ leaseToken: token, leaseUntil: () => this.db.sqlNow(LEASE_MS) })
        .where('id = :id', { id })
        .execute();
      return { token, notification, url: app ? url : null };
    });
  }

  /**
   * Keeps an attempt and what follows from it. An attempt whose lease was lost meanwhile is kept as well, but whoever has the lease now
   * decides.
   */
  async finish({ token, notification: { id, refundId } }: Turn, attempted: Attempted): Promise<void> {
    const { result, origin } = attempted;
    const { fault } = result;
    const outcome = await this.db.transaction(
      async (manager) => {
        await manager.insert(NotificationAttempt, this.rowOf(id, attempted));
        await this.lockSiblings(manager, refundId);
        const row = await manager.findOneByOrFail(Notification, { id });
        const endpoint = isOfReceiver(fault)
          ? await this.endpoints.recordWithin(manager, row.appId, origin, fault)
          : { paused: null, isNews: false };
        if (row.leaseToken !== token || row.state !== 'pending') return { ...endpoint, exhausted: false };
        const attempts = row.attempts + 1;
        const pauseMs = pauseAfter(attempts);
        if (fault === null) {
          await this.settle(manager, row, {
            state: 'delivered',
            attempts,
            nextAttemptAt: null,
            deliveredAt: () => this.db.sqlNow(),
          });
        } else if (pauseMs === undefined) {
          await this.settle(manager, row, { state: 'exhausted', attempts, nextAttemptAt: null });
        } else if (endpoint.paused) {
          await manager.update(Notification, id, { attempts });
          await this.park(manager, id, endpoint.paused.id);
        } else {
          await manager
            .createQueryBuilder()
            .update(Notification)
            .set({ attempts, nextAttemptAt: () => this.db.sqlNow(pauseMs), leaseUntil: null, leaseToken: null })
            .where('id = :id', { id })
            .execute();
        }
        return { ...endpoint, exhausted: fault !== null && pauseMs === undefined };
      },
      // Two first failures of one receiver at once.
      { retryDuplicates: true },
    );
    if (outcome.isNews && outcome.paused) this.endpoints.alert(outcome.paused);
    if (outcome.exhausted)
      this.logger.warn({
        code: 'NOTIFY_EXHAUSTED',
        msg: 'a notification was given up after the last attempt',
        notificationId: id,
        origin,
        fault,
      });
  }

  /** Makes the notification final, gives its lease back, and tells the later ones of its refund that it may be their turn. */
  private async settle(
    manager: EntityManager,
    { id, refundId }: Notification,
    change: Parameters<ReturnType<ReturnType<EntityManager['createQueryBuilder']>['update']>['set']>[0],
  ): Promise<void> {
    await manager
      .createQueryBuilder()
      .update(Notification)
      .set({ ...change, leaseUntil: null, leaseToken: null })
      .where('id = :id', { id })
      .execute();
    await manager
      .createQueryBuilder()
      .update(Notification)
      .set({ nextAttemptAt: () => this.db.sqlNow(), leaseUntil: null })
      .where("refundId = :refundId AND id <> :id AND state = 'pending' AND attempts = 0 AND leaseToken IS NULL", {
        refundId,
        id,
      })
      .execute();
  }

  private async postpone(manager: EntityManager, id: string, ms: number): Promise<void> {
    await manager
      .createQueryBuilder()
      .update(Notification)
      .set({ nextAttemptAt: () => this.db.sqlNow(ms), leaseUntil: null, leaseToken: null })
      .where('id = :id', { id })
      .execute();
  }

  private async park(manager: EntityManager, id: string, endpointId: string | null): Promise<void> {
    await manager.update(Notification, id, {
      state: 'paused',
      endpointId,
      nextAttemptAt: null,
      leaseUntil: null,
      leaseToken: null,
    });
  }

  /** All notifications of a refund, always locked in the same order: whoever delivers one of them stands here first. */
  private async lockSiblings(manager: EntityManager, refundId: string): Promise<Sibling[]> {
    const now = this.db.sqlNow();
    const dueInMs = this.db.isMysql
      ? `TIMESTAMPDIFF(MICROSECOND, ${now}, nextAttemptAt) / 1000`
      : `(julianday(nextAttemptAt) - julianday(${now})) * 86400000`;
    const rows: Record<string, unknown>[] = await manager.query(
      `SELECT id, state, refundVersion, endpointId, nextAttemptAt <= ${now} AS isDue, ${dueInMs} AS dueInMs,
         (leaseToken IS NOT NULL AND leaseUntil > ${now}) AS isHeld
       FROM notification WHERE refundId = ? ORDER BY id${this.db.isMysql ? ' FOR UPDATE' : ''}`,
      [refundId],
    );
    return rows.map((row) => ({
      id: String(row['id']),
      state: row['state'] as Notification['state'],
      refundVersion: Number(row['refundVersion']),
      endpointId: row['endpointId'] as string | null,
      isDue: Number(row['isDue']) === 1,
      dueInMs: Math.round(Number(row['dueInMs'])),
      isHeld: Number(row['isHeld']) === 1,
    }));
  }

  private rowOf(notificationId: string, { startedAt, origin, result, secrets }: Attempted): NotificationAttempt {
    const { statusCode, durationMs, fault, detail } = result;
    const printable = redactText(result.answer.slice(0, 2_000), secrets)
      .replace(/\p{C}+/gu, ' ')
      .trim();
    return {
      id: this.ids.next(),
      notificationId,
      origin,
      statusCode,
      durationMs,
      fault,
      detail: detail === null ? null : redactText(detail, secrets).slice(0, MAX_ANSWER),
      answer: printable === '' ? null : [...printable].slice(0, MAX_ANSWER).join(''),
      traceId: currentTraceId() ?? null,
      startedAt,
    };
  }
}

interface Sibling {
  id: string;
  state: Notification['state'];
  refundVersion: number;
  endpointId: string | null;
  isDue: boolean;
  dueInMs: number;
  isHeld: boolean;
}

/** By the refund's version; ids, which clocks make, settle it only for rows from before versions were kept. */
function isBefore(a: Sibling, b: Sibling): boolean {
  if (a.refundVersion !== b.refundVersion) return a.refundVersion < b.refundVersion;
  return BigInt(a.id) < BigInt(b.id);
}

/** Scheme, host and port; empty for what is no URL. */
export function originOf(url: string): string {
  return URL.canParse(url) ? new URL(url).origin : '';
}

/** Faults of our own side say nothing of the receiver. */
function isOfReceiver(fault: DeliveryResult['fault']): boolean {
  return fault !== 'appSwitchedOff' && fault !== 'badUrl';
}
