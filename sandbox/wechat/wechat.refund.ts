import type { PaymentRecord, RefundRecord, RefundStatus } from '../refund-book.js';

/** Words of the wire. WeChat knows one failure, CLOSED; what the script calls failed or closed is that. */
export type WechatStatus = 'PROCESSING' | 'SUCCESS' | 'CLOSED' | 'ABNORMAL';

const BEIJING_OFFSET_MS = 8 * 3600 * 1000;
const USER_WALLET = '支付用户零钱';
const FROZEN_CARD = '招商银行信用卡0403';

export function wechatStatus(status: Exclude<RefundStatus, 'notFound'>): WechatStatus {
  switch (status) {
    case 'processing':
      return 'PROCESSING';
    case 'success':
      return 'SUCCESS';
    case 'failed':
    case 'closed':
      return 'CLOSED';
    case 'abnormal':
      return 'ABNORMAL';
  }
}

/** RFC 3339 in Beijing time with the offset written out, whole seconds. */
export function beijingTime(ms: number): string {
  return `${new Date(ms + BEIJING_OFFSET_MS).toISOString().slice(0, 19)}+08:00`;
}

export function receivedAccount(record: RefundRecord, status: WechatStatus): string {
  return status === 'ABNORMAL' || record.redirected ? FROZEN_CARD : USER_WALLET;
}

/**
 * The refund object that create, query and apply-abnormal-refund answer, members in alphabetical order as in captured
 * traffic.
 *
 * @param refundOffBy added to `amount.refund`: the lie of the fault `wrongAmount`.
 */
export function refundObject(
  record: RefundRecord,
  payment: PaymentRecord,
  status: WechatStatus,
  sinceMs: number,
  refundOffBy: number,
): Record<string, unknown> {
  return {
    amount: {
      currency: record.currency,
      discount_refund: 0,
      from: [],
      payer_refund: record.amount,
      payer_total: payment.amount,
      refund: record.amount + refundOffBy,
      refund_fee: 0,
      settlement_refund: record.amount,
      settlement_total: payment.amount,
      total: payment.amount,
    },
    channel: record.redirected ? 'OTHER_BANKCARD' : 'ORIGINAL',
    create_time: beijingTime(record.createdAtMs),
    funds_account: 'AVAILABLE',
    out_refund_no: record.outRefundNo,
    out_trade_no: record.outTradeNo,
    promotion_detail: [],
    refund_id: record.gatewayRefundNo,
    status,
    ...(status === 'SUCCESS' ? { success_time: beijingTime(sinceMs) } : {}),
    transaction_id: payment.transactionId,
    user_received_account: receivedAccount(record, status),
  };
}
