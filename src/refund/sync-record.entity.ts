import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { GatewayErrorKind } from '../gateway/gateway.error.js';
import type { GatewayCallKind } from '../gateway/refusal-rules.js';
import type { ObservationKind, RawAnswer } from '../gateway/observation.js';
import type { RefundStatus } from './refund-status.js';

/** Who caused a look. */
export const SYNC_SOURCES = ['merchant', 'operator', 'callback', 'sweep', 'create'] as const;
export type SyncSource = (typeof SYNC_SOURCES)[number];

/** What the merchant API reports of an answer (`data.gatewayStatus`). */
export type GatewayStatus = 'refund_success' | 'refund_fail' | 'refund_progress' | 'pay_not_found';

/** One answer (or missing answer) of a gateway, or one command of an operator, and what became of it. Append-only. */
@Entity('sync_record')
export class SyncRecord {
  @PrimaryColumn('bigint')
  id: string;

  @Column('bigint')
  refundId: string;

  @Column('varchar')
  source: SyncSource;

  @Column('varchar')
  operation: GatewayCallKind | 'callback' | 'command';

  @Column('varchar', { nullable: true })
  traceId: string | null;

  @Column('datetime', { precision: 3 })
  startedAt: Date;

  @Column('datetime', { precision: 3 })
  finishedAt: Date;

  @Column('varchar')
  result: ObservationKind | 'error' | 'command';

  /** Null unless `result` is error. */
  @Column('varchar', { nullable: true })
  errorKind: GatewayErrorKind | null;

  /** Null unless `result` is an observation. */
  @Column('varchar', { nullable: true })
  gatewayStatus: GatewayStatus | null;

  @Column('varchar')
  effect: 'changed' | 'unchanged' | 'superseded';

  @Column('varchar')
  statusBefore: RefundStatus;

  @Column('varchar')
  statusAfter: RefundStatus;

  /** Why this became of it, in one sentence. */
  @Column('varchar')
  explanation: string;

  @Column('bigint', { nullable: true })
  repairNo: string | null;

  /** What the gateway said, redacted. */
  @Column('simple-json', { nullable: true })
  answer: RawAnswer | null;
}
