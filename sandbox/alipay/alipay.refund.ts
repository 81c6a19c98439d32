import type { PaymentRecord, RefundRecord, RefundStatus } from '../refund-book.js';

const BEIJING_OFFSET_MS = 8 * 3_600_000;
/** Members that no merchant system should keep; they are here because the real answers have them. */
const BUYER = { buyer_logon_id: 'tes***@sandbox.test', buyer_user_id: '2088000199999999' };

/** `yyyy-MM-dd HH:mm:ss`, GMT+8. */
export function beijingTime(ms: number): string {
  return new Date(ms + BEIJING_OFFSET_MS).toISOString().slice(0, 19).replace('T', ' ');
}

/** The same with milliseconds, as `gmt_refund` of notifications has them. */
export function beijingTimeMs(ms: number): string {
  return new Date(ms + BEIJING_OFFSET_MS).toISOString().slice(0, 23).replace('T', ' ');
}

/** Fen as yuan with two decimals. */
export function yuan(amount: number): string {
  const digits = String(amount).padStart(3, '0');
  return `${digits.slice(0, -2)}.${digits.slice(-2)}`;
}

/**
 * The number of a refund on the wire. In the book, the number of a second payment's refund that a first payment's has too is followed by
 * `@` and its payment: Alipay's refund numbers are unique within one payment only.
 */
export function requestNoOf(record: RefundRecord): string {
  const suffix = `@${record.outTradeNo}`;
  return record.outTradeNo !== '' && record.outRefundNo.endsWith(suffix)
    ? record.outRefundNo.slice(0, -suffix.length)
    : record.outRefundNo;
}

/** JSON as the real gateway writes it, slashes escaped; and a space, which its signature covers and most parsers forget. */
export function wireJson(members: Readonly<Record<string, unknown>>): string {
  return JSON.stringify(members).replaceAll('/', '\\/').replace(',', ', ');
}

export interface QueryView {
  record: RefundRecord;
  payment: PaymentRecord;
  status: RefundStatus;
  sinceMs: number;
  options: ReadonlySet<string>;
  /** Added to `refund_amount`: the lie of the fault `wrongAmount`. */
  offBy: number;
}

/** An answer that says nothing of the refund: not received, not done, failed; Alipay does not say which. */
export const NOTHING_SAID = { code: '10000', msg: 'Success' } as const;

/** What a query is answered. The product knows one status; REFUND_FAIL is of its asynchronous sibling. */
export function queryAnswer({ record, payment, status, sinceMs, options, offBy }: QueryView): Record<string, unknown> {
  const ids = {
    out_request_no: requestNoOf(record),
    out_trade_no: payment.outTradeNo,
    trade_no: payment.transactionId,
  };
  switch (status) {
    case 'notFound':
    case 'closed':
    case 'abnormal':
      return NOTHING_SAID;
    case 'processing':
      return { ...NOTHING_SAID, ...ids };
    case 'failed':
      return { ...NOTHING_SAID, ...ids, refund_status: 'REFUND_FAIL', error_code: 'REFUND_FAILED_BY_SANDBOX' };
    case 'success':
      return {
        ...NOTHING_SAID,
        ...ids,
        refund_amount: yuan(record.amount + offBy),
        refund_status: 'REFUND_SUCCESS',
        total_amount: yuan(payment.amount),
        send_back_fee: yuan(record.amount),
        refund_reason: '正常退款 a/b',
        ...(options.has('gmt_refund_pay') ? { gmt_refund_pay: beijingTime(sinceMs) } : {}),
        ...(options.has('deposit_back_info')
          ? { deposit_back_info: { has_deposit_back: 'true', dback_status: 'S', dback_amount: yuan(record.amount) } }
          : {}),
      };
  }
}

/**
 * What a refund call is answered. It names neither the refund's number nor its amount.
 *
 * @param refundedAmount what the whole payment has refunded so far, this refund included.
 */
export function refundAnswer(
  payment: PaymentRecord,
  fundChange: 'Y' | 'N',
  refundedAmount: number,
  refundedAtMs: number | null,
): Record<string, unknown> {
  return {
    ...NOTHING_SAID,
    ...BUYER,
    fund_change: fundChange,
    ...(refundedAtMs === null ? {} : { gmt_refund_pay: beijingTime(refundedAtMs) }),
    out_trade_no: payment.outTradeNo,
    refund_detail_item_list: [{ amount: yuan(refundedAmount), fund_channel: 'ALIPAYACCOUNT' }],
    refund_fee: yuan(refundedAmount),
    send_back_fee: yuan(refundedAmount),
    store_name: '证大/五角场店',
    trade_no: payment.transactionId,
  };
}
