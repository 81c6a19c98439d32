import { createHmac, timingSafeEqual } from 'node:crypto';

import { CallbackRejected, type CallbackHandler, type CallbackMessage, type RawCallback } from '../gateway.port.js';
import { isRecord, parseObject } from '../json-object.js';
import type { Observation } from '../observation.js';
import { isLive, webhookSecrets, type StripeConfig } from './stripe.config.js';
import { observe, readRefund, refundNoOf } from './stripe.status.js';

/** Stripe's own default (gateways.md §5.4). */
const MAX_CLOCK_OFFSET_S = 300;
/** A header has one signature for each secret that is in use; more than this is no header of Stripe's. */
const MAX_SIGNATURES = 10;

/** Their object is a refund. The last one is older and is sent for some payment methods only. */
const REFUND_EVENTS = ['refund.created', 'refund.updated', 'refund.failed', 'charge.refund.updated'];
/** Its object is the charge. */
const CHARGE_REFUNDED = 'charge.refunded';

export const stripeCallback: CallbackHandler<StripeConfig> = {
  receive,
  accepted: { status: 200, contentType: 'application/json', body: '{"received":true}' },
  rejected: { status: 400, contentType: 'application/json', body: '{"received":false}' },
};

/**
 * Webhook events, gateways.md §5.4. They come in any order: each is translated as it is, and what it may still change is decided by who
 * knows the refund.
 *
 * @returns null for an event that is about no refund: an endpoint that is subscribed to more than it needs is no fault, and refusing
 * its events would make Stripe switch it off.
 */
function receive(raw: RawCallback, config: StripeConfig): CallbackMessage | null {
  verifySignature(raw, config);
  const event = parseObject(raw.body.toString('utf8')) ?? refuse('the body is not a JSON object');
  if (event.object !== 'event') return refuse('it is no event');
  const { id, type } = event;
  if (typeof id !== 'string' || !/^[\x21-\x7e]{1,128}$/.test(id)) return refuse('the event has no usable id');
  if (typeof type !== 'string') return refuse('the event has no type');
  if (event.livemode !== isLive(config)) return refuse('it is of the other mode (test or live) than secretKey');
  const account = accountOf(event, config);
  const subject = isRecord(event.data) ? event.data.object : undefined;

  if (type === CHARGE_REFUNDED) return chargeRefunded(id, type, subject);
  if (!REFUND_EVENTS.includes(type)) return null;
  const refund = readRefund(subject);
  if ('badField' in refund) return refuse(`the refund's ${refund.badField} is missing or malformed`);
  return {
    eventKey: id,
    eventType: type,
    gatewayRequestNo: refund.refundNo,
    gatewayRefundNo: refund.id,
    outTradeNo: null,
    observation: observe(refund, { merchantId: account, rawBody: { event_type: type } }),
  };
}

/**
 * Only says that a charge has one refund more. Before API version 2022-11-15 it holds the newest refunds: then there is one to ask
 * about. Else nothing is lost, because each refund has an event of its own.
 */
function chargeRefunded(eventKey: string, eventType: string, charge: unknown): CallbackMessage | null {
  if (!isRecord(charge) || charge.object !== 'charge') return refuse('its object is no charge');
  const newest: unknown =
    isRecord(charge.refunds) && Array.isArray(charge.refunds.data) ? charge.refunds.data[0] : null;
  if (!isRecord(newest) || typeof newest.id !== 'string' || newest.id.length > 64) return null;
  const observation: Observation = {
    kind: 'processing',
    authenticated: true,
    gatewayRefundNo: newest.id,
    identity: { gatewayRefundNo: newest.id },
    raw: {
      code: eventType,
      message: 'A refund was made; which state it is in has to be asked.',
      body: { id: newest.id },
    },
  };
  const gatewayRequestNo = refundNoOf(newest);
  return { eventKey, eventType, gatewayRequestNo, gatewayRefundNo: newest.id, outTradeNo: null, observation };
}

/**
 * Events of connected accounts name them; events of the endpoint's own account name none.
 *
 * @returns the account, when the event names it.
 */
function accountOf(event: Record<string, unknown>, config: StripeConfig): string | undefined {
  if (event.account === undefined || event.account === null) return undefined;
  if (event.account !== config.accountId) return refuse('it is of another account than accountId');
  return config.accountId;
}

function refuse(reason: string): never {
  throw new CallbackRejected(`Stripe callback refused: ${reason}.`);
}

/**
 * `Stripe-Signature: t=<seconds>,v1=<hex>[,v1=…][,v0=…]` over `t.body`. Done here and not by the library, which decodes the bytes to text
 * first (other bytes can be the same text), lets times in the future pass, and takes one secret.
 */
function verifySignature(raw: RawCallback, config: StripeConfig): void {
  const header = raw.headers['stripe-signature'] ?? '';
  if (header === '') refuse('the signature header is missing');
  const parts = header.split(',').map((part) => /^\s*([a-z0-9]+)=(.*?)\s*$/.exec(part) ?? []);
  const valuesOf = (scheme: string) => parts.flatMap(([, name, value]) => (name === scheme ? [value ?? ''] : []));
  const [timestamp, ...more] = valuesOf('t');
  if (timestamp === undefined || more.length > 0 || !/^\d{1,12}$/.test(timestamp))
    return refuse('the signature header has no usable timestamp');
  const signatures = valuesOf('v1').filter((value) => /^[0-9a-f]{64}$/.test(value));
  if (signatures.length === 0 || signatures.length > MAX_SIGNATURES)
    return refuse('the signature header has no usable signature');
  if (Math.abs(Math.floor(raw.receivedAt.getTime() / 1000) - Number(timestamp)) > MAX_CLOCK_OFFSET_S)
    refuse(`the timestamp is more than ${MAX_CLOCK_OFFSET_S} s away`);
  const expected = webhookSecrets(config).map((secret) =>
    createHmac('sha256', secret).update(`${timestamp}.`).update(raw.body).digest(),
  );
  const matches = signatures.map((hex) => {
    const signature = Buffer.from(hex, 'hex');
    return expected.map((one) => timingSafeEqual(one, signature)).includes(true);
  });
  if (!matches.includes(true)) refuse('the signature is wrong');
}
