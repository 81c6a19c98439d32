import { GatewayError } from '../gateway.error.js';
import type { GatewayCall, GatewayPolicy, RefundGateway, RefundOrder } from '../gateway.port.js';
import { isRecord, parseObject } from '../json-object.js';
import type { Observation } from '../observation.js';
import { unanswered, type GatewayOperation } from '../refusal-rules.js';
import { stripeCallback } from './stripe.callback.js';
import { paramsOf, stripeClient, type PaymentFilter, type StripeClient } from './stripe.client.js';
import { stripeConfig, type StripeConfig } from './stripe.config.js';
import { answerMarks, readRefusal, type StripeAnswer } from './stripe.errors.js';
import {
  observe,
  readRefund,
  REFUND_NO_KEY,
  refundNoOf,
  toStripeAmount,
  type KnownPayment,
  type StripeRefund,
} from './stripe.status.js';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** Stripe keeps idempotency keys for 24 hours at least; the margin is for slow calls and clocks that differ. */
const KEY_LIFETIME_MS = 24 * HOUR_MS;
const KEY_MARGIN_MS = HOUR_MS;

export const stripePolicy: GatewayPolicy = {
  timeoutMs: 15_000,
  // Webhooks tell first; asking is for what they missed (gateways.md §0.4).
  scheduleMs: [MINUTE_MS, 5 * MINUTE_MS, 15 * MINUTE_MS, HOUR_MS, 2 * HOUR_MS, 6 * HOUR_MS, 12 * HOUR_MS, DAY_MS],
  // Stripe says five to ten days.
  settlesWithinMs: 10 * DAY_MS,
  notFoundGraceMs: DAY_MS,
  createReplay: { mode: 'ttl', ttlMs: KEY_LIFETIME_MS - KEY_MARGIN_MS },
  notFoundIsDistinguishable: true,
  // gateways.md §5.2: a bank may return a refund that had succeeded.
  lateFailure: true,
  verifyAfterEnd: { scheduleMs: [...Array.from({ length: 24 }, () => HOUR_MS), DAY_MS], forMs: 30 * DAY_MS },
  // Sandboxes are allowed 25 a second, and so is each endpoint by default (gateways.md §5.3).
  rate: { perSecond: 20, concurrency: 10 },
};

/** Bounds what one query reads: 500 refunds of one payment. */
const MAX_PAGES = 5;

/** @param clientOf gives the transport of an account; specs replace it. */
export function createStripeGateway(
  clientOf: (config: StripeConfig) => StripeClient = stripeClient,
): RefundGateway<StripeConfig> {
  return {
    code: 'stripe',
    channel: 'stripe',
    displayName: 'Stripe',
    config: stripeConfig,
    policy: stripePolicy,
    // Without a payment nothing can be asked by our number.
    probe: { gatewayRefundNo: 're_refundsyncconnectiontest' },
    callback: stripeCallback,

    // A key's own account is named nowhere in what Stripe answers about refunds: where none is set, there is nothing to compare.
    merchantId: (config) => config.accountId ?? 'stripe',

    async queryRefund(call) {
      return call.order.gatewayRefundNo === null
        ? queryByOurNumber(clientOf(call.config), call)
        : queryById(clientOf(call.config), call, call.order.gatewayRefundNo);
    },

    prepareCreate: createBody,

    async sendCreate({ config, order, signal, timeoutMs }, payload) {
      checkPayload(payload, order);
      const answer = await clientOf(config).send({
        kind: 'create',
        payload,
        idempotencyKey: `refund-sync:${order.gatewayRequestNo}`,
        signal,
        timeoutMs,
      });
      return classifyRefund('create', answer, order);
    },
  };
}

export const stripeGateway = createStripeGateway();

/** Newer payment methods have `pyr_…` (gateways.md §5.2). */
const REFUND_ID = /^[a-z]{2,8}_[A-Za-z0-9_]{1,60}$/;

async function queryById(
  client: StripeClient,
  { order, signal, timeoutMs }: GatewayCall<StripeConfig>,
  refundId: string,
): Promise<Observation> {
  if (!REFUND_ID.test(refundId))
    throw new GatewayError('rejected', 'The gateway refund number is not one of Stripe’s: re_… is wanted.', {
      code: 'invalid_order',
    });
  return classifyRefund('query', await client.send({ kind: 'retrieve', refundId, signal, timeoutMs }), order);
}

/** Lists the payment's refunds and looks for our number in their metadata. */
async function queryByOurNumber(
  client: StripeClient,
  { order, signal, timeoutMs }: GatewayCall<StripeConfig>,
): Promise<Observation> {
  const payment = knownPayment(order);
  if (!payment) throw new GatewayError('rejected', NO_REFERENCE, { code: 'payment_reference_missing' });
  const endsAt = performance.now() + timeoutMs;
  const found: StripeRefund[] = [];
  let listed = 0;
  let startingAfter: string | undefined;
  for (let page = 1; ; page += 1) {
    const answer = await client.send({
      kind: 'list',
      of: filterOf(payment),
      ...(startingAfter === undefined ? {} : { startingAfter }),
      signal,
      timeoutMs: Math.max(1, endsAt - performance.now()),
    });
    const { refunds, hasMore } = readPage(answer);
    listed += refunds.length;
    found.push(...refunds.filter((refund) => refundNoOf(refund) === order.gatewayRequestNo).map(readListed));
    const last = refunds.at(-1);
    if (!hasMore || last === undefined) return chosen(found, answer, order, payment, listed);
    if (page === MAX_PAGES) {
      if (found.length > 0) return chosen(found, answer, order, payment, listed);
      throw new GatewayError(
        'rejected',
        `Our number is not among the ${listed} newest refunds of ${payment.reference}; register the refund with gatewayRefundNo.`,
        { code: 'too_many_refunds' },
      );
    }
    startingAfter = last.id;
  }
}

/**
 * Which of the refunds with our number is ours. Merchants send a failed refund again under the number that it had, so what failed counts
 * only where nothing else is there. Two that did not fail are money sent twice: for a person to see.
 */
function chosen(
  found: readonly StripeRefund[],
  answer: StripeAnswer,
  order: RefundOrder,
  payment: KnownPayment,
  listed: number,
): Observation {
  const observations = found.map((refund) => observe(refund, evidenceOf(answer, order)));
  const live = observations.filter(({ kind }) => kind !== 'failed');
  if (live.length > 1) {
    const ids = found.map(({ id }) => id).slice(0, 5);
    return {
      kind: 'abnormal',
      authenticated: true,
      identity: {},
      gatewayRefundNo: null,
      message: `Stripe has ${live.length} refunds with this number, which may be money sent twice: ${ids.join(', ')}`,
      raw: {
        code: 'duplicate_refund',
        message: '',
        body: { payment: payment.reference, refunds: ids, ...answerMarks(answer) },
      },
    };
  }
  // The list has the newest first.
  return (
    live[0] ??
    observations[0] ?? {
      kind: 'notFound',
      authenticated: true,
      identity: {},
      raw: {
        code: 'not_listed',
        message: `None of the payment's refunds has our number as metadata ${REFUND_NO_KEY}.`,
        body: { payment: payment.reference, listed, ...answerMarks(answer) },
      },
    }
  );
}

/**
 * What the answer about one refund says.
 *
 * @throws GatewayError for everything that is not an observation.
 */
export function classifyRefund(operation: GatewayOperation, answer: StripeAnswer, order: RefundOrder): Observation {
  if (!isOk(answer)) {
    const refusal = readRefusal(operation, answer);
    if (refusal instanceof GatewayError) throw refusal;
    return refusal;
  }
  const refund = readRefund(parseObject(answer.body));
  if ('badField' in refund) throw malformed(operation, refund.badField);
  return observe(refund, evidenceOf(answer, order));
}

interface RefundPage {
  refunds: (Record<string, unknown> & { id: string })[];
  hasMore: boolean;
}

function readPage(answer: StripeAnswer): RefundPage {
  if (!isOk(answer)) {
    const refusal = readRefusal('query', answer);
    if (refusal instanceof GatewayError) throw refusal;
    // Not the refund is missing here but the payment: that says nothing of the refund.
    throw new GatewayError(
      'rejected',
      'The account has no such payment; is it of another account, or are test and live mixed up?',
      { code: refusal.raw.code, raw: refusal.raw },
    );
  }
  const page = parseObject(answer.body);
  if (page?.object !== 'list') throw malformed('query', 'object');
  if (!Array.isArray(page.data)) throw malformed('query', 'data');
  if (typeof page.has_more !== 'boolean') throw malformed('query', 'has_more');
  const refunds = page.data.map((item: unknown) => {
    if (!isRecord(item) || typeof item.id !== 'string' || !REFUND_ID.test(item.id)) throw malformed('query', 'data.id');
    return { ...item, id: item.id };
  });
  if (page.has_more && refunds.length === 0) throw malformed('query', 'has_more');
  return { refunds, hasMore: page.has_more };
}

function readListed(item: Record<string, unknown>): StripeRefund {
  const refund = readRefund(item);
  if ('badField' in refund) throw malformed('query', `data.${refund.badField}`);
  return refund;
}

function isOk({ httpStatus }: StripeAnswer): boolean {
  return httpStatus >= 200 && httpStatus <= 299;
}

function malformed(operation: GatewayOperation, field: string): GatewayError {
  return unanswered(operation, 'malformed', `Stripe's answer cannot be used: ${field} is missing or malformed.`);
}

function evidenceOf(answer: StripeAnswer, order: RefundOrder): Parameters<typeof observe>[1] {
  return {
    payment: knownPayment(order),
    merchantId: answer.account ?? undefined,
    rawBody: answerMarks(answer),
  };
}

const PAYMENT_INTENT = /^pi_[A-Za-z0-9_]{1,60}$/;
/** `py_…` is a charge of some payment methods. */
const CHARGE = /^(?:ch|py)_[A-Za-z0-9_]{1,60}$/;
const NO_REFERENCE =
  'Stripe knows the payment by neither of its numbers: register its pi_… or ch_… as gatewayPaymentNo (or as outTradeNo), or the refund with its re_… as gatewayRefundNo.';

/** The payment as Stripe knows it: its number there, else the merchant's where that is Stripe's. */
function knownPayment({ gatewayPaymentNo, outTradeNo }: RefundOrder): KnownPayment | undefined {
  const reference = [gatewayPaymentNo, outTradeNo].find(
    (number): number is string => number !== null && (PAYMENT_INTENT.test(number) || CHARGE.test(number)),
  );
  return reference === undefined ? undefined : { reference, outTradeNo };
}

function filterOf({ reference }: KnownPayment): PaymentFilter {
  return PAYMENT_INTENT.test(reference) ? { payment_intent: reference } : { charge: reference };
}

/** 1 to 64 visible characters: they stand in a header (idempotency key) and in metadata. */
const REQUEST_NO = /^[\x21-\x7e]{1,64}$/;
const REASONS = ['duplicate', 'fraudulent', 'requested_by_customer'];

/** The form text of a create (gateways.md §5.1), as the library would encode it. Made once: a repeat must carry the same content. */
function createBody(order: RefundOrder): string {
  const payment = knownPayment(order);
  if (!payment) throw inexpressible(NO_REFERENCE);
  if (!REQUEST_NO.test(order.gatewayRequestNo))
    throw inexpressible('Stripe cannot make this refund: its number must be 1 to 64 visible characters.');
  const amount = toStripeAmount(order.amountMinor, order.currency);
  if (amount === undefined)
    throw inexpressible(
      `Stripe cannot make this refund: ${order.amountMinor} minor units of ${order.currency} are no amount that it takes.`,
    );
  const reason = order.reason?.trim() ?? '';
  const fields: [string, string][] = [
    ...Object.entries(filterOf(payment)),
    ['amount', String(amount)],
    // Any other text has no place at Stripe: reasons are these three.
    ...(REASONS.includes(reason) ? ([['reason', reason]] as [string, string][]) : []),
    [`metadata[${REFUND_NO_KEY}]`, order.gatewayRequestNo],
  ];
  return fields.map(([name, value]) => `${name}=${encode(value)}`).join('&');
}

/** As the library does it: brackets stay, what encodeURIComponent leaves does not. */
function encode(value: string): string {
  return encodeURIComponent(value)
    .replace(/[!*()']/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll('%5B', '[')
    .replaceAll('%5D', ']');
}

function inexpressible(text: string): GatewayError {
  return new GatewayError('rejected', text, { code: 'invalid_order', nothingHappened: true });
}

function checkPayload(payload: string, order: RefundOrder): void {
  const { metadata } = paramsOf(payload);
  if (!isRecord(metadata) || metadata[REFUND_NO_KEY] !== order.gatewayRequestNo) {
    throw new GatewayError('rejected', 'The prepared create is of another refund number; it was not sent.', {
      code: 'invalid_payload',
    });
  }
}
