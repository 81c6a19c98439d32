import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { VisibleStatus } from './refund-status.js';

/**
 * The outbox: one row for each change to an end, written in the transaction of the change.
 * `suppressed` when the merchant asked not to be told; the row is kept for the event feed.
 */
@Entity('notification')
export class Notification {
  @PrimaryColumn('bigint')
  id: string;

  @Column('varchar')
  appId: string;

  @Column('bigint')
  refundId: string;

  @Column('bigint')
  repairNo: string;

  @Column('varchar')
  refundStatus: VisibleStatus;

  /** The refund as it was at the moment of the change; the relay makes the signed payload of it. */
  @Column('simple-json')
  snapshot: NotificationSnapshot;

  /** The refund's own address; null: the app's, as it stands when the row is sent. */
  @Column('varchar', { nullable: true })
  url: string | null;

  @Column('varchar')
  state: 'pending' | 'suppressed' | 'delivered' | 'exhausted';

  @Column('int')
  attempts: number;

  @Column('datetime', { precision: 3, nullable: true })
  nextAttemptAt: Date | null;

  @Column('datetime', { precision: 3 })
  createdAt: Date;
}

/** Amounts in minor units; times ISO 8601. */
export interface NotificationSnapshot {
  refundId: string;
  refundNo: string;
  amount: number;
  currency: string;
  channel: string;
  status: VisibleStatus;
  refundTime: string | null;
  createTime: string;
  attach: string | null;
  errorCode: string | null;
  errorMsg: string | null;
}
