import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { Observation } from '../gateway/observation.js';

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

  /** `unmatched` waits for its refund to be registered. */
  @Column('varchar')
  state: 'stored' | 'unmatched' | 'done';

  @Column('varchar', { nullable: true })
  outcome: string | null;

  @Column('int')
  deliveries: number;

  @Column('varchar', { nullable: true })
  traceId: string | null;

  @Column('datetime', { precision: 3 })
  receivedAt: Date;

  @Column('datetime', { precision: 3, nullable: true })
  processedAt: Date | null;
}
