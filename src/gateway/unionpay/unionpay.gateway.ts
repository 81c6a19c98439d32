import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../shared/clock.js';
import { beijingDigits } from '../beijing-time.js';
import { GatewayError } from '../gateway.error.js';
import type { GatewayPolicy, RefundGateway, RefundOrder } from '../gateway.port.js';
import { parseObject } from '../json-object.js';
import type { Observation } from '../observation.js';
import { unanswered, type GatewayOperation } from '../refusal-rules.js';
import { unionpayCallback } from './unionpay.callback.js';
import { unionpayClient, type UnionpayClient } from './unionpay.client.js';
import {
  UNIONPAY_DEFAULT_BIZ_TYPE,
  UNIONPAY_DEFAULT_CHANNEL_TYPE,
  unionpayConfig,
  type UnionpayConfig,
} from './unionpay.config.js';
import { readRefusal, UNDERSTOOD, type UnionpayAnswer } from './unionpay.errors.js';
import { observeAccepted, observeQuery } from './unionpay.status.js';

export const unionpayPolicy: GatewayPolicy = {
  timeoutMs: 10_000,
  // gateways.md §0.4: the notice comes first; then a few questions, and the next day's reconciliation is the final word.
  scheduleMs: [
    2 * MINUTE_MS,
    3 * MINUTE_MS,
    5 * MINUTE_MS,
    10 * MINUTE_MS,
    30 * MINUTE_MS,
    HOUR_MS,
    2 * HOUR_MS,
    6 * HOUR_MS,
    12 * HOUR_MS,
    DAY_MS,
  ],
  // Credit comes after one to ten clearing days.
  settlesWithinMs: 14 * DAY_MS,
  notFoundGraceMs: DAY_MS,
  // A second request of the same number and time is answered 12, duplicate, and says nothing of the first (gateways.md §0.2).
  createReplay: { mode: 'never' },
  // 34 is signed, but it is also what a refund gets that was registered with a time one second off.
  notFoundIsDistinguishable: false,
  lateFailure: false,
  // Only a number of questions for one refund is known (six, from demo comments), and no rate.
  rate: { perSecond: 20, concurrency: 10 },
};

/** @param clientOf gives the transport of an account; specs replace it. */
export function createUnionpayGateway(
  clientOf: (config: UnionpayConfig) => UnionpayClient = unionpayClient,
): RefundGateway<UnionpayConfig> {
  return {
    code: 'unionpay',
    channel: 'union_pay',
    displayName: 'UnionPay',
    config: unionpayConfig,
    policy: unionpayPolicy,
    callback: unionpayCallback,

    merchantId: (config) => config.merId,
    registrationFault,

    async queryRefund({ config, order, signal, timeoutMs }) {
      const fields = queryFields(order);
      const answer = await clientOf(config).send({ operation: 'query', fields, signal, timeoutMs });
      return classifyAnswer('query', answer, order);
    },

    prepareCreate: createPayload,

    async sendCreate({ config, order, signal, timeoutMs }, payload) {
      const fields = payloadFields(payload, order);
      const answer = await clientOf(config).send({ operation: 'create', fields, signal, timeoutMs });
      return classifyAnswer('create', answer, order);
    },
  };
}

export const unionpayGateway = createUnionpayGateway();

/**
 * What an HTTP answer says. `00` counts only under a right signature; an unsigned refusal is read and says that it is not signed; what
 * claims a signature that is not right is nobody's answer.
 *
 * @throws GatewayError for everything that is not an observation.
 */
export function classifyAnswer(operation: GatewayOperation, answer: UnionpayAnswer, order: RefundOrder): Observation {
  const { httpStatus, message } = answer;
  if (httpStatus === 429)
    throw new GatewayError('rateLimited', 'UnionPay wants fewer calls (HTTP 429).', { code: 'http_429' });
  if (httpStatus !== 200)
    throw unanswered(operation, `http_${httpStatus}`, `UnionPay answered the ${operation} with HTTP ${httpStatus}.`);
  if (message === null)
    throw unanswered(operation, 'malformed', 'UnionPay answered something that is not an answer of its gateway.');
  const { fields, signature, doubt } = message;
  const code = fields.get('respCode');
  // A create of which it says "accepted, ask later".
  const isAccepted = code === UNDERSTOOD || (operation === 'create' && code === '05');
  if (signature === 'wrong' || (isAccepted && signature !== 'right')) {
    throw unanswered(
      operation,
      'bad_signature',
      `An answer in UnionPay's name is not believed: ${doubt ?? 'it is not verified'}.`,
    );
  }
  if (!isAccepted) {
    const refusal = readRefusal(operation, message);
    if (refusal instanceof GatewayError) throw refusal;
    return refusal;
  }
  if (fields.get('orderId') !== order.gatewayRequestNo || fields.get('txnTime') !== txnTimeOf(order)) {
    // Signed by UnionPay, but for another question: a repeated answer, or a mix-up on the way.
    throw unanswered(operation, 'malformed', "UnionPay's answer is about another number or time than was asked for.");
  }
  if (operation === 'create') return observeAccepted(fields);
  const observation = observeQuery(fields);
  if ('badField' in observation) {
    throw unanswered(
      operation,
      'malformed',
      `UnionPay's answer cannot be used: ${observation.badField} is missing or malformed.`,
    );
  }
  // The query finds any transaction by its number. That of a payment has the payment's amount and has succeeded, too.
  if (order.gatewayPaymentNo !== null && observation.identity.gatewayRefundNo === order.gatewayPaymentNo)
    throw notARefund();
  return observation;
}

/** gateways.md §4.2: unique per merchant together with `txnTime`; letters and digits alone. */
const ORDER_ID = /^[0-9A-Za-z]{8,40}$/;
const QUERY_ID = /^\d{21}$/;
const CURRENCY = 'CNY';
const MAX_FEN = 999_999_999_999;

/** UnionPay finds a refund by two things, and a merchant that registers one has to say both. */
function registrationFault(
  order: Pick<RefundOrder, 'gatewayRequestNo' | 'gatewayRequestTime' | 'outTradeNo'>,
): { field: string; fault: string } | undefined {
  if (!ORDER_ID.test(order.gatewayRequestNo))
    return {
      field: 'gatewayRequestNo',
      fault: 'must be the orderId of the refund at UnionPay: 8 to 40 letters and digits',
    };
  if (order.gatewayRequestNo === order.outTradeNo)
    return {
      field: 'gatewayRequestNo',
      fault: 'is the number of the payment: a refund at UnionPay has an orderId of its own',
    };
  if (order.gatewayRequestTime === null)
    return {
      field: 'gatewayRequestTime',
      fault: 'is required: UnionPay finds a refund by its orderId and its txnTime',
    };
  return undefined;
}

/** gateways.md §4.3: number and time are those of the refund. */
function queryFields(order: RefundOrder): Record<string, string> {
  const fault = registrationFault(order);
  if (fault)
    throw new GatewayError('rejected', `UnionPay cannot be asked for this refund: ${fault.field} ${fault.fault}.`, {
      code: 'invalid_order',
    });
  return {
    txnType: '00',
    txnSubType: '00',
    bizType: '000000',
    orderId: order.gatewayRequestNo,
    txnTime: txnTimeOf(order),
  };
}

/** The fields that a create is about, as JSON. Made once and stored; signature and certificate are of the moment it is sent. */
function createPayload(order: RefundOrder, config: UnionpayConfig): string {
  const { gatewayPaymentNo, amountMinor } = order;
  // Longer ones are taken by some products only (gateways.md §11 no. 10).
  if (!/^[0-9A-Za-z]{8,32}$/.test(order.gatewayRequestNo))
    throw inexpressible('the refund number must be 8 to 32 letters and digits');
  if (order.gatewayRequestTime === null) throw inexpressible('the time of the request is missing');
  if (gatewayPaymentNo === null || !QUERY_ID.test(gatewayPaymentNo))
    throw inexpressible('gatewayPaymentNo of the payment must be its queryId at UnionPay, 21 digits');
  if (order.currency !== CURRENCY) throw inexpressible('the currency must be CNY');
  if (!Number.isSafeInteger(amountMinor) || amountMinor < 1 || amountMinor > MAX_FEN)
    throw inexpressible('the amount must be a whole number of fen, of at most 12 digits');
  return JSON.stringify({
    txnType: '04',
    txnSubType: '00',
    bizType: config.bizType ?? UNIONPAY_DEFAULT_BIZ_TYPE,
    channelType: config.channelType ?? UNIONPAY_DEFAULT_CHANNEL_TYPE,
    orderId: order.gatewayRequestNo,
    txnTime: txnTimeOf(order),
    txnAmt: String(amountMinor),
    currencyCode: '156',
    origQryId: gatewayPaymentNo,
    backUrl: config.notifyUrl,
  });
}

/** `YYYYMMDDhhmmss`, Beijing. A query must repeat to the second what the create said. */
function txnTimeOf({ gatewayRequestTime }: RefundOrder): string {
  return gatewayRequestTime === null ? '' : beijingDigits(gatewayRequestTime);
}

/** What is sent is what was stored, as long as it is of this refund. */
function payloadFields(payload: string, order: RefundOrder): Record<string, string> {
  const fields = Object.entries(parseObject(payload) ?? {}).filter(
    (entry): entry is [string, string] => typeof entry[1] === 'string',
  );
  const known = Object.fromEntries(fields);
  if (known.orderId !== order.gatewayRequestNo || known.txnTime !== txnTimeOf(order)) {
    throw new GatewayError('rejected', 'The prepared create is not of this refund; it was not sent.', {
      code: 'invalid_payload',
    });
  }
  return known;
}

function inexpressible(fault: string): GatewayError {
  return new GatewayError('rejected', `UnionPay cannot make this refund: ${fault}.`, {
    code: 'invalid_order',
    nothingHappened: true,
  });
}

function notARefund(): GatewayError {
  return new GatewayError(
    'rejected',
    'UnionPay answered with the payment itself: gatewayRequestNo and gatewayRequestTime must be those of the refund.',
    { code: 'not_a_refund' },
  );
}
