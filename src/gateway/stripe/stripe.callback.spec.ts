import { createHmac } from 'node:crypto';
import Stripe from 'stripe';
import { describe, expect, it } from 'vitest';

import vectors from '../../../test/vectors/stripe.json' with { type: 'json' };
import { CallbackRejected, type RawCallback } from '../gateway.port.js';
import { stripeCallback } from './stripe.callback.js';
import type { StripeConfig } from './stripe.config.js';

const { webhook } = vectors;
const config: StripeConfig = { secretKey: 'sk_test_4eC39HqLyjWDarjtT1zdp7dc', webhookSecret: webhook.secret };
const receivedAt = new Date(webhook.timestamp * 1000);

const genuine = {
  id: 'evt_1',
  object: 'event',
  api_version: '2026-10-28.endive',
  created: webhook.timestamp,
  data: { object: vectors.refund as Record<string, unknown>, previous_attributes: { status: 'pending' } },
  livemode: false,
  pending_webhooks: 1,
  request: { id: null, idempotency_key: null },
  type: 'refund.updated',
};

const hmac = (secret: string, timestamp: string, body: Buffer) =>
  createHmac('sha256', secret).update(`${timestamp}.`).update(body).digest('hex');

interface Sending {
  event?: unknown;
  body?: Buffer;
  timestamp?: string;
  secret?: string;
  /** Of the signature that would be right. */
  header?: (timestamp: string, v1: string) => string | undefined;
}

/** An event as Stripe would send it. */
function send({
  event = genuine,
  body = Buffer.from(JSON.stringify(event)),
  timestamp = String(webhook.timestamp),
  secret = webhook.secret,
  header = (t, v1) => `t=${t},v1=${v1},v0=${'0'.repeat(64)}`,
}: Sending = {}): RawCallback {
  return { body, receivedAt, headers: { 'stripe-signature': header(timestamp, hmac(secret, timestamp, body)) } };
}

const sendEvent = (over: Record<string, unknown>) => send({ event: { ...genuine, ...over } });
const sendRefund = (over: Record<string, unknown>, event: Record<string, unknown> = {}) =>
  sendEvent({ data: { object: { ...vectors.refund, ...over } }, ...event });
const receive = (raw: RawCallback, over: Partial<StripeConfig> = {}) =>
  stripeCallback.receive(raw, { ...config, ...over });

describe('a genuine event', () => {
  it('is accepted as the vector has it', () => {
    const raw = { body: Buffer.from(webhook.body), receivedAt, headers: { 'stripe-signature': webhook.header } };
    expect(receive(raw)).toMatchObject({
      eventKey: 'evt_test_1',
      eventType: 'refund.failed',
      gatewayRequestNo: null,
      gatewayRefundNo: 're_test_1',
      observation: { kind: 'failed', authenticated: true, code: 'expired_or_canceled_card' },
    });
  });

  it('is what the library’s own generator makes', () => {
    const { secret, timestamp, body, header } = webhook;
    expect(Stripe.webhooks.generateTestHeaderString({ payload: body, secret, timestamp })).toBe(header);
  });

  it('becomes an observation', () => {
    expect(receive(send())).toEqual({
      eventKey: 'evt_1',
      eventType: 'refund.updated',
      gatewayRequestNo: 'TESTREFUND0001',
      gatewayRefundNo: 're_3MmlLrLkdIwHu7ix0uke3Ezy',
      outTradeNo: null,
      observation: expect.objectContaining({
        kind: 'success',
        authenticated: true,
        amountMinor: 1000,
        currency: 'USD',
        identity: {
          gatewayRequestNo: 'TESTREFUND0001',
          gatewayRefundNo: 're_3MmlLrLkdIwHu7ix0uke3Ezy',
          gatewayPaymentNo: 'pi_3MmlLrLkdIwHu7ix0XtBUWVl',
          gatewayPaymentNoAlias: 'ch_3MmlLrLkdIwHu7ix0snN0B15',
        },
        raw: expect.objectContaining({
          body: expect.objectContaining({ event_type: 'refund.updated' }) as unknown,
        }) as unknown,
      }) as unknown,
    });
    expect(JSON.stringify(receive(send()))).not.toMatch(/cus_|4000002500003155/);
  });

  it.each([
    ['refund.created', 'pending', 'processing'],
    ['refund.updated', 'requires_action', 'processing'],
    ['refund.updated', 'canceled', 'failed'],
    ['refund.failed', 'failed', 'failed'],
    ['charge.refund.updated', 'succeeded', 'success'],
    // Events may be older than what they are sent with: what the refund says counts.
    ['refund.failed', 'succeeded', 'success'],
  ])('%s with %s is %s', (type, status, kind) => {
    expect(receive(sendRefund({ status }, { type }))?.observation).toMatchObject({ kind, raw: { code: status } });
  });

  it.each([300, -300])('may be %i s old', (offset) => {
    expect(receive(send({ timestamp: String(webhook.timestamp - offset) }))).not.toBeNull();
  });

  it.each<[string, Sending['header'], string]>([
    ['several signatures, one of them right', (t, v1) => `t=${t},v1=${'a'.repeat(64)},v1=${v1}`, webhook.secret],
    ['spaces', (t, v1) => `t=${t}, v1=${v1}`, webhook.secret],
    ['the signature first', (t, v1) => `v1=${v1},t=${t}`, webhook.secret],
    ['schemes that nobody knows yet', (t, v1) => `t=${t},v1=${v1},v2=x,xyz`, webhook.secret],
  ])('may have a header with %s', (_, header) => {
    expect(receive(send({ header }))).not.toBeNull();
  });

  it.each(['whsec_old_secret1', 'whsec_new_secret2'])(
    'may be signed with either secret of a rotation: %s',
    (secret) => {
      expect(receive(send({ secret }), { webhookSecret: 'whsec_old_secret1,whsec_new_secret2' })).not.toBeNull();
    },
  );

  it('of a connected account names it', () => {
    const accountId = 'acct_1032D82eZvKYlo2C';
    expect(receive(sendEvent({ account: accountId }), { accountId })?.observation.identity.merchantId).toBe(accountId);
    expect(receive(send(), { accountId })?.observation.identity).not.toHaveProperty('merchantId');
  });

  it('of live mode is for live keys', () => {
    expect(receive(sendEvent({ livemode: true }), { secretKey: 'sk_live_4eC39HqLyjWDarjtT1zdp7dc' })).not.toBeNull();
  });

  it.each(['payment_intent.succeeded', 'charge.dispute.created', 'customer.created', 'refund'])(
    'about something else (%s) is acknowledged and forgotten',
    (type) => {
      expect(receive(sendEvent({ type, data: { object: { id: 'x', object: 'x' } } }))).toBeNull();
    },
  );

  it('that a charge was refunded is a reason to ask about its newest refund, where it names one', () => {
    const charge = { id: 'ch_1', object: 'charge', amount_refunded: 1000, refunded: true };
    const refunds = { object: 'list', data: [vectors.refund], has_more: false };
    const told = (object: unknown) => receive(sendEvent({ type: 'charge.refunded', data: { object } }));
    expect(told({ ...charge, refunds })).toMatchObject({
      gatewayRequestNo: 'TESTREFUND0001',
      gatewayRefundNo: 're_3MmlLrLkdIwHu7ix0uke3Ezy',
      observation: { kind: 'processing', raw: { code: 'charge.refunded' } },
    });
    for (const none of [undefined, null, { data: [] }, { data: [{}] }])
      expect(told({ ...charge, refunds: none })).toBeNull();
  });
});

describe('an event is refused', () => {
  const withBody = (change: (text: string) => string): RawCallback => {
    const raw = send();
    return { ...raw, body: Buffer.from(change(raw.body.toString())) };
  };

  it.each<[string, () => RawCallback, RegExp]>([
    ['without a signature header', () => send({ header: () => undefined }), /header is missing/],
    ['with an empty one', () => send({ header: () => '' }), /header is missing/],
    ['without a timestamp', () => send({ header: (_t, v1) => `v1=${v1}` }), /usable timestamp/],
    ['with two timestamps', () => send({ header: (t, v1) => `t=${t},t=1,v1=${v1}` }), /usable timestamp/],
    ['with a timestamp in exponents', () => send({ timestamp: '17e8' }), /usable timestamp/],
    ['with a timestamp that is negative', () => send({ timestamp: '-1' }), /usable timestamp/],
    ['with nothing but a v0', () => send({ header: (t, v1) => `t=${t},v0=${v1}` }), /usable signature/],
    ['with a signature in capitals', () => send({ header: (t, v1) => `t=${t},v1=${v1.toUpperCase()}` }), /usable sig/],
    ['with a short signature', () => send({ header: (t, v1) => `t=${t},v1=${v1.slice(2)}` }), /usable signature/],
    [
      'with eleven signatures',
      () => send({ header: (t, v1) => `t=${t}${`,v1=${v1}`.repeat(11)}` }),
      /usable signature/,
    ],
    ['with another timestamp', () => send({ header: (t, v1) => `t=${Number(t) + 1},v1=${v1}` }), /signature is wrong/],
    ['301 s old', () => send({ timestamp: String(webhook.timestamp - 301) }), /300 s/],
    // The library lets this one pass.
    ['301 s early', () => send({ timestamp: String(webhook.timestamp + 301) }), /300 s/],
    ['signed with another secret', () => send({ secret: 'whsec_other_secret' }), /signature is wrong/],
    ['with one space more in its body', () => withBody((text) => `${text} `), /signature is wrong/],
    ['with another status', () => withBody((text) => text.replace('succeeded', 'failed')), /signature is wrong/],
    ['with an empty body', () => withBody(() => ''), /signature is wrong/],
    ['with a body that is no JSON', () => send({ body: Buffer.from('{') }), /not a JSON object/],
    ['with a body that is an array', () => send({ event: [genuine] }), /not a JSON object/],
    ['of the second API', () => sendEvent({ object: 'v2.core.event' }), /no event/],
    ['without an id', () => sendEvent({ id: undefined }), /usable id/],
    ['with an id that is too long', () => sendEvent({ id: 'x'.repeat(129) }), /usable id/],
    ['without a type', () => sendEvent({ type: undefined }), /no type/],
    ['of live mode', () => sendEvent({ livemode: true }), /other mode/],
    ['of no mode', () => sendEvent({ livemode: undefined }), /other mode/],
    ['of a connected account that is not ours', () => sendEvent({ account: 'acct_2' }), /another account/],
    ['without a refund', () => sendEvent({ data: undefined }), /body is missing/],
    ['with something else in place of the refund', () => sendRefund({ object: 'charge' }), /object is missing/],
    ['with an amount as text', () => sendRefund({ amount: '1000' }), /amount is missing/],
    ['about a charge that is none', () => sendRefund({}, { type: 'charge.refunded' }), /no charge/],
  ])('%s', (_, raw, reason) => {
    expect(() => receive(raw())).toThrow(CallbackRejected);
    expect(() => receive(raw())).toThrow(reason);
  });

  it('of another connected account than the one that is configured', () => {
    expect(() => receive(sendEvent({ account: 'acct_2' }), { accountId: 'acct_1' })).toThrow(/another account/);
  });

  it('whose bytes differ, although they read as the same text', () => {
    const raw = sendEvent({ note: '\uFFFD' });
    const at = raw.body.indexOf(Buffer.from('\uFFFD'));
    const body = Buffer.concat([raw.body.subarray(0, at), Buffer.from([0xff]), raw.body.subarray(at + 3)]);
    expect(body.toString()).toBe(raw.body.toString());
    expect(receive(raw)).not.toBeNull();
    expect(() => receive({ ...raw, body })).toThrow(/signature is wrong/);
  });

  it('in words that repeat nothing of it', () => {
    let message = '';
    try {
      receive(send({ secret: 'whsec_other_secret' }));
    } catch (error) {
      message = String(error);
    }
    expect(message).toBe('CallbackRejected: Stripe callback refused: the signature is wrong.');
  });
});

describe('the answers', () => {
  it('are what Stripe wants to read', () => {
    expect(stripeCallback.accepted).toMatchObject({ status: 200, body: '{"received":true}' });
    expect(stripeCallback.rejected).toMatchObject({ status: 400 });
  });
});
