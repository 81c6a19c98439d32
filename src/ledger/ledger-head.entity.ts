import { Column, Entity, PrimaryColumn } from 'typeorm';
import { amountTransformer } from '../shared/money.js';

/** Where the chain ends, and who may continue it: one row, with id 1. */
@Entity('ledger_head')
export class LedgerHead {
  @PrimaryColumn('int')
  id: number;

  /** Of the last entry; 0 before the first. */
  @Column('bigint', { transformer: amountTransformer })
  seq: number;

  /** Of the last entry. */
  @Column('varchar')
  hash: string;

  /** HMAC over seq and hash with a key that is not in the database; null before the first entry. */
  @Column('varchar', { nullable: true })
  mac: string | null;

  /** When the last entry was sealed. */
  @Column('datetime', { precision: 3, nullable: true })
  sealedAt: Date | null;

  @Column('datetime', { precision: 3, nullable: true })
  leaseUntil: Date | null;

  @Column('bigint', { nullable: true })
  leaseToken: string | null;
}

export const LEDGER_HEAD_ID = 1;
