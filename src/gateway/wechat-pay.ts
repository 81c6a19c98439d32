import type { EchoedIdentity } from './observation.js';
import { GatewayError } from './gateway.error.js';
import type { GatewayPolicy, RefundOrder } from './gateway.port.js';
import { shorten } from './plain-text.js';

/** What both APIs of WeChat Pay, v3 and v2, have in common: they are two doors to the same refunds. */

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

export const wechatPolicy: GatewayPolicy = {
  timeoutMs: 10_000,
  // gateways.md §0.4: every minute for five minutes, then wider; a bank card takes up to three working days.
  scheduleMs: [
    ...Array.from({ length: 5 }, () => MINUTE_MS),
    5 * MINUTE_MS,
    10 * MINUTE_MS,
    20 * MINUTE_MS,
    30 * MINUTE_MS,
    ...Array.from({ length: 24 }, () => HOUR_MS),
    6 * HOUR_MS,
  ],
  // Bank cards take up to three working days.
  settlesWithinMs: 5 * 24 * HOUR_MS,
  notFoundGraceMs: 24 * HOUR_MS,
  createReplay: { mode: 'forever' },
  notFoundIsDistinguishable: true,
  lateFailure: false,
  // Far below the documented 300 queries a second (gateways.md §11 no. 2).
  rate: { perSecond: 100, concurrency: 20 },
};

/** Documented: wait a minute (gateways.md §1.1, §2.4). */
export const RATE_LIMIT_PAUSE_MS = MINUTE_MS;

export const WECHAT_DEFAULT_BASE_URL = 'https://api.mch.weixin.qq.com';

const MERCHANT_ID = /^\d{1,32}$/;
export const merchantNumberFault = (value: string): string | undefined =>
  MERCHANT_ID.test(value) ? undefined : 'must be 1 to 32 digits';

/**
 * The merchant of an account. A service provider's sub-merchants are merchants of their own: another one has other payments, and its
 * refunds are not found under this one.
 */
export function merchantIdOf(mchId: string, subMchId: string | undefined): string {
  return subMchId === undefined ? mchId : `${mchId}/${subMchId}`;
}

/** gateways.md §1.5. Numbers that others made may hold all of these; the ones that we send keep to the plain ones, which no URL changes. */
const ANY_REFUND_NO = /^[A-Za-z0-9_\-|*@]{1,64}$/;
const OUR_REFUND_NO = /^[A-Za-z0-9_-]{1,64}$/;
const TRADE_NO = /^[A-Za-z0-9_\-|*@]{6,32}$/;
/** WeChat Pay's own numbers of payments and refunds. */
export const WECHAT_NO = /^[A-Za-z0-9]{1,32}$/;

/** @throws GatewayError `rejected` when a number is not one that WeChat Pay could have. */
export function checkRefundNo(outRefundNo: string): void {
  if (ANY_REFUND_NO.test(outRefundNo)) return;
  throw new GatewayError(
    'rejected',
    'The refund number is not one that WeChat Pay allows: 1 to 64 of letters, digits and _-|*@.',
    { code: 'invalid_order' },
  );
}

/**
 * The limit is written `string(80)`, but WeChat Pay's PARAM_ERROR texts count bytes (字节数 …，大于最大值 …). 80 bytes of UTF-8 keep both
 * readings.
 */
const MAX_REASON_BYTES = 80;

/** A refund in the terms of both APIs. Amounts in fen. */
export interface WechatCreate {
  paymentNo: { transaction_id: string } | { out_trade_no: string };
  outRefundNo: string;
  refund: number;
  total: number;
  currency: 'CNY';
  reason: string | undefined;
}

/** @throws GatewayError `rejected`, nothing happened, when WeChat Pay cannot make such a refund. */
export function createOf(order: RefundOrder): WechatCreate {
  if (!OUR_REFUND_NO.test(order.gatewayRequestNo))
    throw inexpressible('the refund number must be 1 to 64 of letters, digits, _ and -');
  if (order.currency !== 'CNY') throw inexpressible('the currency must be CNY');
  if (!Number.isSafeInteger(order.amountMinor) || order.amountMinor < 1)
    throw inexpressible('the amount must be a whole number of fen above 0');
  if (!Number.isSafeInteger(order.paymentAmountMinor) || order.paymentAmountMinor < order.amountMinor) {
    throw inexpressible('the payment amount must be a whole number of fen, not less than the refund');
  }
  const reason = shorten(order.reason ?? '', MAX_REASON_BYTES);
  return {
    paymentNo: paymentNo(order),
    outRefundNo: order.gatewayRequestNo,
    refund: order.amountMinor,
    total: order.paymentAmountMinor,
    currency: order.currency,
    reason: reason === '' ? undefined : reason,
  };
}

/** One of two. WeChat Pay's own number wins where it is known: ours can be a registration's guess. */
function paymentNo(order: RefundOrder): WechatCreate['paymentNo'] {
  if (order.gatewayPaymentNo !== null) {
    if (!WECHAT_NO.test(order.gatewayPaymentNo))
      throw inexpressible('the payment’s WeChat Pay number must be 1 to 32 letters and digits');
    return { transaction_id: order.gatewayPaymentNo };
  }
  if (!TRADE_NO.test(order.outTradeNo))
    throw inexpressible('the payment number must be 6 to 32 of letters, digits and _-|*@');
  return { out_trade_no: order.outTradeNo };
}

function inexpressible(fault: string): GatewayError {
  return new GatewayError('rejected', `WeChat Pay cannot make this refund: ${fault}.`, {
    code: 'invalid_order',
    nothingHappened: true,
  });
}

/** Guards what a create sends: the text that `prepareCreate` makes, for this refund. */
export function checkPayload(fields: Record<string, unknown> | undefined, payload: string, order: RefundOrder): void {
  if (!fields || JSON.stringify(fields) !== payload) {
    throw new GatewayError('rejected', 'The prepared create is not what prepareCreate makes; it was not sent.', {
      code: 'invalid_payload',
    });
  }
  if (fields.out_refund_no !== order.gatewayRequestNo) {
    throw new GatewayError('rejected', 'The prepared create is of another refund number; it was not sent.', {
      code: 'invalid_payload',
    });
  }
}

/** What an answer of either API repeats of the refund; fields that it does not carry are left out. */
export function echoedIdentity(
  refund: {
    outRefundNo: string;
    refundId: string | null;
    outTradeNo: string | null;
    transactionId: string | null;
  },
  merchantId: string | undefined,
): EchoedIdentity {
  return {
    gatewayRequestNo: refund.outRefundNo,
    ...(refund.refundId === null ? {} : { gatewayRefundNo: refund.refundId }),
    ...(refund.outTradeNo === null ? {} : { outTradeNo: refund.outTradeNo }),
    ...(refund.transactionId === null ? {} : { gatewayPaymentNo: refund.transactionId }),
    ...(merchantId === undefined ? {} : { merchantId }),
  };
}
