import { GatewayError } from '../gateway.error.js';
import type { GatewayPolicy, RedriveTarget, RefundGateway, RefundOrder } from '../gateway.port.js';
import { parseObject } from '../json-object.js';
import type { Observation } from '../observation.js';
import { shorten } from '../plain-text.js';
import { unanswered, type GatewayCallKind } from '../refusal-rules.js';
import { wechatCallback } from './wechat.callback.js';
import { wechatClient, type WechatClient } from './wechat.client.js';
import { wechatConfig, type WechatConfig } from './wechat.config.js';
import { encryptField, encryptionKey } from './wechat.encryption.js';
import { readRefusal, type WechatAnswer } from './wechat.errors.js';
import { ANSWER, observe, readRefund } from './wechat.status.js';

const REFUNDS_PATH = '/v3/refund/domestic/refunds';
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
  notFoundGraceMs: 24 * HOUR_MS,
  createReplay: { mode: 'forever' },
  notFoundIsDistinguishable: true,
  lateFailure: false,
  // Far below the documented 300 queries a second (gateways.md §11 no. 2).
  rate: { perSecond: 100, concurrency: 20 },
};

/** @param clientOf gives the transport of an account; specs replace it. */
export function createWechatGateway(
  clientOf: (config: WechatConfig) => WechatClient = wechatClient,
): RefundGateway<WechatConfig> {
  return {
    code: 'wechat',
    channel: 'wechat_pay',
    displayName: 'WeChat Pay',
    config: wechatConfig,
    policy: wechatPolicy,
    callback: wechatCallback,

    merchantId: (config) => config.mchId,

    async queryRefund({ config, order, signal, timeoutMs }) {
      const path = queryPath(order.gatewayRequestNo, config.subMchId);
      return classifyAnswer('query', await clientOf(config).send({ operation: 'query', path, signal, timeoutMs }));
    },

    prepareCreate: createBody,

    async sendCreate({ config, order, signal, timeoutMs }, payload) {
      checkPayload(payload, order);
      return classifyAnswer(
        'create',
        await clientOf(config).send({ operation: 'create', path: REFUNDS_PATH, body: payload, signal, timeoutMs }),
      );
    },

    async redrive({ config, order, signal, timeoutMs }, target) {
      const { path, body, encryptedFor } = redriveRequest(order, target, config);
      const request = { operation: 'redrive', path, body, signal, timeoutMs } as const;
      return classifyAnswer(
        'redrive',
        await clientOf(config).send(encryptedFor === undefined ? request : { ...request, encryptedFor }),
      );
    },
  };
}

export const wechatGateway = createWechatGateway();

/**
 * What an HTTP answer says. A 2xx counts only when its signature is right; a refusal is read either way and says whether it was.
 *
 * @throws GatewayError for everything that is not an observation.
 */
export function classifyAnswer(operation: GatewayCallKind, answer: WechatAnswer): Observation {
  if (answer.httpStatus < 200 || answer.httpStatus > 299) {
    const refusal = readRefusal(operation, answer);
    if (refusal instanceof GatewayError) throw refusal;
    return refusal;
  }
  if (!answer.verified) {
    throw unanswered(
      operation,
      'bad_signature',
      `An answer in WeChat Pay's name is not believed: ${answer.unverifiedBecause ?? 'it is not verified'}.`,
    );
  }
  const refund = readRefund(parseObject(answer.body), ANSWER);
  if ('badField' in refund) {
    throw unanswered(
      operation,
      'malformed',
      `WeChat Pay's answer cannot be used: ${refund.badField} is missing or malformed.`,
    );
  }
  return observe(refund, answer.requestId === null ? {} : { rawBody: { request_id: answer.requestId } });
}

/** gateways.md §1.5. Numbers that others made may hold all of these; the ones that we send keep to the plain ones, which no URL changes. */
const ANY_REFUND_NO = /^[A-Za-z0-9_\-|*@]{1,64}$/;
const OUR_REFUND_NO = /^[A-Za-z0-9_-]{1,64}$/;
const TRADE_NO = /^[A-Za-z0-9_\-|*@]{6,32}$/;
const TRANSACTION_ID = /^[A-Za-z0-9]{1,32}$/;

function queryPath(outRefundNo: string, subMchId: string | undefined): string {
  if (!ANY_REFUND_NO.test(outRefundNo)) {
    throw new GatewayError(
      'rejected',
      'The refund number is not one that WeChat Pay allows: 1 to 64 of letters, digits and _-|*@.',
      { code: 'invalid_order' },
    );
  }
  const path = `${REFUNDS_PATH}/${encodeURIComponent(outRefundNo)}`;
  return subMchId === undefined ? path : `${path}?sub_mchid=${encodeURIComponent(subMchId)}`;
}

/** The JSON text of a create (gateways.md §1.5). Made once: a repeat must carry the same content. */
function createBody(order: RefundOrder, config: WechatConfig): string {
  if (!OUR_REFUND_NO.test(order.gatewayRequestNo))
    throw inexpressible('the refund number must be 1 to 64 of letters, digits, _ and -');
  if (order.currency !== 'CNY') throw inexpressible('the currency must be CNY');
  if (!Number.isSafeInteger(order.amountMinor) || order.amountMinor < 1)
    throw inexpressible('the amount must be a whole number of fen above 0');
  if (!Number.isSafeInteger(order.paymentAmountMinor) || order.paymentAmountMinor < order.amountMinor) {
    throw inexpressible('the payment amount must be a whole number of fen, not less than the refund');
  }
  const reason = shorten(order.reason ?? '', MAX_REASON_BYTES);
  return JSON.stringify({
    sub_mchid: config.subMchId,
    ...paymentNo(order),
    out_refund_no: order.gatewayRequestNo,
    reason: reason === '' ? undefined : reason,
    notify_url: config.notifyUrl,
    funds_account: config.fundsAccount,
    amount: { refund: order.amountMinor, total: order.paymentAmountMinor, currency: order.currency },
  });
}

/** One of two. WeChat Pay's own number wins where it is known: ours can be a registration's guess. */
function paymentNo(order: RefundOrder): { transaction_id: string } | { out_trade_no: string } {
  if (order.gatewayPaymentNo !== null) {
    if (!TRANSACTION_ID.test(order.gatewayPaymentNo))
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

/** Debit cards of fifteen banks are served; which ones WeChat Pay says itself (bank_type, at most 16 characters). */
const BANK_CODE = /^[A-Z0-9_]{1,16}$/;
const ACCOUNT_NO = /^\d{8,32}$/;

/** 发起异常退款 (gateways.md §1.6): the card and its holder are encrypted for the platform key that the request names. */
function redriveRequest(
  order: RefundOrder,
  target: RedriveTarget,
  config: WechatConfig,
): { path: string; body: string; encryptedFor?: string } {
  const refundId = order.gatewayRefundNo ?? '';
  if (!TRANSACTION_ID.test(refundId)) throw notRedriven('its WeChat Pay number (refund_id) is not known');
  if (!ANY_REFUND_NO.test(order.gatewayRequestNo)) throw notRedriven('its refund number is not one of WeChat Pay');
  const path = `${REFUNDS_PATH}/${refundId}/apply-abnormal-refund`;
  const base = { sub_mchid: config.subMchId, out_refund_no: order.gatewayRequestNo };
  if (target.to === 'merchantAccount') return { path, body: JSON.stringify({ ...base, type: 'MERCHANT_BANK_CARD' }) };
  if (!BANK_CODE.test(target.bankCode))
    throw notRedriven('the bank code must be 1 to 16 capital letters, digits and _, as ICBC_DEBIT');
  const accountNo = target.accountNo.replace(/\s/g, '');
  if (!ACCOUNT_NO.test(accountNo)) throw notRedriven('the card number must be 8 to 32 digits');
  const holder = target.holderName.trim();
  // RSAES-OAEP with a key of 2048 bits holds 214 bytes.
  if (holder === '' || Buffer.byteLength(holder) > 200) throw notRedriven('the holder’s name must have 1 to 200 bytes');
  const { serial, key } = encryptionKey(config);
  return {
    path,
    body: JSON.stringify({
      ...base,
      type: 'USER_BANK_CARD',
      bank_type: target.bankCode,
      bank_account: encryptField(accountNo, key),
      real_name: encryptField(holder, key),
    }),
    encryptedFor: serial,
  };
}

function notRedriven(fault: string): GatewayError {
  return new GatewayError('rejected', `WeChat Pay cannot send this refund again: ${fault}.`, { code: 'invalid_order' });
}

/**
 * The limit is written `string(80)`, but WeChat Pay's PARAM_ERROR texts count bytes (字节数 …，大于最大值 …). 80 bytes of UTF-8 keep both
 * readings.
 */
const MAX_REASON_BYTES = 80;

/**
 * Guards what a create sends. The library signs the payload re-serialised while we send it as stored (wechat.client.ts), so both must be
 * the same text; `prepareCreate` makes no other.
 */
function checkPayload(payload: string, order: RefundOrder): void {
  const fields = parseObject(payload);
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
