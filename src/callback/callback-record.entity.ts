import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { Observation } from '../gateway/observation.js';

/**
 * - stored: acknowledged, not worked on yet
 * - unmatched: no refund has its numbers; it waits for a day
 * - done: applied to its refund, as `outcome` says
 * - expired: no refund appeared in that day
 */
export const CALLBACK_STATES = ['stored', 'unmatched', 'done', 'expired'] as const;
export type CallbackState = (typeof CALLBACK_STATES)[number];

/** A verified callback, stored once before it is acknowledged. Append-only but for its processing state. */
@Entity('callback_record')
export class CallbackRecord {
  @PrimaryColumn('bigint')
  id: string;

  @Column('varchar')
  gateway: string;

  @Column('varchar')
  gatewayAccountId: string;

  /** Unique with gateway and account: a redelivery finds the first. */
  @Column('varchar')
  eventKey: string;

  @Column('varchar')
  eventType: string;

  @Column('varchar', { nullable: true })
  gatewayRequestNo: string | null;

  @Column('varchar', { nullable: true })
  gatewayRefundNo: string | null;

  @Column('varchar', { nullable: true })
  outTradeNo: string | null;

  @Column('bigint', { nullable: true })
  refundId: string | null;

  @Column('simple-json')
  observation: Observation;

  @Column('varchar')
  state: CallbackState;

  @Column('varchar', { nullable: true })
  outcome: string | null;

  @Column('int')
  deliveries: number;

  @Column('varchar', { nullable: true })
  traceId: string | null;

  @Column('datetime', { precision: 3 })
  receivedAt: Date;

  /** When a process last took it in hand. */
  @Column('datetime', { precision: 3, nullable: true })
  claimedAt: Date | null;

  @Column('datetime', { precision: 3, nullable: true })
  processedAt: Date | null;
}
