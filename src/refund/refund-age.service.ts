import { Inject, Injectable } from '@nestjs/common';
import { APP_CONFIG, type AppConfig } from '../config/app-config.js';
import { Db } from '../database/db.js';
import { DEFAULT_SETTLES_WITHIN_MS } from '../gateway/gateway.port.js';
import { GatewayRegistry } from '../gateway/gateway.registry.js';
import { CLOCK, DAY_MS, HOUR_MS, MINUTE_MS, type Clock } from '../shared/clock.js';

/** Upper bounds of the groups in which ages are counted: percentiles are exact to these. */
const BOUNDS_MS = [
  ...[1, 2, 5, 10, 20, 30].map((count) => count * MINUTE_MS),
  ...[1, 2, 3, 6, 12].map((count) => count * HOUR_MS),
  ...[1, 2, 3, 5, 7, 10, 14, 21, 30, 45, 60, 90].map((count) => count * DAY_MS),
];

/** How old the refunds of one channel are that are not at their end. Ages in milliseconds since the refund was sent. */
export interface ChannelAges {
  channel: string;
  /** In progress or review. */
  unresolved: number;
  /** Half, 90 % and 99 % of them are no older than this; rounded up to a minute, hour or day count. */
  p50Ms: number;
  p90Ms: number;
  p99Ms: number;
  oldestMs: number;
  /** STUCK_AFTER, else what the gateway declares. */
  normMs: number;
  /** Older than the norm. */
  stuck: number;
}

interface Row {
  channel: string;
  bucket: number | string;
  count: number | string;
  stuck: number | string;
  oldest: string | Date;
}

/** Ages of open refunds against the norm of their gateway: what takes too long for somebody to know. */
@Injectable()
export class RefundAges {
  constructor(
    private readonly db: Db,
    private readonly gateways: GatewayRegistry,
    @Inject(APP_CONFIG) private readonly config: AppConfig,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /** One pass over the refunds that are not at their end: for once a minute, not for every request. */
  async measure(): Promise<ChannelAges[]> {
    const rows = await this.rows();
    const now = this.clock.now().getTime();
    const channels = new Map<string, Row[]>();
    for (const row of rows) channels.set(row.channel, [...(channels.get(row.channel) ?? []), row]);
    return [...channels].map(([channel, groups]) => {
      const oldestMs = Math.max(...groups.map(({ oldest }) => now - timeOf(oldest)));
      const percentile = percentilesOf(groups, oldestMs);
      return {
        channel,
        unresolved: sum(groups, 'count'),
        p50Ms: percentile(0.5),
        p90Ms: percentile(0.9),
        p99Ms: percentile(0.99),
        oldestMs,
        normMs: this.normMs(channel),
        stuck: sum(groups, 'stuck'),
      };
    });
  }

  /** How long a refund of a channel may be open before it counts as stuck. */
  normMs(channel: string): number {
    const { byChannel, default: forAll } = this.config.stuckAfter;
    const declared = this.gateways.forChannel(channel)?.policy.settlesWithinMs;
    return byChannel[channel] ?? forAll ?? declared ?? DEFAULT_SETTLES_WITHIN_MS;
  }

  private rows(): Promise<Row[]> {
    const before = (ms: number): string => this.db.sqlNow(-ms);
    const bucket = BOUNDS_MS.map((ms, index) => `WHEN createdAt >= ${before(ms)} THEN ${index}`).join(' ');
    const norms = this.gateways
      .channels()
      .map((channel) => `WHEN '${channel}' THEN ${before(this.normMs(channel))}`)
      .join(' ');
    const norm = `CASE channel ${norms} ELSE ${before(this.normMs(''))} END`;
    return this.db.read((manager) =>
      manager.query(
        `SELECT channel, CASE ${bucket} ELSE ${BOUNDS_MS.length} END AS bucket, COUNT(*) AS count,
           SUM(CASE WHEN createdAt < ${norm} THEN 1 ELSE 0 END) AS stuck, MIN(createdAt) AS oldest
         FROM refund WHERE status IN ('progress', 'review') GROUP BY channel, bucket`,
      ),
    );
  }
}

function percentilesOf(groups: readonly Row[], oldestMs: number): (share: number) => number {
  const ordered = [...groups].sort((one, other) => Number(one.bucket) - Number(other.bucket));
  const total = sum(groups, 'count');
  return (share) => {
    let seen = 0;
    for (const { bucket, count } of ordered) {
      seen += Number(count);
      if (seen >= share * total) return Math.min(BOUNDS_MS[Number(bucket)] ?? oldestMs, oldestMs);
    }
    return oldestMs;
  };
}

function sum(rows: readonly Row[], column: 'count' | 'stuck'): number {
  return rows.reduce((total, row) => total + Number(row[column]), 0);
}

/** SQLite hands times over as it keeps them: text in UTC without a zone. */
function timeOf(time: string | Date): number {
  return time instanceof Date ? time.getTime() : Date.parse(`${time.replace(' ', 'T')}Z`);
}
