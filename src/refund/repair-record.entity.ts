import { Column, Entity, PrimaryColumn } from 'typeorm';
import { amountTransformer } from '../shared/money.js';
import type { SyncSource } from './sync-record.entity.js';

/** One side of a change: a repair writes two of these, one for the refund and one for the payment, with one number. Append-only. */
@Entity('repair_record')
export class RepairRecord {
  @PrimaryColumn('bigint')
  id: string;

  /** Shared by both sides; `repairOrderNo` of the merchant API. */
  @Column('bigint')
  repairNo: string;

  @Column('varchar')
  target: 'refund' | 'payment';

  @Column('bigint')
  targetId: string;

  @Column('bigint')
  refundId: string;

  @Column('varchar')
  source: SyncSource;

  @Column('varchar')
  statusBefore: string;

  @Column('varchar')
  statusAfter: string;

  /** The payment's refundable balance, in minor units, before the change; both sides of a repair carry it. */
  @Column('bigint', { transformer: amountTransformer })
  balanceBefore: number;

  @Column('bigint', { transformer: amountTransformer })
  balanceAfter: number;

  @Column('varchar')
  explanation: string;

  @Column('bigint')
  syncRecordId: string;

  @Column('datetime', { precision: 3 })
  createdAt: Date;

  /** Filled by the sealer, in batches after commit. */
  @Column('bigint', { nullable: true })
  seq: string | null;

  @Column('varchar', { nullable: true })
  hash: string | null;

  @Column('varchar', { nullable: true })
  prevHash: string | null;
}
