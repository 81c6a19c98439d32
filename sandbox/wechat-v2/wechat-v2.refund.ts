import type { PaymentRecord, RefundRecord, RefundStatus } from '../refund-book.js';
import { receivedAccount, wechatStatus } from '../wechat/wechat.refund.js';

type V2Status = 'PROCESSING' | 'SUCCESS' | 'REFUNDCLOSE' | 'CHANGE';

const BEIJING_OFFSET_MS = 8 * 3600 * 1000;

/** The older API's words for what APIv3 calls PROCESSING, SUCCESS, CLOSED and ABNORMAL. */
export function v2Status(status: Exclude<RefundStatus, 'notFound'>): V2Status {
  const word = wechatStatus(status);
  return word === 'CLOSED' ? 'REFUNDCLOSE' : word === 'ABNORMAL' ? 'CHANGE' : word;
}

/** Beijing time without saying so. */
export function v2Time(ms: number): string {
  return new Date(ms + BEIJING_OFFSET_MS).toISOString().slice(0, 19).replace('T', ' ');
}

/** What an accepted create answers. */
export function acceptedFields(record: RefundRecord, payment: PaymentRecord): Record<string, string> {
  return {
    transaction_id: payment.transactionId,
    out_trade_no: record.outTradeNo,
    out_refund_no: record.outRefundNo,
    refund_id: record.gatewayRefundNo ?? '',
    refund_channel: '',
    refund_fee: String(record.amount),
    coupon_refund_fee: '0',
    total_fee: String(payment.amount),
    cash_fee: String(payment.amount),
    coupon_refund_count: '0',
    cash_refund_fee: String(record.amount),
  };
}

export function paymentFields(payment: PaymentRecord): Record<string, string> {
  return {
    transaction_id: payment.transactionId,
    out_trade_no: payment.outTradeNo,
    total_fee: String(payment.amount),
    fee_type: payment.currency,
    cash_fee: String(payment.amount),
  };
}

/**
 * One refund of a query's answer. The name of the account field is misspelt at the real gateway too.
 *
 * @param refundOffBy added to `refund_fee`: the lie of the fault `wrongAmount`.
 */
export function queriedFields(
  record: RefundRecord,
  index: number,
  { status, sinceMs, refundOffBy }: { status: V2Status; sinceMs: number; refundOffBy: number },
): Record<string, string> {
  const fields: Record<string, string> = {
    out_refund_no: record.outRefundNo,
    refund_id: record.gatewayRefundNo ?? '',
    refund_channel: record.redirected ? 'OTHER_BANKCARD' : 'ORIGINAL',
    refund_fee: String(record.amount + refundOffBy),
    settlement_refund_fee: String(record.amount),
    coupon_refund_fee: '0',
    refund_status: status,
    refund_account: 'REFUND_SOURCE_RECHARGE_FUNDS',
    refund_recv_accout: receivedAccount(record, status === 'CHANGE' ? 'ABNORMAL' : 'SUCCESS'),
    ...(status === 'SUCCESS' ? { refund_success_time: v2Time(sinceMs) } : {}),
  };
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [`${name}_${index}`, value]));
}
