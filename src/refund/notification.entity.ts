import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { VisibleStatus } from './refund-status.js';

/** BIGINT reaches us as text (MySQL) or number (SQLite). */
const positionTransformer = {
  to: (value: number | null): number | null => value,
  from: (value: string | number | null): number | null => (value === null ? null : Number(value)),
};

/**
 * - `pending`: to be delivered when `nextAttemptAt` is due
 * - `suppressed`: the merchant asked not to be told; the row is kept for the event feed
 * - `notNeeded`: there was no address when it was its turn
 * - `delivered`: the receiver said SUCCESS
 * - `exhausted`: given up after the last attempt of the ladder
 * - `paused`: waits until its receiver, which has failed for days, is resumed
 */
export const NOTIFICATION_STATES = ['pending', 'suppressed', 'notNeeded', 'delivered', 'exhausted', 'paused'] as const;
export type NotificationState = (typeof NOTIFICATION_STATES)[number];

/** The outbox: one row for each change to an end, written in the transaction of the change. */
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
  state: NotificationState;

  /** Attempts of the ladder that runs; a redelivery starts a new one. */
  @Column('int')
  attempts: number;

  @Column('datetime', { precision: 3, nullable: true })
  nextAttemptAt: Date | null;

  @Column('datetime', { precision: 3 })
  createdAt: Date;

  /** The refund's version after the change. Orders the notifications of one refund, whatever clock made their ids. */
  @Column('int')
  refundVersion: number;

  /** Scheme, host and port of `url`; empty where it is the app's. What one receiver cannot take is in no other's way. */
  @Column('varchar')
  receiver: string;

  /** Place in the event feed, given after the commit; null until then. */
  @Column('bigint', { nullable: true, transformer: positionTransformer })
  position: number | null;

  /** Without a token: a worker was told. With one: it is being delivered. */
  @Column('datetime', { precision: 3, nullable: true })
  leaseUntil: Date | null;

  @Column('bigint', { nullable: true })
  leaseToken: string | null;

  /** The receiver that a paused row waits for. */
  @Column('bigint', { nullable: true })
  endpointId: string | null;

  @Column('datetime', { precision: 3, nullable: true })
  deliveredAt: Date | null;
}

/** Amounts in minor units; times ISO 8601. */
export interface NotificationSnapshot {
  refundId: string;
  refundNo: string;
  amount: number;
  currency: string;
  channel: string;
  /** False for channels that settle at once. Absent in old rows: true. */
  asyncPay?: boolean;
  status: VisibleStatus;
  refundTime: string | null;
  createTime: string;
  attach: string | null;
  errorCode: string | null;
  errorMsg: string | null;
}
