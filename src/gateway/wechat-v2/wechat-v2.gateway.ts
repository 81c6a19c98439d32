import { GatewayError } from '../gateway.error.js';
import type { RefundGateway, RefundOrder } from '../gateway.port.js';
import { parseObject } from '../json-object.js';
import type { Observation } from '../observation.js';
import { unanswered, type GatewayOperation } from '../refusal-rules.js';
import { checkPayload, checkRefundNo, createOf, merchantIdOf, wechatPolicy } from '../wechat-pay.js';
import { wechatV2Callback } from './wechat-v2.callback.js';
import { wechatV2Client, type WechatV2Client } from './wechat-v2.client.js';
import { wechatV2Config, type WechatV2Config } from './wechat-v2.config.js';
import { readRefusal, type WechatV2Answer } from './wechat-v2.errors.js';
import { echoedMerchant, observe, observeAccepted, readQueried } from './wechat-v2.status.js';

/** @param clientOf gives the transport of an account; specs replace it. */
export function createWechatV2Gateway(
  clientOf: (config: WechatV2Config) => WechatV2Client = wechatV2Client,
): RefundGateway<WechatV2Config> {
  return {
    code: 'wechat',
    channel: 'wechat_pay',
    apiVersion: 'v2',
    displayName: 'WeChat Pay (APIv2)',
    config: wechatV2Config,
    policy: wechatPolicy,
    callback: wechatV2Callback,

    merchantId: (config) => merchantIdOf(config.mchId, config.subMchId),

    async queryRefund({ config, order, signal, timeoutMs }) {
      checkRefundNo(order.gatewayRequestNo);
      const fields = { ...merchantFields(config), out_refund_no: order.gatewayRequestNo };
      const answer = await clientOf(config).send({ operation: 'query', fields, signal, timeoutMs });
      return classifyAnswer('query', answer, order, config);
    },

    prepareCreate: createFields,

    async sendCreate({ config, order, signal, timeoutMs }, payload) {
      const fields = parseObject(payload);
      checkPayload(fields, payload, order);
      if (config.clientCertificate === undefined) {
        throw new GatewayError(
          'badConfig',
          'Refunds are taken over mutual TLS: this account has no clientCertificate and clientKey.',
          { code: 'no_client_certificate' },
        );
      }
      const request = { operation: 'create', fields: fields as Record<string, string>, signal, timeoutMs } as const;
      return classifyAnswer('create', await clientOf(config).send(request), order, config);
    },
  };
}

export const wechatV2Gateway = createWechatV2Gateway();

/**
 * What an HTTP answer says. A success counts only when its signature is right; a refusal is read either way and says whether it was.
 *
 * @throws GatewayError for everything that is not an observation.
 */
export function classifyAnswer(
  operation: GatewayOperation,
  answer: WechatV2Answer,
  order: RefundOrder,
  config: WechatV2Config,
): Observation {
  const { fields, httpStatus, verified } = answer;
  if (httpStatus === 200 && !fields)
    throw unanswered(operation, 'malformed', 'WeChat Pay answered something that is not XML of its API.');
  if (!fields || httpStatus !== 200 || !saysSuccess(fields)) {
    const refusal = readRefusal(operation, answer);
    if (refusal instanceof GatewayError) throw refusal;
    return refusal;
  }
  if (!verified) {
    throw unanswered(
      operation,
      'bad_signature',
      'An answer in WeChat Pay’s name is not believed: its signature is missing or wrong.',
    );
  }
  const read = operation === 'create' ? observeAccepted(fields, config) : readQueried(fields, order.gatewayRequestNo);
  if ('badField' in read) {
    throw unanswered(
      operation,
      'malformed',
      `WeChat Pay's answer cannot be used: ${read.badField} is missing or malformed.`,
    );
  }
  return 'kind' in read ? read : observe(read, { authenticated: true, ...echoedMerchant(fields, config) });
}

function saysSuccess(fields: ReadonlyMap<string, string>): boolean {
  return fields.get('return_code') === 'SUCCESS' && fields.get('result_code') === 'SUCCESS';
}

function merchantFields(config: WechatV2Config): Record<string, string> {
  return withoutAbsent({
    appid: config.appId,
    mch_id: config.mchId,
    sub_appid: config.subAppId,
    sub_mch_id: config.subMchId,
  });
}

/**
 * The fields of a create (gateways.md §2.2) as JSON text. Made once: a repeat must carry the same content. Nonce and signature are of each
 * sending: stored, they would outlive the key.
 */
function createFields(order: RefundOrder, config: WechatV2Config): string {
  const { paymentNo, outRefundNo, refund, total, currency, reason } = createOf(order);
  return JSON.stringify({
    ...merchantFields(config),
    ...paymentNo,
    out_refund_no: outRefundNo,
    total_fee: String(total),
    refund_fee: String(refund),
    refund_fee_type: currency,
    ...withoutAbsent({
      refund_desc: reason,
      notify_url: config.notifyUrl,
      refund_account: config.refundAccount,
    }),
  });
}

function withoutAbsent(fields: Record<string, string | undefined>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(fields).filter((field): field is [string, string] => field[1] !== undefined),
  );
}
