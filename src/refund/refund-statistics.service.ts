import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { Db } from '../database/db.js';
import { rawTime } from '../database/raw-values.js';
import { CHANNELS, type Channel } from '../gateway/gateway.port.js';
import type { NotificationState } from './notification.entity.js';
import type { RefundStatus } from './refund-status.js';

/** Nothing is counted farther than this: who has more than so many of something wants to know that, not how many. */
export const COUNT_CAP = 10_000;
/** Accounts whose backlog is told, in the order of their ids. */
const MAX_ACCOUNTS = 100;

const UNRESOLVED = ['progress', 'review'] as const satisfies readonly RefundStatus[];

export interface UnresolvedRefunds {
  channel: Channel;
  status: (typeof UNRESOLVED)[number];
  /** At most COUNT_CAP. */
  count: number;
  /** When the oldest was sent, as the merchant says. */
  oldestAt: Date | null;
}

export interface DueRefunds {
  accountId: string;
  /** At most COUNT_CAP. */
  count: number;
  /** Since when the first has been due. */
  oldestDueAt: Date | null;
}

const UNDELIVERED = ['pending', 'paused', 'exhausted'] as const satisfies readonly NotificationState[];

export interface OutboxBacklog {
  /** At most COUNT_CAP each. */
  counts: Record<(typeof UNDELIVERED)[number], number>;
  /** Since when the first has been due to be sent. */
  oldestDueAt: Date | null;
}

/** What is going on, in numbers. Every statement is answered by an index and bounded, at any number of refunds. */
@Injectable()
export class RefundStatistics {
  constructor(private readonly db: Db) {}

  async unresolved(): Promise<UnresolvedRefunds[]> {
    const groups = CHANNELS.flatMap((channel) => UNRESOLVED.map((status) => ({ channel, status })));
    const condition = (status: string, channel: string): string => `status = '${status}' AND channel = '${channel}'`;
    const rows = await this.query(
      groups
        .map(({ status, channel }) => {
          const where = condition(status, channel);
          return `SELECT ${counted('refund', where)} AS n, (SELECT MIN(createdAt) FROM refund WHERE ${where}) AS oldest`;
        })
        .join(' UNION ALL '),
    );
    return groups.map((group, index) => {
      const { count, oldest } = countAndTime(rows[index]);
      return { ...group, count, oldestAt: oldest };
    });
  }

  /** @param accountIds as DueRefundService tells them. */
  async due(accountIds: readonly string[]): Promise<DueRefunds[]> {
    const told = [...accountIds].sort().slice(0, MAX_ACCOUNTS);
    if (told.length === 0) return [];
    const where = `gatewayAccountId = ? AND nextSyncAt <= ${this.db.sqlNow()}`;
    const rows = await this.query(
      told
        .map(
          () =>
            `SELECT ${counted('refund', where)} AS n, (SELECT MIN(nextSyncAt) FROM refund WHERE ${where}) AS oldest`,
        )
        .join(' UNION ALL '),
      told.flatMap((accountId) => [accountId, accountId]),
    );
    return told.map((accountId, index) => {
      const { count, oldest } = countAndTime(rows[index]);
      return { accountId, count, oldestDueAt: oldest };
    });
  }

  async outbox(): Promise<OutboxBacklog> {
    const counts = UNDELIVERED.map((state) => `${counted('notification', `state = '${state}'`)} AS ${state}`);
    const [row = {}] = await this.query(
      `SELECT ${counts.join(', ')}, (SELECT MIN(nextAttemptAt) FROM notification WHERE state = 'pending') AS oldest`,
    );
    const countOf = (state: (typeof UNDELIVERED)[number]): number => Number(row[state] ?? 0);
    return {
      counts: { pending: countOf('pending'), paused: countOf('paused'), exhausted: countOf('exhausted') },
      oldestDueAt: rawTime(row['oldest']),
    };
  }

  /** Payments of which more was refunded than was paid: money that is lost until somebody acts. */
  async overRefundedPayments(): Promise<number> {
    const condition = this.db.isMysql ? 'isOverRefunded = 1' : 'overRefunded > 0';
    const [row] = await this.query(`SELECT ${counted('payment', condition)} AS n`);
    return countAndTime(row).count;
  }

  private query(sql: string, parameters: readonly unknown[] = []): Promise<Record<string, unknown>[]> {
    return this.db.read((manager: EntityManager) => manager.query(sql, [...parameters]));
  }
}

function counted(table: string, where: string): string {
  return `(SELECT COUNT(*) FROM (SELECT 1 FROM ${table} WHERE ${where} LIMIT ${COUNT_CAP}) capped)`;
}

function countAndTime(row: Record<string, unknown> | undefined): { count: number; oldest: Date | null } {
  return { count: Number(row?.['n'] ?? 0), oldest: rawTime(row?.['oldest']) };
}
