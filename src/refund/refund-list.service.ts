import { Inject, Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { Db } from '../database/db.js';
import { keyset, matching, type Keyset } from '../database/keyset.js';
import { CLOCK, SECOND_MS, type Clock } from '../shared/clock.js';
import { firstIdAt } from '../shared/ids.js';
import { Payment } from './payment.entity.js';
import { Refund } from './refund.entity.js';
import { REFUND_STATUSES, type PaymentStatus, type RefundStatus } from './refund-status.js';
import { RepairRecord } from './repair-record.entity.js';
import { SyncRecord, type SyncSource } from './sync-record.entity.js';

export interface RefundFilter extends Keyset {
  status?: RefundStatus;
  channel?: string;
  appId?: string;
  /** In progress or review, and the status has not changed since this moment. */
  stuckSince?: Date;
}

export interface PaymentFilter extends Keyset {
  appId?: string;
  businessNo?: string;
  channel?: string;
  status?: PaymentStatus;
}

export interface SyncFilter extends Keyset {
  refundId?: string;
  source?: SyncSource;
  result?: SyncRecord['result'];
  effect?: SyncRecord['effect'];
}

export interface RepairFilter extends Keyset {
  refundId?: string;
  repairNo?: string;
  target?: RepairRecord['target'];
  source?: SyncSource;
}

export interface RefundStats {
  /** When they were counted. */
  countedAt: Date;
  refunds: { channel: string; status: RefundStatus; count: number }[];
  /** The refund in progress or review that was registered first; null: there is none. */
  oldestUnresolved: { id: string; refundNo: string; status: RefundStatus; registeredAt: Date } | null;
  /** Refunds whose next look is due and was not taken yet. */
  dueBacklog: number;
  /** Of the day in UTC. */
  today: { from: Date; syncs: { result: string; count: number }[]; repairs: number };
}

const UNRESOLVED = ['progress', 'review'] as const;
/** Counting walks an index from end to end: whoever asks more often reads what was counted. */
const STATS_MS = 5 * SECOND_MS;

/** Lists and counts for operators; writes nothing. */
@Injectable()
export class RefundListService {
  private counted: Promise<RefundStats> | undefined;
  private countedAtMs = 0;

  constructor(
    private readonly db: Db,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /** In the order of ids, which is the order of registration. */
  async refunds({ status, channel, appId, stuckSince, ...part }: RefundFilter): Promise<Refund[]> {
    const list = (manager: EntityManager, of: RefundStatus | undefined): Promise<Refund[]> => {
      const query = keyset(manager.createQueryBuilder(Refund, 'refund'), {
        ...part,
        timeColumn: 'registeredAt',
        order: 'ASC',
      });
      matching(query, { status: of, channel, appId });
      if (stuckSince !== undefined) query.andWhere('refund.statusChangedAt <= :stuckSince', { stuckSince });
      return query.getMany();
    };
    // Each status for itself lies in its index in the order of the list; several together would have to be sorted first.
    const statuses = statusesOf(status, channel, stuckSince !== undefined);
    if (statuses === undefined) return this.db.read((manager) => list(manager, undefined));
    const lists: Refund[][] = [];
    for (const of of statuses) lists.push(await this.db.read((manager) => list(manager, of)));
    return lists
      .flat()
      .sort((a, b) => (a.id < b.id ? -1 : 1))
      .slice(0, part.limit);
  }

  /** In the order of registration. */
  async payments({ appId, businessNo, channel, status, ...part }: PaymentFilter): Promise<Payment[]> {
    return this.db.read((manager) => {
      const query = manager.createQueryBuilder(Payment, 'payment');
      keyset(query, { ...part, timeColumn: 'createdAt', order: 'ASC' });
      return matching(query, { appId, businessNo, channel, status }).getMany();
    });
  }

  /** Newest first. */
  async syncs({ refundId, source, result, effect, ...part }: SyncFilter): Promise<SyncRecord[]> {
    return this.db.read((manager) => {
      const query = manager.createQueryBuilder(SyncRecord, 'sync');
      keyset(query, { ...part, timeColumn: 'finishedAt', order: 'DESC' });
      return matching(query, { refundId, source, result, effect }).getMany();
    });
  }

  /** Newest first. */
  async repairs({ refundId, repairNo, target, source, ...part }: RepairFilter): Promise<RepairRecord[]> {
    return this.db.read((manager) => {
      const query = manager.createQueryBuilder(RepairRecord, 'repair');
      keyset(query, { ...part, timeColumn: 'createdAt', order: 'DESC' });
      return matching(query, { refundId, repairNo, target, source }).getMany();
    });
  }

  /** Not older than five seconds. */
  async stats(): Promise<RefundStats> {
    if (this.counted === undefined || Math.abs(Date.now() - this.countedAtMs) >= STATS_MS) {
      this.countedAtMs = Date.now();
      this.counted = this.count();
      this.counted.catch(() => (this.counted = undefined));
    }
    return this.counted;
  }

  private async count(): Promise<RefundStats> {
    const now = this.clock.now();
    const from = new Date(now);
    from.setUTCHours(0, 0, 0, 0);
    const query = <Row>(sql: string, values: unknown[] = []): Promise<Row[]> =>
      this.db.read((manager) => manager.query<Row[]>(sql, values));
    const refunds = await query<{ channel: string; status: RefundStatus; count: number | string }>(
      'SELECT channel, status, COUNT(*) AS count FROM refund GROUP BY channel, status ORDER BY channel, status',
    );
    const [due] = await query<{ count: number | string }>(
      `SELECT COUNT(*) AS count FROM refund WHERE gatewayAccountId IS NOT NULL AND nextSyncAt <= ${this.db.sqlNow()}`,
    );
    const syncs = await query<{ result: string; count: number | string }>(
      'SELECT result, COUNT(*) AS count FROM sync_record WHERE id >= ? GROUP BY result ORDER BY result',
      [firstIdAt(from)],
    );
    const [repairs] = await query<{ count: number | string }>(
      "SELECT COUNT(*) AS count FROM repair_record WHERE id >= ? AND target = 'refund'",
      [firstIdAt(from)],
    );
    return {
      countedAt: now,
      refunds: refunds.map((row) => ({ ...row, count: Number(row.count) })),
      oldestUnresolved: await this.oldestUnresolved(),
      dueBacklog: Number(due?.count ?? 0),
      today: {
        from,
        syncs: syncs.map((row) => ({ ...row, count: Number(row.count) })),
        repairs: Number(repairs?.count ?? 0),
      },
    };
  }

  private async oldestUnresolved(): Promise<RefundStats['oldestUnresolved']> {
    const oldest: Refund[] = [];
    for (const status of UNRESOLVED) oldest.push(...(await this.refunds({ status, limit: 1 })));
    const [first] = oldest.sort((a, b) => (a.id < b.id ? -1 : 1));
    if (!first) return null;
    const { id, refundNo, status, registeredAt } = first;
    return { id, refundNo, status, registeredAt };
  }
}

/** The statuses to be listed one by one; undefined: the table itself is in the order of the list. */
function statusesOf(
  status: RefundStatus | undefined,
  channel: string | undefined,
  isStuck: boolean,
): readonly RefundStatus[] | undefined {
  if (isStuck) return UNRESOLVED.filter((unresolved) => status === undefined || status === unresolved);
  if (status !== undefined) return [status];
  return channel === undefined ? undefined : REFUND_STATUSES;
}
