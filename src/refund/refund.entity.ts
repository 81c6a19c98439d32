import { Column, Entity, PrimaryColumn } from 'typeorm';
import { amountTransformer } from '../shared/money.js';
import type { Observation } from '../gateway/observation.js';
import type { GatewayCallKind } from '../gateway/refusal-rules.js';
import type { ReviewCode } from './review-code.js';
import type { CreateState, RefundSource, RefundStatus } from './refund-status.js';

/** What was last learned of a refund, kept as evidence on the row; every answer is a sync record as well. */
export interface Evidence {
  kind: Observation['kind'];
  /** How it was learned; only an answer to a query is enough to end a case by. */
  via: GatewayCallKind | 'callback';
  authenticated: boolean;
  /** ISO 8601. */
  seenAt: string;
  code: string;
  message: string;
  /** Of a success: when the gateway says the money was returned, ISO 8601. */
  finishedAt?: string | null;
  /** What of the answer does not fit this refund. */
  contradiction?: string;
}

/** One refund. Its status is written by `apply()` alone. */
@Entity('refund')
export class Refund {
  @PrimaryColumn('bigint')
  id: string;

  @Column('varchar')
  appId: string;

  /** The merchant's number, unique per app. */
  @Column('varchar')
  refundNo: string;

  @Column('bigint')
  paymentId: string;

  @Column('varchar')
  channel: string;

  @Column('varchar', { nullable: true })
  gatewayAccountId: string | null;

  @Column('varchar')
  outTradeNo: string;

  /** Minor units of `currency`. */
  @Column('bigint', { transformer: amountTransformer })
  amount: number;

  @Column('varchar')
  currency: string;

  @Column('varchar', { nullable: true })
  reason: string | null;

  @Column('varchar')
  status: RefundStatus;

  /** The number under which the gateway knows the refund. */
  @Column('varchar')
  gatewayRequestNo: string;

  /** UnionPay needs it to query. */
  @Column('datetime', { precision: 3, nullable: true })
  gatewayRequestTime: Date | null;

  @Column('varchar', { nullable: true })
  gatewayRefundNo: string | null;

  @Column('varchar', { nullable: true })
  errorCode: string | null;

  @Column('varchar', { nullable: true })
  errorMsg: string | null;

  /** When the money was returned. */
  @Column('datetime', { precision: 3, nullable: true })
  refundTime: Date | null;

  @Column('text', { nullable: true })
  attach: string | null;

  @Column('varchar', { nullable: true })
  notifyUrl: string | null;

  /** False when the merchant asked not to be told. */
  @Column('boolean')
  notify: boolean;

  @Column('varchar', { nullable: true })
  clientIp: string | null;

  @Column('varchar')
  source: RefundSource;

  @Column('varchar')
  createState: CreateState;

  @Column('int')
  createAttempts: number;

  @Column('datetime', { precision: 3, nullable: true })
  lastCreateAt: Date | null;

  /** The exact text that the create sent: a repeat must be byte-identical. */
  @Column('text', { nullable: true })
  createPayload: string | null;

  /** True while the amount is taken from the payment's balance. */
  @Column('boolean')
  reserved: boolean;

  /** When to look next. Null only at an end that needs no more looks. */
  @Column('datetime', { precision: 3, nullable: true })
  nextSyncAt: Date | null;

  @Column('int')
  syncAttempts: number;

  @Column('datetime', { precision: 3, nullable: true })
  notFoundSince: Date | null;

  @Column('int')
  notFoundCount: number;

  @Column('varchar', { nullable: true })
  statusBeforeReview: RefundStatus | null;

  /** Why a person is asked, as a code and in a sentence; set while in review. */
  @Column('varchar', { nullable: true })
  reviewCode: ReviewCode | null;

  @Column('varchar', { nullable: true })
  reviewReason: string | null;

  /** Who has taken the case. */
  @Column('varchar', { nullable: true })
  reviewOwner: string | null;

  @Column('simple-json', { nullable: true })
  lastEvidence: Evidence | null;

  @Column('datetime', { precision: 3, nullable: true })
  leaseUntil: Date | null;

  @Column('bigint', { nullable: true })
  leaseToken: string | null;

  /** Grows with every change of status: an answer to a question asked before the change is superseded. */
  @Column('int')
  version: number;

  /** When the refund was sent, as the merchant says. */
  @Column('datetime', { precision: 3 })
  createdAt: Date;

  /** When the service learned of it. */
  @Column('datetime', { precision: 3 })
  registeredAt: Date;

  /** When the status last changed. */
  @Column('datetime', { precision: 3 })
  statusChangedAt: Date;
}
