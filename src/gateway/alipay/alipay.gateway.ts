import { minorToDecimal } from '../../shared/money.js';
import { GatewayError } from '../gateway.error.js';
import type { GatewayPolicy, RefundGateway, RefundOrder } from '../gateway.port.js';
import { parseObject } from '../json-object.js';
import type { Observation } from '../observation.js';
import { shorten } from '../plain-text.js';
import { unanswered, type GatewayOperation } from '../refusal-rules.js';
import { alipayCallback } from './alipay.callback.js';
import { alipayClient, type AlipayClient } from './alipay.client.js';
import { alipayConfig, type AlipayConfig } from './alipay.config.js';
import { readRefusal, SUCCESS_CODE, type AlipayAnswer } from './alipay.errors.js';
import { memberText, observeCreate, observeQuery } from './alipay.status.js';

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;

export const alipayPolicy: GatewayPolicy = {
  timeoutMs: 10_000,
  // gateways.md §0.4: not before ten seconds after the refund; usually it is there then.
  scheduleMs: [
    10 * SECOND_MS,
    30 * SECOND_MS,
    MINUTE_MS,
    2 * MINUTE_MS,
    5 * MINUTE_MS,
    10 * MINUTE_MS,
    30 * MINUTE_MS,
    HOUR_MS,
  ],
  // Alipay settles at once, or not at all.
  settlesWithinMs: 24 * HOUR_MS,
  notFoundGraceMs: 24 * HOUR_MS,
  // The number makes a refund happen once, whenever it is repeated; the amount must not change (gateways.md §3.2).
  createReplay: { mode: 'forever' },
  // "Repeat the refund with the same number and amount", "at most a few times" (gateways.md §3.3, §0.4).
  repeatAcknowledged: { afterMs: 10 * MINUTE_MS, times: 3 },
  // An answer without refund_status can also mean "not yet" or "failed" (gateways.md §3.3).
  notFoundIsDistinguishable: false,
  lateFailure: false,
  // No limit is published (gateways.md §11 no. 8).
  rate: { perSecond: 50, concurrency: 20 },
};

/** @param clientOf gives the transport of an account; specs replace it. */
export function createAlipayGateway(
  clientOf: (config: AlipayConfig) => AlipayClient = alipayClient,
): RefundGateway<AlipayConfig> {
  return {
    code: 'alipay',
    channel: 'ali_pay',
    displayName: 'Alipay',
    config: alipayConfig,
    policy: alipayPolicy,
    callback: alipayCallback,

    merchantId: (config) => config.appId,

    async queryRefund({ config, order, signal, timeoutMs }) {
      const bizContent = queryContent(order);
      return classifyAnswer(
        'query',
        await clientOf(config).send({ operation: 'query', bizContent, signal, timeoutMs }),
      );
    },

    prepareCreate: createContent,

    async sendCreate({ config, order, signal, timeoutMs }, payload) {
      checkPayload(payload, order);
      return classifyAnswer(
        'create',
        await clientOf(config).send({ operation: 'create', bizContent: payload, signal, timeoutMs }),
      );
    },
  };
}

export const alipayGateway = createAlipayGateway();

/**
 * What an HTTP answer says. `10000` counts only under a right signature; a refusal is read either way and says whether it was, for many
 * refusals of the gateway itself are not signed.
 *
 * @throws GatewayError for everything that is not an observation.
 */
export function classifyAnswer(operation: GatewayOperation, answer: AlipayAnswer): Observation {
  const { httpStatus, response, traceId } = answer;
  // The gateway answers 200 even to errors: another status comes from something in front of it.
  if (httpStatus === 429)
    throw new GatewayError('rateLimited', 'Alipay wants fewer calls (HTTP 429).', { code: 'http_429' });
  if (httpStatus !== 200)
    throw unanswered(operation, `http_${httpStatus}`, `Alipay answered the ${operation} with HTTP ${httpStatus}.`);
  if (response === null)
    throw unanswered(operation, 'malformed', 'Alipay answered something that is not an answer of its gateway.');
  const { fields, verified, unverifiedBecause } = response;
  if (memberText(fields, 'code') !== SUCCESS_CODE) {
    const refusal = readRefusal(operation, response, traceId);
    if (refusal instanceof GatewayError) throw refusal;
    return refusal;
  }
  if (!verified) {
    throw unanswered(
      operation,
      'bad_signature',
      `An answer in Alipay's name is not believed: ${unverifiedBecause ?? 'it is not verified'}.`,
    );
  }
  const more = traceId === null ? {} : { trace_id: traceId };
  if (operation === 'create') return observeCreate(fields, more);
  const observation = observeQuery(fields, more);
  if ('badField' in observation) {
    throw unanswered(
      operation,
      'malformed',
      `Alipay's answer cannot be used: ${observation.badField} is missing or malformed.`,
    );
  }
  return observation;
}

/** gateways.md §3.2. Numbers that others made may hold any of these; the ones that we send keep to the plain ones. */
const ANY_NO = /^[\x21-\x7e]{1,64}$/;
const OUR_REFUND_NO = /^[A-Za-z0-9_-]{1,64}$/;
const MAX_REASON_BYTES = 256;
const CURRENCY = 'CNY';

/** gateways.md §3.3. The time of the refund comes only when asked for. */
function queryContent(order: RefundOrder): string {
  const trade = tradeNo(order);
  if (!ANY_NO.test(order.gatewayRequestNo) || !ANY_NO.test(Object.values(trade)[0] ?? '')) {
    throw new GatewayError(
      'rejected',
      'The refund or payment number is not one that Alipay can have: 1 to 64 visible characters.',
      { code: 'invalid_order' },
    );
  }
  return JSON.stringify({
    ...trade,
    out_request_no: order.gatewayRequestNo,
    query_options: ['gmt_refund_pay'],
  });
}

/** The `biz_content` of a create (gateways.md §3.2). Made once: a repeat must carry the same content. */
function createContent(order: RefundOrder): string {
  if (!OUR_REFUND_NO.test(order.gatewayRequestNo))
    throw inexpressible('the refund number must be 1 to 64 of letters, digits, _ and -');
  const trade = tradeNo(order);
  if (!ANY_NO.test(Object.values(trade)[0] ?? ''))
    throw inexpressible('the payment number must be 1 to 64 visible characters');
  if (order.currency !== CURRENCY) throw inexpressible('the currency must be CNY');
  if (!Number.isSafeInteger(order.amountMinor) || order.amountMinor < 1)
    throw inexpressible('the amount must be a whole number of fen above 0');
  if (!Number.isSafeInteger(order.paymentAmountMinor) || order.paymentAmountMinor < order.amountMinor)
    throw inexpressible('the payment amount must be a whole number of fen, not less than the refund');
  const reason = shorten(order.reason ?? '', MAX_REASON_BYTES);
  return JSON.stringify({
    ...trade,
    // Always: a refund without one takes the payment's number, and a second partial refund would be the first one again.
    out_request_no: order.gatewayRequestNo,
    refund_amount: minorToDecimal(order.amountMinor, CURRENCY),
    refund_reason: reason === '' ? undefined : reason,
  });
}

/** One of two. Alipay's own number wins where it is known: ours can be a registration's guess. */
function tradeNo(order: RefundOrder): { trade_no: string } | { out_trade_no: string } {
  return order.gatewayPaymentNo === null ? { out_trade_no: order.outTradeNo } : { trade_no: order.gatewayPaymentNo };
}

function inexpressible(fault: string): GatewayError {
  return new GatewayError('rejected', `Alipay cannot make this refund: ${fault}.`, {
    code: 'invalid_order',
    nothingHappened: true,
  });
}

/** What is sent is what was stored, as long as it is of this refund. */
function checkPayload(payload: string, order: RefundOrder): void {
  if (parseObject(payload)?.out_request_no !== order.gatewayRequestNo) {
    throw new GatewayError('rejected', 'The prepared create is not of this refund; it was not sent.', {
      code: 'invalid_payload',
    });
  }
}
