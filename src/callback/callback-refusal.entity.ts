import { Column, Entity, PrimaryColumn } from 'typeorm';

/** What is kept of a refused callback: enough to tell a wrong key from an attack, and nothing that it claims. */
export interface RefusedSample {
  bytes: number;
  /** Of the body, in hex: the same bytes again show as such. */
  sha256: string;
  contentType: string | null;
  /** Without their values. */
  headerNames: string[];
}

/** How many callbacks of an account were refused, and the last of them. One row per account, however many come. */
@Entity('callback_refusal')
export class CallbackRefusal {
  @PrimaryColumn('varchar')
  gatewayAccountId: string;

  @Column('varchar')
  gateway: string;

  @Column('int')
  count: number;

  @Column('varchar')
  lastReason: string;

  @Column('simple-json')
  lastSample: RefusedSample;

  @Column('datetime', { precision: 3 })
  firstAt: Date;

  @Column('datetime', { precision: 3 })
  lastAt: Date;
}
