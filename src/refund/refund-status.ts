/** `review` is internal: merchants see it as `progress`, a person settles it. */
export const REFUND_STATUSES = ['progress', 'success', 'fail', 'close', 'review'] as const;
export type RefundStatus = (typeof REFUND_STATUSES)[number];

/** The status as merchants see it. */
export type VisibleStatus = Exclude<RefundStatus, 'review'>;

export function visibleStatus(status: RefundStatus): VisibleStatus {
  return status === 'review' ? 'progress' : status;
}

export function isEnd(status: RefundStatus): boolean {
  return status === 'success' || status === 'fail' || status === 'close';
}

/** Counted from the refunds in success alone. */
export type PaymentStatus = 'success' | 'partial_refund' | 'refunded';

/**
 * Where the create of a refund stands. `none`: the merchant created it elsewhere. `inFlight`: a send is under way. `unknown`: sent,
 * no believable answer. `acknowledged`: the gateway took it. `refused`: the gateway refused the first and only send.
 */
export type CreateState = 'none' | 'inFlight' | 'unknown' | 'acknowledged' | 'refused';

export type RefundSource = 'created' | 'registered';
