import { GatewayError } from '../gateway.error.js';
import type { RedriveTarget, RefundGateway, RefundOrder } from '../gateway.port.js';
import { parseObject } from '../json-object.js';
import type { Observation } from '../observation.js';
import { unanswered, type GatewayCallKind } from '../refusal-rules.js';
import { checkPayload, checkRefundNo, createOf, merchantIdOf, WECHAT_NO, wechatPolicy } from '../wechat-pay.js';
import { wechatCallback } from './wechat.callback.js';
import { wechatClient, type WechatClient } from './wechat.client.js';
import { wechatConfig, type WechatConfig } from './wechat.config.js';
import { encryptField } from './wechat.encryption.js';
import { readRefusal, type WechatAnswer } from './wechat.errors.js';
import { platformKeysOf } from './wechat.platform-keys.js';
import { ANSWER, observe, readRefund } from './wechat.status.js';

const REFUNDS_PATH = '/v3/refund/domestic/refunds';

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

    merchantId: (config) => merchantIdOf(config.mchId, config.subMchId),

    async queryRefund({ config, order, signal, timeoutMs }) {
      const path = queryPath(order.gatewayRequestNo, config.subMchId);
      return classifyAnswer('query', await clientOf(config).send({ operation: 'query', path, signal, timeoutMs }));
    },

    prepareCreate: createBody,

    async sendCreate({ config, order, signal, timeoutMs }, payload) {
      // The library signs the payload re-serialised while we send it as stored (wechat.client.ts): both must be the same text.
      checkPayload(parseObject(payload), payload, order);
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

function queryPath(outRefundNo: string, subMchId: string | undefined): string {
  checkRefundNo(outRefundNo);
  const path = `${REFUNDS_PATH}/${encodeURIComponent(outRefundNo)}`;
  return subMchId === undefined ? path : `${path}?sub_mchid=${encodeURIComponent(subMchId)}`;
}

/** The JSON text of a create (gateways.md §1.5). Made once: a repeat must carry the same content. */
function createBody(order: RefundOrder, config: WechatConfig): string {
  const { paymentNo, outRefundNo, reason, refund, total, currency } = createOf(order);
  return JSON.stringify({
    sub_mchid: config.subMchId,
    ...paymentNo,
    out_refund_no: outRefundNo,
    reason,
    notify_url: config.notifyUrl,
    funds_account: config.fundsAccount,
    amount: { refund, total, currency },
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
  if (!WECHAT_NO.test(refundId)) throw notRedriven('its WeChat Pay number (refund_id) is not known');
  checkRefundNo(order.gatewayRequestNo);
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
  const platform = platformKeysOf(config).forEncryption(new Date(Date.now()));
  if (!platform) throw new GatewayError('badConfig', 'There is no platform key to encrypt for.', { code: 'bad_key' });
  const { serial, key } = platform;
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
