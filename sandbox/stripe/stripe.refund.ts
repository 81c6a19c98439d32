import type { PaymentRecord, RefundRecord, RefundStatus } from '../refund-book.js';

/** Words of the wire. */
export type StripeStatus = 'pending' | 'requires_action' | 'succeeded' | 'failed' | 'canceled';

/** What Stripe knows of a refund besides what the book does. */
export interface RefundDetails {
  metadata: Readonly<Record<string, string>>;
  reason: string | null;
}

/** Key of the metadata in which merchants put their number. */
export const REFUND_NO_KEY = 'refund_no';
const WEEK_SECONDS = 7 * 24 * 3600;

export function stripeStatus(status: Exclude<RefundStatus, 'notFound'>): StripeStatus {
  switch (status) {
    case 'processing':
      return 'pending';
    case 'success':
      return 'succeeded';
    case 'failed':
      return 'failed';
    case 'closed':
      return 'canceled';
    case 'abnormal':
      return 'requires_action';
  }
}

export function isIntent(paymentNo: string): boolean {
  return paymentNo.startsWith('pi_');
}

/** A payment is known by its intent and has one charge, or is a charge without an intent. */
export function chargeOf(payment: PaymentRecord): string {
  return isIntent(payment.outTradeNo) ? payment.transactionId : payment.outTradeNo;
}

export function seconds(ms: number): number {
  return Math.floor(ms / 1000);
}

/**
 * The refund object that create, retrieve, list and events carry, members in alphabetical order as the real one sends them.
 *
 * @param amountOffBy added to `amount`: the lie of the fault `wrongAmount`.
 */
export function refundObject(
  record: RefundRecord,
  payment: PaymentRecord,
  details: RefundDetails,
  status: StripeStatus,
  amountOffBy: number,
): Record<string, unknown> {
  const suffix = (record.gatewayRefundNo ?? '').slice(3);
  return {
    id: record.gatewayRefundNo,
    object: 'refund',
    amount: record.amount + amountOffBy,
    balance_transaction: status === 'requires_action' ? null : `txn_${suffix}`,
    charge: chargeOf(payment),
    created: seconds(record.createdAtMs),
    currency: record.currency.toLowerCase(),
    customer: 'cus_SandboxCustomer',
    customer_account: null,
    destination_details: {
      card: { reference: '4000002500003155', reference_status: 'available', type: 'refund' },
      type: 'card',
    },
    ...(status === 'failed'
      ? { failure_balance_transaction: `txn_f${suffix.slice(1)}`, failure_reason: 'expired_or_canceled_card' }
      : {}),
    ...(status === 'requires_action' ? { instructions_email: 'jenny.rosen@example.com' } : {}),
    metadata: details.metadata,
    ...(status === 'requires_action'
      ? {
          next_action: {
            display_details: {
              email_sent: { email_sent_at: seconds(record.createdAtMs), email_sent_to: 'jenny.rosen@example.com' },
              expires_at: seconds(record.createdAtMs) + WEEK_SECONDS,
            },
            type: 'display_details',
          },
        }
      : {}),
    payment_intent: isIntent(payment.outTradeNo) ? payment.outTradeNo : null,
    payment_method: `pm_${suffix}`,
    ...(status === 'pending' ? { pending_reason: 'processing' } : {}),
    reason: details.reason,
    receipt_number: null,
    source_transfer_reversal: null,
    status,
    transfer_reversal: null,
  };
}
