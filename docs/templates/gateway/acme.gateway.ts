import { GatewayError } from '../../../src/gateway/gateway.error.js';
import type { GatewayChannel, GatewayPolicy, RefundGateway, RefundOrder } from '../../../src/gateway/gateway.port.js';
import { parseObject } from '../../../src/gateway/json-object.js';
import type { Observation } from '../../../src/gateway/observation.js';
import { shorten } from '../../../src/gateway/plain-text.js';
import { unanswered, type GatewayOperation } from '../../../src/gateway/refusal-rules.js';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../../src/shared/clock.js';
import { acmeCallback } from './acme.callback.js';
import { acmeClient, type AcmeAnswer, type AcmeClient } from './acme.client.js';
import { acmeConfig, type AcmeConfig } from './acme.config.js';
import { readRefusal } from './acme.errors.js';
import { observe } from './acme.status.js';

/** Each number with the chapter of the gateway's documents that it is from. */
export const acmePolicy: GatewayPolicy = {
  timeoutMs: 10_000,
  scheduleMs: [MINUTE_MS, 2 * MINUTE_MS, 5 * MINUTE_MS, 10 * MINUTE_MS, 30 * MINUTE_MS, HOUR_MS, 6 * HOUR_MS],
  notFoundGraceMs: DAY_MS,
  // `forever` only where the documents promise that one number is refunded once; when in doubt `never`.
  createReplay: { mode: 'never' },
  notFoundIsDistinguishable: false,
  lateFailure: false,
  rate: { perSecond: 10, concurrency: 5 },
};

/** @param clientOf gives the transport of an account; specs replace it. */
export function createAcmeGateway(
  clientOf: (config: AcmeConfig) => AcmeClient = acmeClient,
): RefundGateway<AcmeConfig> {
  return {
    code: 'acme',
    // Put it into GATEWAY_CHANNELS and drop the assertion.
    channel: 'acme_pay' as string as GatewayChannel,
    displayName: 'Acme Pay',
    config: acmeConfig,
    policy: acmePolicy,
    callback: acmeCallback,

    merchantId: ({ merchantNo }) => merchantNo,

    async queryRefund({ config, order, signal, timeoutMs }) {
      const body = JSON.stringify({ refund_no: order.gatewayRequestNo });
      return classify('query', await clientOf(config).send({ operation: 'query', body, signal, timeoutMs }));
    },

    prepareCreate: createBody,

    async sendCreate({ config, order, signal, timeoutMs }, payload) {
      if (parseObject(payload)?.refund_no !== order.gatewayRequestNo) {
        const text = 'The prepared create is not of this refund; it was not sent.';
        throw new GatewayError('rejected', text, { code: 'invalid_payload' });
      }
      return classify('create', await clientOf(config).send({ operation: 'create', body: payload, signal, timeoutMs }));
    },
  };
}

export const acmeGateway = createAcmeGateway();

/** @throws GatewayError for everything that is not an observation. */
export function classify(operation: GatewayOperation, answer: AcmeAnswer): Observation {
  if (answer.httpStatus !== 200) {
    const refusal = readRefusal(operation, answer);
    if (refusal instanceof GatewayError) throw refusal;
    return refusal;
  }
  if (!answer.verified)
    throw unanswered(operation, 'bad_signature', 'An answer in the name of Acme Pay is not believed.');
  const fields = parseObject(answer.body);
  if (fields === undefined) throw unanswered(operation, 'malformed', 'Acme Pay answered something that is no answer.');
  const observation = observe(fields);
  if ('badField' in observation) {
    const text = `The answer of Acme Pay cannot be used: ${observation.badField} is missing or malformed.`;
    throw unanswered(operation, 'malformed', text);
  }
  return observation;
}

/** What a create sends. Made once and stored: a repeat carries the same bytes. */
function createBody(order: RefundOrder): string {
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(order.gatewayRequestNo))
    throw inexpressible('the refund number must be 1 to 64 of letters, digits, _ and -');
  if (!Number.isSafeInteger(order.amountMinor) || order.amountMinor < 1 || order.amountMinor > order.paymentAmountMinor)
    throw inexpressible('the amount must be a whole number of minor units, not more than the payment');
  const reason = shorten(order.reason ?? '', 80);
  return JSON.stringify({
    refund_no: order.gatewayRequestNo,
    order_no: order.outTradeNo,
    amount: order.amountMinor,
    currency: order.currency,
    ...(reason === '' ? {} : { reason }),
  });
}

function inexpressible(fault: string): GatewayError {
  return new GatewayError('rejected', `Acme Pay cannot make this refund: ${fault}.`, {
    code: 'invalid_order',
    nothingHappened: true,
  });
}
