import { Column, Entity, PrimaryColumn } from 'typeorm';
import { amountTransformer } from '../shared/money.js';
import type { PaymentStatus } from './refund-status.js';

/** A payment as far as refunds need it. Amounts are minor units of `currency`. */
@Entity('payment')
export class Payment {
  @PrimaryColumn('bigint')
  id: string;

  @Column('varchar')
  appId: string;

  /** The merchant's number, unique per app. */
  @Column('varchar')
  businessNo: string;

  @Column('varchar', { nullable: true })
  title: string | null;

  @Column('varchar')
  channel: string;

  /** Null for channels that settle at once. */
  @Column('varchar', { nullable: true })
  gatewayAccountId: string | null;

  /** The number under which the merchant sent the payment to the gateway. */
  @Column('varchar')
  outTradeNo: string;

  @Column('varchar', { nullable: true })
  gatewayPaymentNo: string | null;

  @Column('bigint', { transformer: amountTransformer })
  amount: number;

  @Column('varchar')
  currency: string;

  /** What may still be refunded. Never negative; changed by guarded relative updates alone. */
  @Column('bigint', { transformer: amountTransformer })
  refundableBalance: number;

  /** How much more than the payment is known to have been refunded. Never negative. */
  @Column('bigint', { transformer: amountTransformer })
  overRefunded: number;

  /** What a registration said was refunded before we saw the payment. */
  @Column('bigint', { transformer: amountTransformer })
  spentBefore: number;

  /** Sum of the refunds in success, and `spentBefore`: `status` follows from it. */
  @Column('bigint', { transformer: amountTransformer })
  refundedAmount: number;

  @Column('varchar')
  status: PaymentStatus;

  @Column('int')
  version: number;

  @Column('datetime', { precision: 3 })
  createdAt: Date;
}
